"""Meshes, surfaces and parts: what the builders of this package hand to the renderer.

Geometry is built in HEAD UNITS: right-handed, +y up, the avatar looks along +z, the origin lies between the ears, the
eyes at y = 0.03, the crown near y = 1.17, the chin near y = -1.07. `to_world` maps head units to the unit box of the
world; it is the same map for every avatar, so that heads keep their true relative size.

Symbols: V vertices, T triangles, N strands, K points along a strand. Colours are linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Numbers, float32 where they are stored; and vertex indices, int32.
Array = NDArray[Any]
Index = NDArray[Any]

#: World units per head unit, and the point in head units that becomes the world's origin.
WORLD_SCALE = 0.60
WORLD_CENTER = np.array((0.0, 0.0, 0.0), np.float32)
#: Everything lies in the unit box and in this sphere around the origin (world units): one camera distance fits all.
ENVELOPE_RADIUS = 1.10
BOX_LIMIT = 0.985


def to_world(points: Array) -> Array:
    """Head units [..., 3] to world units [..., 3]."""
    return ((points - WORLD_CENTER) * WORLD_SCALE).astype(np.float32)


def from_world(points: Array) -> Array:
    """World units [..., 3] to head units [..., 3]."""
    return (points / WORLD_SCALE + WORLD_CENTER).astype(np.float32)


def within_envelope(points: Array) -> Array:
    """Points [..., 3] in head units pressed into the unit box and the envelope's sphere."""
    world = np.clip(to_world(points), -BOX_LIMIT, BOX_LIMIT)
    radius = np.linalg.norm(world, axis=-1, keepdims=True)
    return from_world(world * np.minimum(1.0, (ENVELOPE_RADIUS - 0.005) / np.maximum(radius, 1e-6)))


def length(vectors: Array) -> Array:
    """Euclidean lengths along a short last axis, several times faster than numpy's own norm."""
    return np.sqrt(np.einsum("...i,...i->...", vectors, vectors))


