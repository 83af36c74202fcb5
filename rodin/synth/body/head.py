"""What both kinds of head give to hair, clothes and accessories, and the regions of the skin.

A `Head` carries two positions for every vertex: where it is, and where it lies on the NEUTRAL head of its kind. Regions
such as the hairline are drawn once, in neutral coordinates, relative to a few landmarks; so they follow every shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from rodin.synth.body.geometry import (
    ENVELOPE_RADIUS,
    WORLD_CENTER,
    WORLD_SCALE,
    Array,
    Index,
    Parts,
    length,
    normalize,
    sample_surface,
    smoothstep,
)

#: The bust's rounding keeps the skin inside the envelope with room for the clothes (head units).
BUST_RADIUS = ENVELOPE_RADIUS / WORLD_SCALE - 0.09


@dataclass(frozen=True, kw_only=True, slots=True)
class Landmarks:
    """Heights and places on a neutral head, in head units; x is taken on the avatar's left."""

    hairline: float
    temple: float
    ear: tuple[float, float, float]
    brow: tuple[float, float, float]
    brow_length: float
    mouth: tuple[float, float, float]
    nose_tip: tuple[float, float, float]
    chin: tuple[float, float, float]
    nape: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Eye:
    """One eyeball: centre [3] and radii [3] in head units, and the iris's half-angle in radians."""

    center: Array
    radii: Array
    iris: float = 0.55


@dataclass(kw_only=True)
class Head:
    """Skin of head, neck and shoulders, with what the rest of the avatar needs to know about it.

    Args:
        vertices, triangles, normals: the skin in head units, [V, 3], [T, 3], [V, 3].
        neutral: [V, 3] the same vertices on the neutral head.
        lips, ears, mouth: [V] weights in [0, 1]; `mouth` is the inside of an open mouth.
        shade: [V] factor of the skin's colour, below 1 in creases.
        eyes: the left and the right eye (+x first).
        body_distance: signed distance [N] of points [N, 3] to neck and shoulders alone, not cut to a bust.
        extras: teeth and lashes, which belong to the kind of head.
    """

    vertices: Array
    triangles: Index
    normals: Array
    neutral: Array
    lips: Array
    ears: Array
    mouth: Array
    shade: Array
    eyes: tuple[Eye, Eye]
    landmarks: Landmarks
    body_distance: Callable[[Array], Array]
    extras: Parts = field(default_factory=Parts)

    def __post_init__(self) -> None:
        self._tree = cKDTree(self.vertices)
        self._neutral_tree = cKDTree(self.neutral)
        front = (self.vertices[:, 2] > 0.35) & (self.normals[:, 2] > 0.15)
        self._front_tree = cKDTree(self.vertices[front, :2])
        self._front_depth = self.vertices[front, 2]

    def normal_at(self, points: Array) -> Array:
        """Skin normals [N, 3] at the vertices nearest to points [N, 3]."""
        return self.normals[self._tree.query(points)[1]]

    def push_out(self, points: Array, offset: Array | float) -> Array:
        """Move points [N, 3] along the skin's normal until they are `offset` in front of the skin."""
        _, index = self._tree.query(points)
        normal = self.normals[index]
        depth = np.asarray(offset) - np.einsum("ij,ij->i", points - self.vertices[index], normal)
        return points + normal * np.maximum(depth, 0.0)[:, None]

    def carry(self, points: Array) -> Array:
        """Take neutral points [N, 3] along to this head's shape, by the motion of the nearest vertices."""
        gap, index = self._neutral_tree.query(points, k=6)
        weight = 1.0 / np.maximum(gap, 1e-3)
        weight /= weight.sum(1, keepdims=True)
        motion = (self.vertices - self.neutral)[index]
        return (points + np.einsum("nk,nkc->nc", weight, motion)).astype(np.float32)

    def onto_face(self, points: Array, offset: float) -> Array:
        """Move points [N, 3] along z onto the front of the face, `offset` in front of the skin."""
        gap, index = self._front_tree.query(points[:, :2], k=6)
        weight = 1.0 / np.maximum(gap, 1e-3)
        depth = np.einsum("nk,nk->n", weight / weight.sum(1, keepdims=True), self._front_depth[index])
        return np.concatenate([points[:, :2], depth[:, None] + offset], axis=1).astype(np.float32)


