"""Hair styles: where strands start, where they are combed, and how long they are.

Every style is a function that returns grown strands; `hair` then clears the face, tucks them under the hat, keeps them
out of the clothes and inside the envelope. `detail` scales the number of strands, whose radius makes up for it, so that
the cover stays the same, and less so the number of their points.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from rodin.synth.body.drape import Drape, Draped, Obstacles
from rodin.synth.body.geometry import (
    Array,
    Mesh,
    Parts,
    Strands,
    Surface,
    linear,
    normalize,
    smoothstep,
    sphere_mesh,
    tube_mesh,
)
from rodin.synth.body.head import Head, roots, scalp
from rodin.synth.body.strands import DOWN, Collider, children, curl, cut_at_envelope, grow, refine
from rodin.synth.recipe import HAIR_COLOURS, AvatarRecipe, Stream

UP = -DOWN
BACK = np.array((0.0, 0.0, -1.0))
#: The crown, from which short hair runs in all directions, and the middle of the skull.
WHORL = np.array((0.0, 1.08, -0.52))
SKULL = np.array((0.0, 0.30, -0.10))
RADIUS = 0.0088


#: Styles that hang down to the clothes, and lie on them.
HANGING = ("bob", "long straight", "long wavy", "ponytail", "braids")


@dataclass(kw_only=True, slots=True)
class Salon:
    """What every style works with.

    Args:
        collider: head and clothes, which hair stays in front of.
        drape: the clothes, which hair that hangs lies on.
        detail: share of the full number of strands.
        side: +1 or -1, the side that asymmetric styles fall to.
        part: x of the parting of long hair.
    """

    head: Head
    collider: Collider
    drape: Drape
    recipe: AvatarRecipe
    detail: float
    rng: np.random.Generator
    side: float
    part: float

    def seeds(self, count: float, weight: Array | None = None) -> tuple[Array, Array]:
        """Roots [N, 3] and normals [N, 3] on the scalp, or where `weight` [V] says so."""
        where = scalp(self.head) if weight is None else weight
        place, normal, _ = roots(self.head, where, max(20, int(count * self.detail)), self.rng)
        return place, normal

    def vary(self, count: int, spread: float) -> Array:
        """Factors [count] around 1."""
        return 1.0 + self.rng.uniform(-spread, spread, count)


def _along_skin(direction: Array, normal: Array) -> Array:
    """The part of `direction` that is tangent to the skin, of unit length."""
    return normalize(direction - normal * np.sum(direction * normal, axis=1, keepdims=True))


def _from_crown(points: Array) -> Array:
    """Directions [N, 3] away from the whorl."""
    return normalize(points - WHORL)


def _buzz(salon: Salon) -> Array:
    place, normal = salon.seeds(15000)
    length = np.full(len(place), 0.05)
    lean = normalize(normal + 0.9 * _along_skin(_from_crown(place), normal))
    return grow(
        place, lean, length, 3, steer=lambda p, d, t: lean, collider=salon.collider, clearance=0.0, stiffness=0.5
    )


def _short(salon: Salon) -> Array:
    """Combed away from the crown, short at the sides; the front falls forward and to one side."""
    place, normal = salon.seeds(3800)
    top = smoothstep(0.45, 0.95, place[:, 1])
    side = salon.side
    flow = _from_crown(place) + np.outer(top * smoothstep(0.0, 0.6, place[:, 2]), (0.75 * side, 0.0, 0.1))
    flow = _along_skin(flow + (1 - top)[:, None] * 0.8 * DOWN, normal)
    reach = 0.34 * (0.50 + 0.55 * top) * salon.vary(len(place), 0.2)
    clearance = (0.02 + 0.055 * salon.rng.random(len(place))) * (0.5 + 0.5 * top)

    def steer(p: Array, d: Array, t: float) -> Array:
        return flow + 0.25 * t * DOWN - 0.25 * t * salon.collider.normal_at(p)

    strands = grow(
        place, normal * 0.6 + flow, reach, 8, steer=steer, collider=salon.collider, clearance=clearance, stiffness=0.62
    )
    return children(strands, 7, 0.028, 0.020, rng=salon.rng)


def _quiff(salon: Salon) -> Array:
    """Short sides; the front rises and rolls back."""
    place, normal = salon.seeds(3800)
    top = smoothstep(0.62, 0.92, place[:, 1])
    front = smoothstep(-0.3, 0.6, place[:, 2]) * top
    sides = _along_skin(DOWN + 0.7 * BACK, normal)
    rise = UP + 0.55 * np.array((0.0, 0.0, 1.0))
    flow = normalize(front[:, None] * rise + (top - front)[:, None] * (BACK + 0.2 * UP) + (1 - top)[:, None] * sides)
    reach = (0.15 + 0.20 * top + 0.26 * front) * salon.vary(len(place), 0.12)
    clearance = 0.015 + 0.06 * top * salon.rng.random(len(place))

    def steer(p: Array, d: Array, t: float) -> Array:
        # Tips that end lying down: hair that points at a camera behind shows it only its own shadow.
        roll = (2.4 * t * front)[:, None] * (BACK + 0.9 * t * DOWN)
        return flow * (1.0 - 0.6 * t) + roll + (0.3 * t * (1 - front))[:, None] * DOWN

    strands = grow(
        place, normal * 0.5 + flow, reach, 10, steer=steer, collider=salon.collider, clearance=clearance, stiffness=0.7
    )
    return children(strands, 7, 0.025, 0.020, rng=salon.rng)


def _curly(salon: Salon) -> Array:
    """Ringlets that stand away from the skull."""
    place, normal = salon.seeds(1700)
    outward = normalize(place - SKULL)
    reach = 0.42 * (0.65 + 0.35 * smoothstep(0.0, 0.8, place[:, 1])) * salon.vary(len(place), 0.2)

    def steer(p: Array, d: Array, t: float) -> Array:
        return outward + 0.9 * t * DOWN + 0.2 * UP * (1 - t)

    strands = grow(place, normal, reach, 8, steer=steer, collider=salon.collider, clearance=0.04, stiffness=0.6)
    locks = refine(strands, 20)
    turns = salon.rng.uniform(1.6, 2.8, len(locks))
    locks = curl(locks, 0.045, turns, salon.rng)
    return children(locks, 9, 0.030, 0.022, rng=salon.rng)


def _afro(salon: Salon) -> Array:
    """A round cloud of tight coils."""
    place, normal = salon.seeds(2600)
    outward = normalize(place - SKULL + np.array((0.0, 0.12, 0.0)))
    # Reach a common sphere, so that the outline is round whatever the skull.
    size = 1.30 + 0.04 * salon.rng.normal(0.0, 1.0, len(place))
    reach = np.clip(size - np.linalg.norm(place - SKULL, axis=1), 0.2, 0.62)
    strands = grow(
        place, normal, reach, 7, steer=lambda p, d, t: outward, collider=salon.collider, clearance=0.02, stiffness=0.5
    )
    locks = refine(strands, 22)
    locks = curl(locks, 0.030, salon.rng.uniform(3.0, 5.0, len(locks)), salon.rng)
    return children(locks, 6, 0.032, 0.034, rng=salon.rng)


def _mohawk(salon: Salon) -> Array:
    """A fan of stiff hair along the middle; the sides are shaved."""
    weight = scalp(salon.head) * (np.abs(salon.head.neutral[:, 0]) < 0.15)
    place, _ = salon.seeds(1500, weight)
    outward = normalize((place - SKULL) * (0.12, 1.0, 1.0))
    reach = (0.34 + 0.10 * smoothstep(-0.6, 0.4, place[:, 2])) * salon.vary(len(place), 0.15)
    fan = lambda p, d, t: outward + 0.3 * t * BACK  # noqa: E731
    strands = grow(place, outward, reach, 7, steer=fan, collider=salon.collider, clearance=0.0, stiffness=0.6)
    return children(strands, 7, 0.030, 0.022, rng=salon.rng)


def _falling(salon: Salon, *, length: float, volume: float, inward: float) -> Array:
    """Long hair that falls from a parting, lies on the skull and hangs in front of and behind the shoulders."""
    place, normal = salon.seeds(3200)
    count = len(place)
    side = np.sign(place[:, 0] - salon.part + salon.rng.normal(0, 0.012, count))
    side = np.where(side == 0, 1.0, side)
    comb = np.stack([0.95 * side, 0.15 * np.ones(count), np.where(place[:, 2] > 0.1, -0.45, -0.25)], axis=1)
    layer = salon.rng.random(count)
    clearance = 0.03 + (volume if salon.recipe.hat == "none" else 0.4 * volume) * layer
    # Hair ends on one level: roots higher up grow longer.
    reach = length * (0.80 + 0.28 * smoothstep(-0.5, 1.1, place[:, 1])) * salon.vary(count, 0.07)

    def steer(p: Array, d: Array, t: float) -> Array:
        surface = salon.collider.normal_at(p)
        combed = np.exp(-5.0 * t) * smoothstep(0.45, 1.0, p[:, 1])[:, None] * 2.2 * comb
        hug = np.where(p[:, 1:2] > -0.55, 0.40, 0.0) * surface
        framed = (p[:, 2] > 0.02) & (np.abs(p[:, 0]) < 0.84) & (p[:, 1] < 0.62)
        aside = 1.5 * framed[:, None] * np.stack([0.7 * np.sign(p[:, 0]), 0 * t * p[:, 0], -np.ones(count)], axis=1)
        radial = normalize(p * (1.0, 0.0, 1.0))
        return combed + 1.25 * DOWN + aside - hug - inward * smoothstep(0.6, 1.0, np.full(1, t)) * radial

    start = normal * 0.45 + 0.8 * comb + 0.2 * DOWN
    hanging = Draped(salon.collider, salon.drape)
    return grow(place, start, reach, 17, steer=steer, collider=hanging, clearance=clearance, stiffness=0.45)


def _bob(salon: Salon) -> Array:
    strands = _falling(salon, length=1.12, volume=0.13, inward=0.55)
    return children(strands, 6, 0.026, 0.028, rng=salon.rng)


def _long(salon: Salon) -> Array:
    return children(_falling(salon, length=1.58, volume=0.09, inward=0.1), 6, 0.026, 0.030, rng=salon.rng)


def _wavy(salon: Salon) -> Array:
    strands = _falling(salon, length=1.52, volume=0.18, inward=0.0)
    waves = curl(refine(strands, 26), 0.060, salon.rng.uniform(2.2, 3.2, len(strands)), salon.rng)
    return children(waves, 6, 0.028, 0.026, rng=salon.rng)


def _sleek(salon: Salon, ties: Array) -> Array:
    """Hair combed close to the skull toward the nearest of the ties [M, 3]."""
    place, normal = salon.seeds(3600)
    nearest = np.linalg.norm(place[:, None] - ties[None], axis=2).argmin(axis=1)
    goal = ties[nearest]
    reach = 1.10 * np.linalg.norm(goal - place, axis=1)

    def steer(p: Array, d: Array, t: float) -> Array:
        toward = normalize(goal - p)
        return toward if t > 0.7 else _along_skin(toward, salon.collider.normal_at(p))

    start = _along_skin(goal - place, normal) + 0.12 * normal
    clearance = 0.020 + 0.025 * salon.rng.random(len(place))
    strands = grow(place, start, reach, 18, steer=steer, collider=salon.collider, clearance=clearance, stiffness=0.2)
    # Beyond the tie hair would show on its far side: gather what overshoots.
    gone = np.cumsum(np.linalg.norm(strands - goal[:, None], axis=2) < 0.09, axis=1) > 0
    strands = np.where(gone[..., None], goal[:, None] + 0.5 * (strands - goal[:, None]), strands)
    return children(strands, 6, 0.024, 0.014, rng=salon.rng)


def _tie(center: Array, axis: Array, radius: float, salon: Salon) -> Mesh:
    """A hair tie: a small ring across `axis`."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    side = normalize(np.cross(axis, np.array((0.31, 0.2, 0.93))))
    up = np.cross(normalize(axis), side)
    ring = center + radius * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up)
    vertices, triangles = tube_mesh(ring, 0.032, closed=True)
    base = linear(HAIR_COLOURS[salon.recipe.hair_color])
    tone = linear("#7d2a38") if base.max() < 0.25 else linear("#3b2a4a")
    colours = np.tile(tone, (len(vertices), 1)).astype(np.float32)
    return Mesh(
        vertices=vertices,
        triangles=triangles,
        colours=colours,
        surface=Surface(name="tie", roughness=0.7),
        material="other",
    )


