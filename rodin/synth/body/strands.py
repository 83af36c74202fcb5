"""Growing and shaping polylines of hair. Strands are [N, K, 3] from root to tip, in head units.

A strand grows knot by knot: it keeps some of its direction, turns toward where its style steers it, and is pushed out
of whatever it would enter. Few grown strands carry many children, which makes locks and costs almost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.spatial import cKDTree

from rodin.synth.body.geometry import BOX_LIMIT, ENVELOPE_RADIUS, Array, normalize, to_world

DOWN = np.array((0.0, -1.0, 0.0))
#: Steering: knots [N, 3], directions [N, 3] and the fraction t grown give the direction [N, 3] to turn to.
Steer = Callable[[Array, Array, float], Array]


class Surrounding(Protocol):
    """What strands stay in front of."""

    def push_out(self, points: Array, offset: Array | float) -> Array:
        """Points [N, 3], moved until they are `offset` in front of it."""
        ...

    def normal_at(self, points: Array) -> Array:
        """Its normals [N, 3] nearest to points [N, 3]."""
        ...


class Collider:
    """A surface as its vertices and normals, which strands stay in front of."""

    def __init__(self, vertices: Array, normals: Array) -> None:
        self.vertices, self.normals = vertices, normals
        self._tree = cKDTree(vertices)

    def push_out(self, points: Array, offset: Array | float) -> Array:
        """Move points [N, 3] along the normal of the nearest vertex until they are `offset` in front of it."""
        _, index = self._tree.query(points)
        normal = self.normals[index]
        depth = np.asarray(offset) - np.einsum("ij,ij->i", points - self.vertices[index], normal)
        return points + normal * np.maximum(depth, 0.0)[:, None]

    def normal_at(self, points: Array) -> Array:
        """Normals [N, 3] at the vertices nearest to points [N, 3]."""
        return self.normals[self._tree.query(points)[1]]


def grow(
    roots: Array,
    directions: Array,
    length: Array,
    knots: int,
    steer: Steer,
    collider: Surrounding,
    *,
    clearance: Array | float,
    stiffness: float,
) -> Array:
    """Grow strands from roots [N, 3] along directions [N, 3] to length [N]; returns [N, knots, 3]."""
    points, direction = [roots], normalize(directions)
    step = (np.broadcast_to(length, (len(roots),)) / (knots - 1))[:, None]
    for i in range(1, knots):
        t = i / (knots - 1)
        direction = normalize(stiffness * direction + (1.0 - stiffness) * steer(points[-1], direction, t))
        # The clearance rises from the root on, so that hair leaves the skin gradually.
        ahead = collider.push_out(points[-1] + direction * step, np.asarray(clearance) * min(1.0, 3.0 * t))
        direction = normalize(ahead - points[-1])
        points.append(ahead)
    return np.stack(points, axis=1).astype(np.float32)


def children(strands: Array, count: int, root_spread: float, tip_spread: float, rng: np.random.Generator) -> Array:
    """`count` neighbours of every strand, displaced by a normal offset that changes from root to tip."""
    total, knots, _ = strands.shape
    t = np.linspace(0.0, 1.0, knots)
    width = root_spread + (tip_spread - root_spread) * t
    offset = rng.normal(0.0, 1.0, (total, count, 1, 3)) * width[None, None, :, None]
    offset[:, 0] *= 0.25
    return (strands[:, None] + offset).reshape(total * count, knots, 3).astype(np.float32)


def curl(strands: Array, radius: float, turns: Array | float, rng: np.random.Generator, *, locks: int = 1) -> Array:
    """Wind strands around themselves; `locks` neighbours in a row share their phase and so stay a lock."""
    total, knots, _ = strands.shape
    t = np.linspace(0.0, 1.0, knots)
    phase = np.repeat(rng.random((-(-total // locks), 1)) * 2 * np.pi, locks, axis=0)[:total]
    tangent = normalize(np.gradient(strands, axis=1))
    side = normalize(np.cross(tangent, np.array((0.3, 0.5, 0.8))))
    up = np.cross(side, tangent)
    angle = (phase + 2 * np.pi * np.asarray(turns).reshape(-1, 1) * t)[..., None]
    reach = (radius * np.minimum(3.0 * t, 1.0))[None, :, None]
    return (strands + reach * (side * np.cos(angle) + up * np.sin(angle))).astype(np.float32)


def refine(strands: Array, knots: int) -> Array:
    """The same polylines with more knots, by linear interpolation."""
    place = np.linspace(0.0, strands.shape[1] - 1.0, knots)
    low = np.minimum(place.astype(int), strands.shape[1] - 2)
    share = (place - low)[None, :, None]
    return (strands[:, low] * (1.0 - share) + strands[:, low + 1] * share).astype(np.float32)


def cut_at_envelope(strands: Array, margin: float = 0.014) -> Array:
    """End strands where they leave the unit box or the envelope's sphere; `margin` leaves room for their radius.

    Pressing them back instead would heap up long hair on the sphere.
    """
    world = to_world(strands)
    outside = (np.abs(world) > BOX_LIMIT - margin).any(-1)
    outside |= np.linalg.norm(world, axis=-1) > ENVELOPE_RADIUS - margin
    return cut_where(strands, outside)


def cut_where(strands: Array, outside: Array) -> Array:
    """End strands [N, K, 3] before the first of their points that is `outside` [N, K]; drop those that begin there."""
    gone = np.cumsum(outside, axis=1) > 0
    last = np.maximum((~gone).sum(axis=1) - 1, 0)
    stop = strands[np.arange(len(strands)), last][:, None]
    return np.where(gone[..., None], stop, strands)[~gone[:, 0]].astype(np.float32)