def bust_field(points: Array) -> Array:
    """Distance [...] to the rounded solid that cuts neck and shoulders to a bust, negative inside."""
    return length(points - WORLD_CENTER) - BUST_RADIUS


def mirrored(neutral: Array) -> Array:
    """Neutral coordinates with x made positive."""
    return np.concatenate([np.abs(neutral[:, :1]), neutral[:, 1:]], axis=1)


def scalp(head: Head) -> Array:
    """Weight [V] of the skin where hair grows: above a hairline from forehead over the ears to the nape."""
    marks = head.landmarks
    x, y, z = mirrored(head.neutral).T
    ear_y, ear_z = marks.ear[1], marks.ear[2]
    # Seen from the side the line falls from the forehead to the front of the ear, passes over it and drops behind it.
    front = marks.hairline - 0.10 * smoothstep(0.12, 0.40, x) * smoothstep(0.45, 0.75, z)
    line = front + (marks.temple - front) * smoothstep(0.74, ear_z + 0.22, z)
    sideburn = smoothstep(ear_z + 0.13, ear_z + 0.2, z) * smoothstep(ear_z + 0.40, ear_z + 0.32, z)
    line = line - 0.22 * sideburn
    behind = smoothstep(ear_z - 0.05, ear_z - 0.22, z)
    line = np.where(z < ear_z - 0.05, marks.temple + (marks.nape - marks.temple) * behind, line)
    around_ear = np.hypot((y - ear_y) / 0.36, (z - ear_z) / 0.24) < 1.0
    keep = 1.0 - np.clip(2.0 * head.ears, 0.0, 1.0)
    keep = np.where(around_ear & (x > 0.55) & (z > ear_z - 0.16), 0.0, keep)
    return (smoothstep(line - 0.035, line + 0.045, y) * keep).astype(np.float32)


def beard_region(head: Head) -> Array:
    """Weight [V] of the skin of a full beard: cheeks, chin, the upper lip and a little of the throat."""
    marks = head.landmarks
    x, y, z = mirrored(head.neutral).T
    mouth_y, chin_y = marks.mouth[1], marks.chin[1]
    top = mouth_y - 0.06 + 0.60 * smoothstep(0.22, 0.68, x) ** 1.6
    region = smoothstep(top + 0.05, top - 0.05, y) * smoothstep(chin_y - 0.22, chin_y - 0.10, y)
    region *= smoothstep(marks.ear[2] + 0.06, marks.ear[2] + 0.20, z)
    region = np.maximum(region, moustache_region(head))
    soul = (x < 0.05) & (y < mouth_y)
    bare = np.hypot(x / 0.33, (y - mouth_y + 0.02) / 0.15) < 1.0
    region = np.where(bare & ~soul & (y < mouth_y + 0.06), 0.0, region)
    return (region * (1.0 - np.clip(3.0 * (head.lips + head.mouth), 0, 1)) * (1 - head.ears)).astype(np.float32)


def moustache_region(head: Head) -> Array:
    """Weight [V] of the upper lip between the nose and the mouth."""
    marks = head.landmarks
    x, y, z = mirrored(head.neutral).T
    low, high = marks.mouth[1] - 0.02 - 0.25 * np.maximum(x - 0.16, 0), marks.nose_tip[1] - 0.13
    region = (x < 0.31) & (y > low) & (y < high - 0.25 * x) & (z > marks.mouth[2] - 0.35)
    return region * (1.0 - np.clip(3.0 * (head.lips + head.mouth), 0, 1)).astype(np.float32)


def chin_beard_region(head: Head) -> Array:
    """Weight [V] of the chin, joined to the moustache at the corners of the mouth."""
    marks = head.landmarks
    x, y, _ = mirrored(head.neutral).T
    chin = (x < 0.22) & (y < marks.mouth[1] - 0.15) & (y > marks.chin[1] - 0.14)
    corner = (x > 0.24) & (x < 0.33) & (y < marks.mouth[1] + 0.02) & (y > marks.chin[1] + 0.15)
    return np.where(chin | corner, beard_region(head), 0.0) + moustache_region(head)


def roots(head: Head, weight: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Random hair roots where `weight` [V] says so.

    Returns:
        Positions, unit normals and neutral positions, each [count, 3].
    """
    index, bary = sample_surface(head.vertices, head.triangles, weight, count, rng=rng)
    place = [np.sum(values[index] * bary, axis=1) for values in (head.vertices, head.normals, head.neutral)]
    return place[0], normalize(place[1]), place[2]