def _ponytail(salon: Salon) -> tuple[Array, list[Mesh]]:
    tie = np.array((0.0, 0.62, -1.03))
    count = max(60, int(1100 * salon.detail))
    start = tie + salon.rng.normal(0, 0.05, (count, 3))
    spread = salon.rng.normal(0, 0.20, (count, 3))
    reach = 1.35 * salon.vary(count, 0.12)

    def steer(p: Array, d: Array, t: float) -> Array:
        return DOWN + 0.25 * spread + (0.5 if t < 0.25 else 0.0) * BACK

    tail = grow(
        start,
        BACK + 0.35 * UP + spread,
        reach,
        18,
        steer=steer,
        collider=Draped(salon.collider, salon.drape),
        clearance=0.07,
        stiffness=0.72,
    )
    tail = children(tail, 6, 0.030, 0.035, rng=salon.rng)
    ring = _tie(tie + np.array((0.0, 0.02, -0.03)), np.array((0.0, 0.3, -1.0)), 0.10, salon)
    return np.concatenate([_sleek(salon, tie[None]), tail]), [ring]


def _bun(salon: Salon) -> tuple[Array, list[Mesh]]:
    """Hair swept up into a ball of wound strands on a solid core, which keeps it opaque."""
    tie = np.array((0.0, 1.06, -0.52))
    center = tie + np.array((0.0, 0.17, -0.11))
    count = max(100, int(2600 * salon.detail))
    axis = normalize(np.array((0.0, 0.85, -0.5)))
    tilt = normalize(axis + salon.rng.normal(0, 0.35, (count, 3)))
    first = normalize(np.cross(tilt, np.array((1.0, 0.13, 0.2))))
    second = np.cross(tilt, first)
    latitude = salon.rng.uniform(-1, 1, count)
    angle = salon.rng.random((count, 1)) * 2 * np.pi + np.linspace(0, 2.4, 18)
    radius = 0.265 + 0.012 * salon.rng.normal(0, 1, count)
    ring = np.sqrt(1 - 0.85 * latitude**2)[:, None, None]
    around = ring * (first[:, None] * np.cos(angle)[..., None] + second[:, None] * np.sin(angle)[..., None])
    ball = center + radius[:, None, None] * (around + (0.9 * latitude)[:, None, None] * tilt[:, None])
    vertices, triangles = sphere_mesh(center, np.full(3, 0.245), 24, 32)
    base = linear(HAIR_COLOURS[salon.recipe.hair_color])
    colours = np.tile(0.7 * base, (len(vertices), 1)).astype(np.float32)
    core = Mesh(
        vertices=vertices,
        triangles=triangles,
        colours=colours,
        surface=Surface(name="bun", roughness=0.6),
        material="hair",
    )
    sleek = _sleek(salon, tie[None])
    return np.concatenate([sleek, refine(children(ball, 3, 0.012, 0.012, rng=salon.rng), sleek.shape[1])]), [core]


