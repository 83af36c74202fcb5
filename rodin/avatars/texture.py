"""A picture of a mesh's colours, and where each corner of it lies in that picture.

The charts and their packing are xatlas's. Each texel within a chart shows a point of the surface; texels around a chart
repeat its border, so that smoothing never mixes in what is between charts.

Where faces have materials, charts end where those do: each has a base colour of its own, and a texel that two of them
shared would be wrong for one.

Symbols: V vertices of the mesh, W those of its charts (a vertex stands once in each chart), F faces, S side in texels,
T texels that show something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rodin.errors import UserError

PADDING = 4  # texels between charts
FACES_AT_ONCE = 4096  # triangles drawn at a time, which bounds memory
MOST_FACES = 100_000  # charts of more take minutes


class Atlas(NamedTuple):
    """Where a mesh lies in its texture."""

    source: np.ndarray  # [W] vertex of the mesh that each is
    faces: np.ndarray  # [F, 3] of W
    uv: np.ndarray  # [W, 2] in [0, 1], from the picture's lower left corner


class Texture(NamedTuple):
    """A mesh's colours as a picture; of known materials also as factors of their bases."""

    atlas: Atlas
    picture: np.ndarray  # [S, S, 3] uint8 sRGB, first row on top
    factors: np.ndarray | None = None  # [S, S, 3] uint8, coded as sRGB; see `rodin.avatars.base_colours`
    bases: Mapping[int, Tensor] = {}  # [3] linear, by the number of a material


class Texels(NamedTuple):
    """What the texels of charts show."""

    there: np.ndarray  # [S, S] whether a texel shows anything; rows from below
    points: np.ndarray  # [T, 3] of the mesh, row by row
    faces: np.ndarray  # [T]


def lay_out(vertices: np.ndarray, faces: np.ndarray, size: int, labels: np.ndarray | None = None) -> Atlas:
    """A mesh laid out flat for a texture of size x size texels.

    Args:
        labels: [F] material of each face.

    Raises:
        UserError: the package xatlas is not installed, or the mesh has too many triangles.
    """
    if len(faces) > MOST_FACES:
        raise UserError(f"texture: {len(faces)} triangles are too many to lay out; reduce them to {MOST_FACES} or less")
    try:
        import xatlas
    except ImportError as error:
        raise UserError("xatlas is not installed; pip install 'rodin-avatars[mesh]'") from error
    labels = np.zeros(len(faces), dtype=np.int64) if labels is None else labels
    pieces = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    atlas = xatlas.Atlas()
    used = []
    for piece in pieces:
        own, numbered = np.unique(faces[piece], return_inverse=True)
        atlas.add_mesh(vertices[own].astype(np.float32), numbered.reshape(-1, 3).astype(np.uint32))
        used.append(own)
    options = xatlas.PackOptions()
    options.resolution, options.padding, options.create_image = size, PADDING, False
    atlas.generate(pack_options=options)
    side = max(atlas.width, atlas.height)
    scale = np.array([atlas.width, atlas.height]) / side if side else np.ones(2)
    sources, uvs, laid, count = [], [], np.empty(faces.shape, dtype=np.int64), 0
    for number, (piece, own) in enumerate(zip(pieces, used, strict=True)):
        source, corners, uv = atlas[number]
        laid[piece] = corners.astype(np.int64) + count
        sources.append(own[source])
        uvs.append(uv * scale)
        count += len(source)
    return Atlas(np.concatenate(sources), laid, np.concatenate(uvs).astype(np.float64))


def bake(atlas: Atlas, vertices: np.ndarray, size: int) -> Texels:
    """What each texel of a texture shows of a mesh with vertices [V, 3]."""
    points, face = np.zeros((size, size, 3)), np.full((size, size), -1)
    corners = atlas.uv[atlas.faces] * size  # [F, 3, 2]
    places = vertices[atlas.source[atlas.faces]]  # [F, 3, 3]
    for first in range(0, len(corners), FACES_AT_ONCE):
        part = slice(first, first + FACES_AT_ONCE)
        _draw(corners[part], places[part], first, points, face)
    there = face >= 0
    return Texels(there, points[there], face[there])


def padded(texels: Texels, colours: np.ndarray) -> np.ndarray:
    """The picture [S, S, 3] uint8, first row on top, of the texels' colours [T, 3] in [0, 1]; the others repeat the
    nearest of them."""
    from scipy import ndimage

    picture = np.zeros((*texels.there.shape, 3), dtype=np.uint8)
    picture[texels.there] = (colours.clip(0, 1) * 255).round()
    nearest = ndimage.distance_transform_edt(~texels.there, return_distances=False, return_indices=True)
    return np.ascontiguousarray(picture[tuple(nearest)][::-1])


def _draw(corners: np.ndarray, places: np.ndarray, first: int, points: np.ndarray, face: np.ndarray) -> None:
    """Triangles [f, 3, 2], in texels from below, into the pictures of the points and faces that texels show; `places`
    [f, 3, 3] are their corners, `first` is the first one's number."""
    size = len(face)
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
    face[row[inside], column[inside]] = first + which[inside]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
