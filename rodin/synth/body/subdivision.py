"""Catmull-Clark subdivision of a quad mesh as a linear map from old to new vertices.

Being linear, the same map refines positions, neutral positions and weights.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, vstack

from rodin.synth.body.geometry import Array, Index


def _gather(rows: Index, columns: Index, shape: tuple[int, int]) -> csr_matrix:
    """The matrix that adds entry `column` to entry `row`, for every pair."""
    return coo_matrix((np.ones(rows.size), (rows.ravel(), columns.ravel())), shape).tocsr()


def catmull_clark(quads: Index, count: int) -> tuple[csr_matrix, Index]:
    """One step of Catmull-Clark (Catmull and Clark 1978) on quads [F, 4] over `count` vertices.

    Returns:
        The matrix [count + E + F, count] from old to new vertices (moved old ones, then one a side, then one a face),
        and the new quads [4 F, 4].
    """
    faces = len(quads)
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    ends, side_of, uses = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True)
    side_of, edges = side_of.reshape(faces, 4), len(ends)
    face_rows, edge_rows = np.repeat(np.arange(faces), 4), np.repeat(np.arange(edges), 2)

    face_point = 0.25 * _gather(face_rows, quads, (faces, count))
    middle = 0.5 * _gather(edge_rows, ends, (edges, count))
    # An inner edge's point is the mean of its two ends and its two face points; a rim edge's is its middle.
    inner = (uses == 2).astype(np.float64)
    around_edge = _gather(side_of, face_rows, (edges, faces)) @ face_point
    edge_point = diags(1.0 - 0.5 * inner) @ middle + diags(0.25 * inner) @ around_edge

    # An inner vertex of valence n: (mean of face points + 2 * mean of edge middles + (n - 3) * itself) / n.
    valence = np.maximum(np.bincount(quads.ravel(), minlength=count), 1)
    on_rim = np.zeros(count, bool)
    on_rim[ends[uses != 2]] = True
    share = np.where(on_rim, 0.0, 1.0 / valence**2)
    around = _gather(quads, face_rows, (count, faces)) @ face_point
    around += 2.0 * _gather(ends, edge_rows, (count, edges)) @ middle
    # A rim vertex: half of itself and a quarter of the middles of its two rim edges.
    rim = np.flatnonzero(uses == 1)
    along_rim = 0.25 * _gather(ends[rim], np.repeat(rim, 2), (count, edges)) @ middle
    vertex_point = diags(share) @ around + diags(np.where(on_rim, 0.5, 1.0 - 3.0 / valence)) + along_rim

    corner, side, center = quads, count + side_of, count + edges + np.arange(faces)
    fine: list[Array] = [np.stack([corner[:, i], side[:, i], center, side[:, i - 1]], axis=1) for i in range(4)]
    matrix = vstack([vertex_point, edge_point, face_point]).tocsr().astype(np.float32)
    return matrix, np.concatenate(fine).astype(np.int32)
