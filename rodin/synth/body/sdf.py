"""Signed distances: primitives, smooth blends, and the mesh of a zero level.

Points are [..., 3] head units; distances are negative inside. The blends are the usual polynomial smooth minimum: they
are bounds rather than exact distances, which is all that meshing needs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skimage.measure import marching_cubes

from rodin.synth.body.geometry import Array, Index, boundary_edges, close_rim, length

Vector = tuple[float, float, float]
Field = Callable[[Array], Array]

#: Fine cells along one edge of the coarse cell that decides whether its inside is looked at.
_BLOCK = 4


def ellipsoid(points: Array, center: Vector, radii: Vector) -> Array:
    """First-order distance to an ellipsoid."""
    offset: Array = points - np.asarray(center, np.float32)
    shrink = 1.0 / np.asarray(radii, np.float32)
    unit, slope = length(offset * shrink), length(offset * (shrink * shrink))
    return unit * (unit - 1.0) / np.maximum(slope, 1e-6)


def sphere(points: Array, center: Vector, radius: float) -> Array:
    """Distance to a sphere."""
    return length(points - np.asarray(center, np.float32)) - radius


def capsule(points: Array, start: Vector, end: Vector, radius: float, end_radius: float | None = None) -> Array:
    """Distance to a segment with a radius that changes linearly from start to end."""
    a = np.asarray(start, np.float32)
    axis = np.asarray(end, np.float32) - a
    along = np.clip(((points - a) @ axis) / (axis @ axis), 0.0, 1.0)
    last = radius if end_radius is None else end_radius
    return length(points - a - along[..., None] * axis) - (radius + (last - radius) * along)


def union(a: Array, b: Array, blend: float) -> Array:
    """Smooth union; `blend` is the width of the fillet."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend, 0.0, 1.0)
    return b + (a - b) * h - blend * h * (1.0 - h)


def subtract(a: Array, b: Array, blend: float) -> Array:
    """Smooth difference: `a` without `b`."""
    return -union(-a, b, blend)


def intersect(a: Array, b: Array, blend: float) -> Array:
    """Smooth intersection."""
    return -union(-a, -b, blend)


def polygonize(field: Field, low: Vector, high: Vector, step: float) -> tuple[Array, Index]:
    """Mesh the zero level of a field that is mirror-symmetric in x.

    Only the half x >= 0 is evaluated, and of it only the coarse cells that the surface can cross; the result is closed
    because the grid is padded with outside values.

    Args:
        field: distances [...] at points [..., 3].
        low, high: corners of the box; `low[0]` is ignored (it is -high[0]).
        step: edge of a cell in head units.

    Returns:
        Vertices [V, 3] and outward triangles [T, 3].
    """
    start = np.array((0.0, low[1], low[2]), np.float32)
    blocks = np.ceil((np.array(high) - start) / (step * _BLOCK)).astype(int)
    coarse_axes = [start[i] + np.arange(blocks[i] + 1, dtype=np.float32) * step * _BLOCK for i in range(3)]
    coarse = field(np.stack(np.meshgrid(*coarse_axes, indexing="ij"), axis=-1))
    # A surface inside a coarse cell is at most half a diagonal from its nearest corner; fields are not exact distances.
    near = np.abs(coarse) < 1.5 * 0.5 * np.sqrt(3.0) * step * _BLOCK
    active = np.zeros(blocks, bool)
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                active |= near[dx : dx + blocks[0], dy : dy + blocks[1], dz : dz + blocks[2]]
    values = np.repeat(np.repeat(np.repeat(coarse[:-1, :-1, :-1], _BLOCK, 0), _BLOCK, 1), _BLOCK, 2)
    values = np.pad(values, ((0, 1),) * 3, mode="edge")
    corner = np.argwhere(active) * _BLOCK
    local = np.stack(np.meshgrid(*[np.arange(_BLOCK + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    index = (corner[:, None] + local[None]).reshape(-1, 3)
    flat = np.unique(np.ravel_multi_index(tuple(index.T), values.shape))
    where = np.stack(np.unravel_index(flat, values.shape), axis=-1)
    values.reshape(-1)[flat] = field(start + where.astype(np.float32) * step)
    full = np.concatenate([values[:0:-1], values], axis=0)
    full = np.pad(full, 1, constant_values=step)
    vertices, triangles, _, _ = marching_cubes(full, 0.0, gradient_direction="ascent")
    shift = np.array((values.shape[0] - 1, 0, 0)) + 1
    vertices = (vertices - shift) * step + start
    # marching_cubes winds its triangles for a rising density, that is inward for a distance; and it now and then leaves
    # out a face of an ambiguous cell.
    outward = triangles[:, ::-1].astype(np.int32)
    return vertices.astype(np.float32), np.concatenate([outward, close_rim(boundary_edges(outward))])
