"""A picture of a mesh's colours, and where each corner of it lies in that picture.

The charts and their packing are xatlas's. Each texel within a chart shows a point of the surface; texels around a chart
repeat its border, so that smoothing never mixes in what is between charts.

Symbols: V vertices of the mesh, W those of its charts (a vertex stands once in each chart), F faces, S side in texels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rodin.errors import UserError

PADDING = 4  # texels between charts
FACES_AT_ONCE = 4096  # triangles drawn at a time, which bounds memory
MOST_FACES = 100_000  # charts of more take minutes


class Texture(NamedTuple):
    """A mesh's colours as a picture."""

    atlas: Atlas
    picture: np.ndarray  # [S, S, 3] uint8 sRGB, first row on top


class Atlas(NamedTuple):
    """Where a mesh lies in its texture."""

    source: np.ndarray  # [W] vertex of the mesh that each is
    faces: np.ndarray  # [F, 3] of W
    uv: np.ndarray  # [W, 2] in [0, 1], from the picture's lower left corner


def unwrap(vertices: np.ndarray, faces: np.ndarray, size: int) -> Atlas:
    """Lay a mesh out flat for a texture of size x size texels.

    Raises:
        UserError: the package xatlas is not installed, or the mesh has too many triangles.
    """
    if len(faces) > MOST_FACES:
        raise UserError(f"texture: {len(faces)} triangles are too many to lay out; reduce them to {MOST_FACES} or less")
    try:
        import xatlas
    except ImportError as error:
        raise UserError("xatlas is not installed; pip install 'rodin[mesh]'") from error
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices.astype(np.float32), faces.astype(np.uint32))
    options = xatlas.PackOptions()
    options.resolution, options.padding, options.create_image = size, PADDING, False
    atlas.generate(pack_options=options)
    source, laid, uv = atlas[0]
    side = max(atlas.width, atlas.height)
    scale = np.array([atlas.width, atlas.height]) / side if side else np.ones(2)
    return Atlas(source.astype(np.int64), laid.astype(np.int64), (uv * scale).astype(np.float64))


def bake(atlas: Atlas, vertices: np.ndarray, colour: Callable[[np.ndarray], np.ndarray], size: int) -> np.ndarray:
    """The texture [S, S, 3] uint8, first row on top.

    Args:
        vertices: [V, 3] of the mesh.
        colour: gives sRGB [N, 3] in [0, 1] of points [N, 3] on it.
    """
    from scipy import ndimage

    points, there = np.zeros((size, size, 3)), np.zeros((size, size), dtype=bool)
    corners = atlas.uv[atlas.faces] * size  # [F, 3, 2]
    places = vertices[atlas.source[atlas.faces]]  # [F, 3, 3]
    for first in range(0, len(corners), FACES_AT_ONCE):
        part = slice(first, first + FACES_AT_ONCE)
        _draw(corners[part], places[part], points, there)
    picture = np.zeros((size, size, 3))
    picture[there] = colour(points[there])
    nearest = ndimage.distance_transform_edt(~there, return_distances=False, return_indices=True)
    return (picture[tuple(nearest)][::-1].clip(0, 1) * 255).round().astype(np.uint8)


def _draw(corners: np.ndarray, places: np.ndarray, points: np.ndarray, there: np.ndarray) -> None:
    """Triangles [f, 3, 2], in texels from below, into the picture of the points that texels show; `places` [f, 3, 3]
    are their corners."""
    size = len(there)
    low = np.floor(corners.min(axis=1) - 0.5).astype(int).clip(0, size - 1)
    high = np.ceil(corners.max(axis=1) + 0.5).astype(int).clip(1, size)
    extent = high - low
    counts = extent[:, 0] * extent[:, 1]
    which = np.repeat(np.arange(len(corners)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    column, row = low[which, 0] + within % extent[which, 0], low[which, 1] + within // extent[which, 0]
    a, b, c = (corners[which, k] for k in range(3))
    texel = np.stack([column + 0.5, row + 0.5], axis=1)
    area = _cross(b - a, c - a)
    area = np.where(np.abs(area) > 1e-12, area, np.inf)
    shares = np.stack(
        [_cross(b - texel, c - texel), _cross(c - texel, a - texel), _cross(a - texel, b - texel)], axis=1
    )
    shares /= area[:, None]
    inside = (shares >= -1e-6).all(axis=1) & np.isfinite(area)
    points[row[inside], column[inside]] = np.einsum("nk,nkc->nc", shares[inside], places[which[inside]])
    there[row[inside], column[inside]] = True


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
