"""Fewer triangles for a closed surface, which stays closed: quadric edge collapses (Garland and Heckbert 1997), many at
a time.

An edge is collapsed only where its ends have exactly two neighbours in common (the link condition), so that the surface
keeps its topology, and where no triangle turns over. Usual packages check neither, and leave edges with one triangle or
four. In each round the cheapest edges go whose surroundings do not touch.

Symbols: V vertices, F faces, E edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHEAPEST = 0.25  # of the edges, among which a round chooses
TURNED = 0.2  # cosine between a triangle's normals before and after, below which it counts as turned over
ROUNDS = 400  # more than any mesh takes; ends one of which nothing more can go
FLAT = 1e-3  # weight of staying near the old places, where quadrics do not tell


class Collapses(NamedTuple):
    """Edges that can be taken away, with what remains of each."""

    kept: np.ndarray  # [E] vertex that stays
    gone: np.ndarray  # [E] vertex that becomes it
    place: np.ndarray  # [E, 3] where it is then


def decimated(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface with at most `count` faces, or as few as keep its topology.

    Args:
        vertices: [V, 3].
        faces: [F, 3] of a closed manifold, in which every edge has two triangles.

    Returns:
        vertices and faces; each triangle is turned as before.
    """
    vertices, faces = vertices.astype(np.float64), faces.astype(np.int64)
    quadrics = _quadrics(vertices, faces)
    share = CHEAPEST
    for _ in range(ROUNDS):
        excess = len(faces) - count
        if excess <= 0:
            break
        found = _round(vertices, faces, quadrics, share, most=(excess + 1) // 2)
        if not len(found.kept):
            if share == 1.0:
                break
            share = 1.0  # none of the cheap ones can go
            continue
        share = CHEAPEST
        quadrics[found.kept] += quadrics[found.gone]
        vertices[found.kept] = found.place
        renamed = np.arange(len(vertices))
        renamed[found.gone] = found.kept
        faces = renamed[faces]
        faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
        used, numbered = np.unique(faces, return_inverse=True)
        vertices, quadrics, faces = vertices[used], quadrics[used], numbered.reshape(-1, 3)
    return vertices, faces


def _quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 4, 4] squared distances from the planes of the faces around each vertex, by area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    area = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(area, 1e-30)
    planes = np.concatenate([normals, -(normals * a).sum(axis=1, keepdims=True)], axis=1)
    each = planes[:, :, None] * planes[:, None, :] * area[:, :, None]
    quadrics = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(quadrics, faces[:, corner], each)
    return quadrics


def _round(vertices: np.ndarray, faces: np.ndarray, quadrics: np.ndarray, share: float, most: int) -> Collapses:
    """Collapses that do not touch each other, the cheapest first."""
    count = len(vertices)
    halves = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    from scipy.sparse import csr_matrix

    adjacent = csr_matrix((np.ones(len(halves), dtype=np.int32), halves.T), shape=(count, count))
    adjacent = ((adjacent + adjacent.T) > 0).astype(np.int32)
    edges = halves[halves[:, 0] < halves[:, 1]]
    place, cost = _best_places(vertices, quadrics, edges)
    cheapest = np.argsort(cost, kind="stable")[: max(1, int(share * len(edges)))]
    edges, place = edges[cheapest], place[cheapest]
    common = np.asarray((adjacent[edges[:, 0]].multiply(adjacent[edges[:, 1]])).sum(axis=1)).ravel()
    able = common == 2
    edges, place = edges[able], place[able]
    able = ~_turns_over(vertices, faces, edges, place)
    edges, place = edges[able], place[able]
    alone = _alone(edges, adjacent)
    edges, place = edges[alone][:most], place[alone][:most]
    return Collapses(edges[:, 0], edges[:, 1], place)


def _best_places(vertices: np.ndarray, quadrics: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each edge's one vertex costs least [E, 3], and how much [E]."""
    quadric = quadrics[edges].sum(axis=1)
    middle = vertices[edges].mean(axis=1)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    # Along a plane or a crease the quadric says nothing: the middle then wins.
    pull = FLAT * np.trace(quadric[:, :3, :3], axis1=1, axis2=2) + 1e-12
    matrix = quadric[:, :3, :3] + pull[:, None, None] * np.eye(3)
    place = np.linalg.solve(matrix, (-quadric[:, :3, 3] + pull[:, None] * middle)[..., None])[..., 0]
    far = np.linalg.norm(place - middle, axis=1) > 2 * length
    place[far] = middle[far]
    point = np.concatenate([place, np.ones((len(place), 1))], axis=1)
    cost = np.einsum("ei,eij,ej->e", point, quadric, point) + pull * length**2
    return place, cost


def _turns_over(vertices: np.ndarray, faces: np.ndarray, edges: np.ndarray, place: np.ndarray) -> np.ndarray:
    """[E] whether a triangle that stays would face another way, or lose its area, after an edge's collapse."""
    order = np.argsort(faces.ravel(), kind="stable")  # corners by vertex
    starts = np.searchsorted(faces.ravel()[order], np.arange(len(vertices) + 1))
    turned = np.zeros(len(edges), dtype=bool)
    for end in (0, 1):
        sizes = starts[edges[:, end] + 1] - starts[edges[:, end]]
        edge = np.repeat(np.arange(len(edges)), sizes)
        within = np.arange(len(edge)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        corner = order[np.repeat(starts[edges[:, end]], sizes) + within]
        face, at = corner // 3, corner % 3
        b, c = faces[face, (at + 1) % 3], faces[face, (at + 2) % 3]
        other = edges[edge, 1 - end]
        stays = (b != other) & (c != other)
        edge, face, b, c = edge[stays], face[stays], b[stays], c[stays]
        old, new = vertices[edges[edge, end]], place[edge]
        before = np.cross(vertices[b] - old, vertices[c] - old)
        after = np.cross(vertices[b] - new, vertices[c] - new)
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        wrong = (before * after).sum(axis=1) < TURNED * lengths
        wrong |= np.linalg.norm(after, axis=1) < 1e-12
        turned[edge[wrong]] = True
    return turned


def _alone(edges: np.ndarray, adjacent: csr_matrix) -> np.ndarray:
    """[E] of edges by cost, whether each is the cheapest of all that touch its ends' neighbours."""
    rank = np.full(adjacent.shape[0], len(edges))
    np.minimum.at(rank, edges.ravel(), np.repeat(np.arange(len(edges)), 2))  # cheapest edge at each vertex
    least = rank.copy()
    rows = np.repeat(np.arange(adjacent.shape[0]), np.diff(adjacent.indptr))
    np.minimum.at(least, rows, rank[adjacent.indices])
    return (least[edges] == np.arange(len(edges))[:, None]).all(axis=1)