def _braids(salon: Salon) -> tuple[Array, list[Mesh]]:
    """Two braids, each three strands that change places, from behind the ears over the chest."""
    ties = np.array(((0.70, -0.52, -0.32), (-0.70, -0.52, -0.32)))
    locks, rings = [_sleek(salon, ties)], []
    knots = 44
    t = np.linspace(0, 1, knots)
    for side in (1.0, -1.0):
        path = np.stack(
            [side * (0.70 + 0.06 * np.sin(np.pi * t)), -0.52 - 0.94 * t, -0.32 + 0.62 * smoothstep(0, 0.75, t)], 1
        )
        path = Draped(salon.collider, salon.drape).push_out(path, 0.12)
        tangent = normalize(np.gradient(path, axis=0))
        across = normalize(np.cross(tangent, np.array((0.0, 0.1, 1.0))))
        front = np.cross(across, tangent)
        swell = 1.0 - 0.35 * t
        for strand in range(3):
            phase = 2 * np.pi * (4.5 * t + strand / 3.0)
            middle = path + (0.075 * swell * np.sin(phase))[:, None] * across
            middle = middle + (0.045 * swell * np.sin(2 * phase))[:, None] * front
            count = max(12, int(420 * salon.detail))
            scatter = salon.rng.normal(0, 0.034, (count, 2))
            offset = scatter[:, None, :1] * across[None] + scatter[:, None, 1:] * front[None]
            locks.append(middle[None] + offset * swell[None, :, None])
        rings.append(_tie(path[-2], tangent[-2], 0.065, salon))
    return np.concatenate([refine(group, knots) for group in locks]), rings


