"""How hair and clothes meet: what hangs lies on the clothes, and whatever enters them ends there. Head units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from rodin.synth.body.accessories import HatShell
from rodin.synth.body.geometry import Array, Mesh
from rodin.synth.body.strands import Collider, cut_where

#: The middle of the neck, which clothes are seen from: its z, and the heights that the outline is known for.
AXIS_Z = -0.22
LOW, HIGH = -1.72, -0.56
_AZIMUTHS, _ROW = 64, 0.03
#: How steeply hair may come down onto a collar that stands off the neck: this much further out a unit of height.
_SLOPE = 0.9
#: Nothing above this height can be inside clothes.
TOP = -0.80


class Drape:
    """The clothes as hair meets them.

    Their outline is the radius that they reach around the neck at each azimuth and height. Above a rim it narrows as a
    funnel, so that hair which comes down behind a hood or a collar slides over it instead of falling into it.
    """

    def __init__(self, cloth: Mesh) -> None:
        self._vertices, self._normals = cloth.vertices, cloth.normals()
        self._tree = cKDTree(self._vertices)
        rows = round((HIGH - LOW) / _ROW) + 1
        azimuth, row, radius = self._place(self._vertices)
        cell = np.clip(np.rint(row), 0, rows - 1).astype(int), np.rint(azimuth).astype(int) % _AZIMUTHS
        outline = np.zeros((rows, _AZIMUTHS), np.float32)
        np.maximum.at(outline, cell, radius)
        # A cell without a vertex takes the larger of its neighbours.
        outline = np.maximum(outline, np.maximum(np.roll(outline, 1, axis=1), np.roll(outline, -1, axis=1)))
        for below in range(rows - 1):
            outline[below + 1] = np.maximum(outline[below + 1], outline[below] - _SLOPE * _ROW)
        self._outline = outline

    @staticmethod
    def _place(points: Array) -> tuple[Array, Array, Array]:
        """Azimuth and row in cells of the outline, and distance from the axis, each [N], of points [N, 3]."""
        x, z = points[:, 0], points[:, 2] - AXIS_Z
        return np.arctan2(x, z) * (_AZIMUTHS / (2 * np.pi)), (points[:, 1] - LOW) / _ROW, np.hypot(x, z)

    def lay(self, points: Array, offset: Array | float) -> Array:
        """Move points [N, 3] away from the axis until they are `offset` outside the outline."""
        azimuth, row, radius = self._place(points)
        row = np.clip(row, 0.0, len(self._outline) - 1.001)
        left, low = np.floor(azimuth).astype(int), row.astype(int)
        a, b = azimuth - left, row - low
        corners = [self._outline[low + i, (left + j) % _AZIMUTHS] for i in (0, 1) for j in (0, 1)]
        reach = (corners[0] * (1 - a) + corners[1] * a) * (1 - b) + (corners[2] * (1 - a) + corners[3] * a) * b
        reach = np.where(points[:, 1] < HIGH, reach, 0.0)
        share = np.maximum((reach + offset) / np.maximum(radius, 1e-3), 1.0)
        share = np.where(reach > 0, share, 1.0)
        axis = np.array((0.0, 0.0, AXIS_Z))
        return axis + (points - axis) * np.stack([share, np.ones_like(share), share], axis=1)

    def depth(self, points: Array) -> Array:
        """How far points [N, 3] are inside the clothes; 0 where they are not."""
        result = np.zeros(len(points), np.float32)
        near = points[:, 1] < TOP
        _, index = self._tree.query(points[near])
        outside = np.einsum("ij,ij->i", points[near] - self._vertices[index], self._normals[index])
        result[near] = np.maximum(-outside, 0.0)
        return result

    def lay_strands(self, strands: Array, offset: float) -> Array:
        """The strands [N, K, 3], each point of which `lay` has moved."""
        return self.lay(strands.reshape(-1, 3), offset).reshape(strands.shape).astype(np.float32)

    def end_strands(self, strands: Array, tolerance: float = 0.012) -> Array:
        """The strands [N, K, 3], ended where they enter the clothes; what lies in them from the root on is dropped."""
        inside = self.depth(strands.reshape(-1, 3)).reshape(strands.shape[:2]) > tolerance
        return cut_where(strands, inside)


@dataclass(frozen=True, slots=True)
class Draped:
    """A collider for hair that hangs: in front of the skin, and over the clothes."""

    surface: Collider
    drape: Drape

    def push_out(self, points: Array, offset: Array | float) -> Array:
        """Move points [N, 3] until they are `offset` in front of the skin and outside the clothes."""
        return self.drape.lay(self.surface.push_out(points, offset), offset)

    def normal_at(self, points: Array) -> Array:
        """Normals [N, 3] at the vertices nearest to points [N, 3]."""
        return self.surface.normal_at(points)


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacles:
    """What hair may not enter: head and clothes as a surface, the clothes as they drape, and the inside of the hat."""

    collider: Collider
    drape: Drape
    shell: HatShell | None