def normalize(vectors: Array) -> Array:
    """Unit vectors along the last axis; zero vectors stay zero."""
    return vectors / np.maximum(length(vectors)[..., None], 1e-8)


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """0 below `low`, 1 above `high`, a cubic between; `low` > `high` gives the falling step."""
    t = np.clip((x - low) / (np.asarray(high) - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def linear(hex_color: str) -> Array:
    """An sRGB hex colour such as '#c08060' as linear RGB [3]."""
    srgb = np.array([int(hex_color[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """How light meets a part; its colour and its material come with the part."""

    name: str
    roughness: float = 0.5
    specular: float = 0.4
    subsurface: float = 0.0
    coat: float = 0.0
    sheen: float = 0.0
    metallic: float = 0.0
    opacity: float = 1.0
    bump: float = 0.0
    bump_scale: float = 60.0


@dataclass(kw_only=True, slots=True)
class Mesh:
    """A triangle mesh with a colour at every vertex.

    Args:
        vertices: [V, 3] head units.
        triangles: [T, 3] vertex indices, counter-clockwise seen from outside.
        colours: [V, 3] linear RGB.
        material: what it is made of, one of `rodin.materials.MATERIALS`.
        blends: shares [V] of other materials that lie over it; the rest of each vertex is `material`.
    """

    vertices: Array
    triangles: Index
    colours: Array
    surface: Surface
    material: str
    blends: dict[str, Array] = field(default_factory=dict)

    def normals(self) -> Array:
        """Area-weighted vertex normals [V, 3], pointing outward."""
        return vertex_normals(self.vertices, self.triangles)


@dataclass(kw_only=True, slots=True)
class Strands:
    """Hair, brows or beard, all of the material "hair": N polylines of K points, with a radius that shrinks to the tip.

    Args:
        points: [N, K, 3] head units, from root to tip.
        radius: radius at the root in head units.
        tip: radius at the tip as a fraction of the root's.
        colour: [3] linear RGB; the renderer varies its brightness from strand to strand by `variation`.
    """

    name: str
    points: Array
    radius: float
    colour: Array
    tip: float = 0.35
    roughness: float = 0.42
    variation: float = 0.25


@dataclass(kw_only=True, slots=True)
class Parts:
    """Everything of one avatar that is rendered, in head units."""

    meshes: list[Mesh] = field(default_factory=list)
    strands: list[Strands] = field(default_factory=list)

    def add(self, other: Parts) -> None:
        """Append the meshes and strands of `other`."""
        self.meshes.extend(other.meshes)
        self.strands.extend(other.strands)

    def points(self) -> Array:
        """Every vertex and strand point [M, 3] in head units."""
        blocks = [mesh.vertices for mesh in self.meshes] + [s.points.reshape(-1, 3) for s in self.strands]
        return np.concatenate(blocks).astype(np.float32)


def vertex_normals(vertices: Array, triangles: Index) -> Array:
    """Area-weighted unit normals [V, 3] of a triangle mesh."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, i], 3), len(vertices)) for i in range(3)], axis=1
    )
    return normalize(total).astype(np.float32)


def signed_volume(vertices: Array, triangles: Index) -> float:
    """Volume enclosed by a closed mesh, positive when its triangles face outward."""
    a, b, c = (vertices[triangles[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


def _scrambled(count: int) -> Array:
    """Different numbers [count] of 32 bits without an order, of which no few add up to as much as few others."""
    number: Array = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
    number = (number ^ (number >> 15)) * np.uint32(0x85EBCA77)
    return (number ^ (number >> 13)).astype(np.float64)


def boundary_edges(triangles: Index) -> Index:
    """Directed edges [E, 2] without a partner in the opposite direction; a closed mesh has none."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    size = int(triangles.max()) + 1
    # Where a mesh is closed, the edges that leave a vertex end where those come from that arrive there. Numbers that
    # stand for those other ends then have the same sum, and only the edges of other vertices need a search.
    number = _scrambled(size)
    leaving = np.bincount(edges[:, 0], number[edges[:, 1]], size)
    open_here = leaving != np.bincount(edges[:, 1], number[edges[:, 0]], size)
    edges = edges[open_here[edges].all(axis=1)]
    forward, backward = edges[:, 0] * size + edges[:, 1], edges[:, 1] * size + edges[:, 0]
    return edges[~np.isin(forward, backward)].astype(np.int32)


def close_rim(edges: Index) -> Index:
    """Triangles [T, 3] that close the loops of open directed edges [E, 2], without new vertices."""
    following: dict[int, list[int]] = {}
    for start, end in edges.tolist():
        following.setdefault(start, []).append(end)
    triangles = []
    while following:
        first = next(iter(following))
        loop = [first]
        while loop[-1] in following:
            ends = following[loop[-1]]
            loop.append(ends.pop())
            if not ends:
                del following[loop[-2]]
            if loop[-1] == first:
                # The new triangles run against the open edges.
                triangles += [(first, loop[k + 1], loop[k]) for k in range(1, len(loop) - 2)]
                break
    return np.array(triangles, np.int32).reshape(-1, 3)


def sample_surface(
    vertices: Array, triangles: Index, weight: Array, count: int, rng: np.random.Generator
) -> tuple[Index, Array]:
    """Random points on a mesh, denser where the vertex weight [V] is larger.

    Returns:
        The vertex indices [count, 3] of each point's triangle and its barycentric coordinates [count, 3, 1].
    """
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * weight[triangles].mean(1)
    chosen = triangles[rng.choice(len(triangles), count, p=area / area.sum())]
    root, second = np.sqrt(rng.random(count)), rng.random(count)
    bary = np.stack([1 - root, root * (1 - second), root * second], axis=1)
    return chosen, bary[..., None].astype(np.float32)


def sphere_mesh(center: Array, radius: Array, rings: int, segments: int) -> tuple[Array, Index]:
    """A closed ellipsoid whose first pole looks along +z: vertices and triangles."""
    theta = np.linspace(0.0, np.pi, rings + 1)[1:-1, None]
    phi = np.linspace(0.0, 2.0 * np.pi, segments, endpoint=False)[None, :]
    ring = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0.0 * phi], axis=-1
    ).reshape(-1, 3)
    unit = np.concatenate([[(0.0, 0.0, 1.0)], ring, [(0.0, 0.0, -1.0)]])
    last = len(unit) - 1
    j = np.arange(segments)
    k = (j + 1) % segments
    faces = [np.stack([0 * j, 1 + j, 1 + k], 1)]
    for row in range(rings - 2):
        top, bottom = 1 + row * segments, 1 + (row + 1) * segments
        faces += [np.stack([top + j, bottom + j, bottom + k], 1), np.stack([top + j, bottom + k, top + k], 1)]
    faces.append(np.stack([0 * j + last, last - segments + k, last - segments + j], 1))
    return (unit * radius + center).astype(np.float32), np.concatenate(faces).astype(np.int32)


def tube_mesh(path: Array, radius: Array | float, *, closed: bool, sides: int = 8) -> tuple[Array, Index]:
    """A round tube along a polyline [K, 3]; open tubes get capped ends."""
    count = len(path)
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = normalize(ahead)
    # A fixed reference direction keeps neighbouring rings aligned, because no tube here turns along all three axes.
    spread = np.abs(tangent).max(0)
    reference = np.eye(3)[int(np.argmin(spread))]
    side = normalize(np.cross(tangent, reference))
    up = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    width = np.broadcast_to(np.asarray(radius, np.float32), (count,))[:, None, None]
    ring = side[:, None] * np.cos(angle)[None, :, None] + up[:, None] * np.sin(angle)[None, :, None]
    vertices = (path[:, None] + width * ring).reshape(-1, 3)
    j = np.arange(sides)
    k = (j + 1) % sides
    faces = []
    for i in range(count if closed else count - 1):
        a, b = i * sides, ((i + 1) % count) * sides
        faces += [np.stack([a + j, a + k, b + k], 1), np.stack([a + j, b + k, b + j], 1)]
    if not closed:
        first, last = len(vertices), len(vertices) + 1
        vertices = np.concatenate([vertices, path[:1], path[-1:]])
        end = (count - 1) * sides
        faces += [np.stack([0 * j + first, k, j], 1), np.stack([0 * j + last, end + j, end + k], 1)]
    triangles = np.concatenate(faces).astype(np.int32)
    if signed_volume(vertices, triangles) < 0:
        triangles = triangles[:, ::-1]
    return vertices.astype(np.float32), np.ascontiguousarray(triangles)