def _fringe(salon: Salon) -> Array:
    """A fringe over the forehead that ends at the eyebrows."""
    head = salon.head
    x, y, z = np.abs(head.neutral[:, 0]), head.neutral[:, 1], head.neutral[:, 2]
    line = head.landmarks.hairline
    weight = scalp(head) * (x < 0.52) * (z > 0.1) * (y < line + 0.26)
    place, normal = salon.seeds(900, weight)
    end = head.landmarks.brow[1] + 0.07 + 0.03 * salon.rng.normal(0, 1, len(place))
    reach = np.clip(1.12 * (place[:, 1] - end), 0.12, 0.75)

    def steer(p: Array, d: Array, t: float) -> Array:
        forward = np.array((0.0, 0.1, 0.8)) * (1 - t)
        return forward + DOWN * (0.35 + t) - 0.25 * salon.collider.normal_at(p)

    clearance = 0.035 + 0.045 * salon.rng.random(len(place))
    start = normal * 0.5 + np.array((0, 0, 0.7))
    strands = grow(place, start, reach, 17, steer=steer, collider=salon.collider, clearance=clearance, stiffness=0.5)
    return children(strands, 6, 0.022, 0.016, rng=salon.rng)


def _clear_of_eyes(strands: Array, head: Head) -> Array:
    """Drop strands that hang over the eyes, the nose or the mouth."""
    points = strands
    brow = float(head.eyes[0].center[1]) + 0.25
    width = 0.56 * (1 - 0.25 * smoothstep(-0.4, -1.0, points[..., 1]))
    over = (
        (np.abs(points[..., 0]) < width) & (points[..., 1] < brow) & (points[..., 1] > -1.0) & (points[..., 2] > 0.42)
    )
    return strands[~over.any(axis=1)]


def hair(head: Head, recipe: AvatarRecipe, obstacles: Obstacles, detail: float) -> Parts:
    """The recipe's hair as strands, with ties and cores as meshes."""
    parts = Parts()
    if recipe.hair == "bald":
        return parts
    # An avatar parts its hair on the same side at every level of detail.
    parting, rng = recipe.generator(Stream.PARTING), recipe.generator(Stream.HAIR_STRANDS)
    side, part = float(parting.choice([-1.0, 1.0])), float(parting.choice([-0.22, 0.0, 0.22]))
    salon = Salon(head=head, collider=obstacles.collider, drape=obstacles.drape, recipe=recipe, detail=detail, rng=rng,
                  side=side, part=part)  # fmt: skip
    meshes: list[Mesh] = []
    match recipe.hair:
        case "buzz cut":
            strands = _buzz(salon)
        case "short":
            strands = _short(salon)
        case "quiff":
            strands = _quiff(salon)
        case "curly":
            strands = _curly(salon)
        case "afro":
            strands = _afro(salon)
        case "mohawk":
            strands = _mohawk(salon)
        case "bob":
            strands = _bob(salon)
        case "long straight":
            strands = _long(salon)
        case "long wavy":
            strands = _wavy(salon)
        case "ponytail":
            strands, meshes = _ponytail(salon)
        case "bun":
            strands, meshes = _bun(salon)
        case "braids":
            strands, meshes = _braids(salon)
        case _:
            raise ValueError(f"there is no hair style {recipe.hair!r}")
    groups = [strands]
    if recipe.fringe:
        groups.append(_fringe(dataclasses.replace(salon, rng=recipe.generator(Stream.FRINGE_STRANDS))))
    colour = linear(HAIR_COLOURS[recipe.hair_color])
    radius = RADIUS / np.sqrt(detail) * (0.75 if recipe.hair == "buzz cut" else 1.0)
    for group in groups:
        knots = round(group.shape[1] * max(detail, 0.35) ** 0.5)  # long enough segments still bend around hat and head
        kept = _clear_of_eyes(cut_at_envelope(refine(group, knots)), head)
        if obstacles.shell is not None:
            kept = obstacles.shell.tuck(kept)
        if recipe.hair in HANGING:
            kept = cut_at_envelope(obstacles.drape.lay_strands(kept, 0.012))
        kept = obstacles.drape.end_strands(kept)
        if len(kept):
            parts.strands.append(Strands(name="hair", points=kept.astype(np.float32), radius=radius, colour=colour))
    parts.meshes.extend(meshes)
    return parts
