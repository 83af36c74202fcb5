"""Skin colour, eyes and eyebrows: what makes a head a face."""

from __future__ import annotations

import numpy as np

from rodin.synth.body.geometry import Array, Mesh, Parts, Strands, Surface, linear, normalize, smoothstep, sphere_mesh
from rodin.synth.body.head import Head, beard_region, mirrored, scalp
from rodin.synth.recipe import EYE_COLOURS, HAIR_COLOURS, AvatarRecipe, Stream

SKIN = Surface(name="skin", roughness=0.50, specular=0.32, subsurface=0.22, bump=0.05, bump_scale=70.0)
EYE = Surface(name="eye", roughness=0.15, specular=0.25, coat=0.15)


def skin_mesh(head: Head, recipe: AvatarRecipe) -> Mesh:
    """The skin with its colour: blush, lips, wrinkles, freckles and the shadow of hair on the scalp."""
    base = linear(recipe.skin_color)
    colours = np.tile(base, (len(head.vertices), 1))
    place = mirrored(head.neutral)
    marks = head.landmarks
    hair = linear(HAIR_COLOURS[recipe.hair_color])

    blends: dict[str, Array] = {}

    def blend(weight: Array, colour: Array, material: str = "skin") -> None:
        colours[:] += weight[:, None] * (colour - colours)
        if material == "skin":
            return
        for other in blends:
            blends[other] *= 1 - weight
        blends[material] = blends.get(material, 0.0) + weight

    def spot(center: tuple[float, float, float], size: tuple[float, float, float]) -> Array:
        return np.exp(-(((place - np.array(center)) / np.array(size)) ** 2).sum(1))

    ruddy = base * np.array((1.03, 0.64, 0.60))
    front = marks.mouth[2]
    blend(0.50 * spot((0.40, marks.nose_tip[1] - 0.03, front - 0.14), (0.20, 0.17, 0.22)), ruddy)
    blend(0.40 * spot(marks.nose_tip, (0.15, 0.13, 0.16)), ruddy)
    blend(0.45 * head.ears, ruddy)
    blend(0.16 * spot((0.0, marks.chin[1] + 0.1, front - 0.1), (0.2, 0.12, 0.2)), ruddy)
    if recipe.freckles:
        blend(_freckles(head, recipe), base * np.array((0.62, 0.45, 0.36)))
    colours *= head.shade[:, None]
    lip_color = base * np.array((0.86, 0.50, 0.47))
    if recipe.sex == "woman":
        painted = base * np.array((0.85, 0.42, 0.42)) + linear("#b03a48") * (0.4 + 0.6 * base.max())
        lip_color = lip_color + (0.3 if recipe.age == "child" else 1.0) * (0.5 * painted - lip_color)
    blend(0.85 * head.lips, lip_color * head.shade[:, None], "lips")
    blend(head.mouth, linear("#3a1013"), "mouth")
    if recipe.age == "elderly":
        blend(0.6 * _wrinkles(head), base * np.array((0.45, 0.33, 0.28)))
    if recipe.beard == "full beard":
        blend(0.75 * beard_region(head), 0.8 * hair, "hair")
    if recipe.hair != "bald":
        blend(0.85 * scalp(head) * hair_cover(head, recipe), 0.8 * hair, "hair")
    return Mesh(
        vertices=head.vertices,
        triangles=head.triangles,
        colours=colours.astype(np.float32),
        surface=SKIN,
        material="skin",
        blends=blends,
    )


def hair_cover(head: Head, recipe: AvatarRecipe) -> Array:
    """Share [V] of the scalp that a style covers: a mohawk leaves the sides almost bare."""
    x = np.abs(head.neutral[:, 0])
    if recipe.hair == "mohawk":
        return 0.25 + 0.75 * smoothstep(0.26, 0.18, x)
    return np.ones(len(x), np.float32)


def _freckles(head: Head, recipe: AvatarRecipe) -> Array:
    """Weight [V] of small dots over nose and cheeks."""
    rng = recipe.generator(Stream.FRECKLES)
    tip = np.array(head.landmarks.nose_tip)
    spots = tip + rng.normal(0.0, 1.0, (70, 3)) * (0.30, 0.09, 0.0) + (0.0, 0.03, -0.16)
    gap = np.hypot(head.neutral[:, None, 0] - spots[None, :, 0], head.neutral[:, None, 1] - spots[None, :, 1])
    front = head.neutral[:, 2] > 0.5
    return 0.55 * np.exp(-((gap.min(1) / 0.017) ** 2)) * front * (1 - head.lips)


#: Strokes on the +x half of an old face, as (from, to, half-width) in x and y; heights are relative to a landmark.
_STROKES = {
    "nose_tip": (((0.17, 0.02), (0.26, -0.12), 0.030), ((0.26, -0.12), (0.35, -0.29), 0.030)),
    "mouth": (((0.29, -0.04), (0.31, -0.24), 0.026),),
    "brow": (
        ((0.00, 0.17), (0.36, 0.19), 0.017),
        ((0.00, 0.26), (0.40, 0.28), 0.017),
        ((0.00, 0.35), (0.36, 0.37), 0.017),
        ((0.05, 0.00), (0.06, 0.10), 0.017),
        ((0.57, -0.17), (0.70, -0.10), 0.016),
        ((0.58, -0.21), (0.72, -0.21), 0.016),
        ((0.57, -0.25), (0.70, -0.31), 0.016),
        ((0.16, -0.40), (0.32, -0.47), 0.026),
        ((0.32, -0.47), (0.48, -0.42), 0.026),
    ),
}


def _wrinkles(head: Head) -> Array:
    """Weight [V] of the folds that age draws: forehead, corners of the eyes, bags, and beside nose and mouth."""
    x, y, z = mirrored(head.neutral).T
    weight = np.zeros(len(x), np.float32)
    for mark, strokes in _STROKES.items():
        height = getattr(head.landmarks, mark)[1]
        for (x0, y0), (x1, y1), width in strokes:
            along = (x - x0) * (x1 - x0) + (y - height - y0) * (y1 - y0)
            along = np.clip(along / np.hypot(x1 - x0, y1 - y0) ** 2, 0, 1)
            gap = np.hypot(x - x0 - along * (x1 - x0), y - height - y0 - along * (y1 - y0))
            weight = np.maximum(weight, np.exp(-((gap / width) ** 2)))
    return (weight * smoothstep(0.3, 0.5, z) * (1 - head.lips)).astype(np.float32)


def eye_meshes(head: Head, recipe: AvatarRecipe) -> Parts:
    """Two eyeballs with iris, pupil, a dark limbal ring and a painted highlight.

    The highlight is paint, not reflection, because a tri-plane's colour does not depend on the view.
    """
    iris = linear(EYE_COLOURS[recipe.eyes])
    parts = Parts()
    for eye, side in zip(head.eyes, (1.0, -1.0), strict=True):
        vertices, triangles = sphere_mesh(np.zeros(3), np.ones(3), 96, 96)
        # The gaze converges a little, as it does on a face at talking distance.
        yaw = -0.05 * side
        turn = np.array(((np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))))
        angle = np.arccos(np.clip(vertices[:, 2], -1, 1))
        around = np.arctan2(vertices[:, 1], vertices[:, 0])
        colours = np.tile(linear("#efeae4"), (len(vertices), 1))
        colours *= 1.0 - 0.25 * smoothstep(0.75, 1.2, angle)[:, None] * np.array((0.4, 1.0, 1.0))
        edge, pupil = eye.iris, 0.45 * eye.iris
        streak = 1.0 + 0.18 * np.sin(around * 23) * np.sin(around * 9 + 1)
        bright = (0.75 + 1.1 * smoothstep(0.15, edge - 0.1, angle) * (0.75 - 0.5 * np.sin(around))) * streak
        ring = 1.0 - 0.75 * smoothstep(edge - 0.10, edge, angle)
        weight = smoothstep(edge + 0.03, edge - 0.02, angle)[:, None]
        colours += weight * (np.clip(iris * (bright * ring)[:, None], 0, 1) - colours)
        share = weight[:, 0].copy()
        colours += smoothstep(pupil + 0.03, pupil - 0.02, angle)[:, None] * (0.006 - colours)
        for place, size, strength in (((-0.17, 0.24), 0.105, 1.0), ((0.17, -0.20), 0.055, 0.5)):
            gap = np.hypot(vertices[:, 0] - place[0], vertices[:, 1] - place[1]) + (vertices[:, 2] < 0)
            shine = strength * smoothstep(size + 0.03, size - 0.03, gap)
            colours += shine[:, None] * (0.95 - colours)
            share *= 1 - shine  # the highlight keeps its colour whatever colour the iris takes
        placed = (vertices @ turn.T) * eye.radii + eye.center
        parts.meshes.append(
            Mesh(
                vertices=placed.astype(np.float32),
                triangles=triangles,
                colours=colours.astype(np.float32),
                surface=EYE,
                material="eye_white",
                blends={"iris": share},
            )
        )
    return parts


#: How expressions move the eyebrows: lift of the inner end, of the middle and of the outer end in head units.
BROW_MOTION = {
    "neutral": (0.0, 0.0, 0.0),
    "smiling": (0.015, 0.03, 0.01),
    "grinning": (0.03, 0.05, 0.02),
    "frowning": (-0.11, -0.05, 0.03),
    "sad": (0.11, 0.02, -0.05),
    "surprised": (0.12, 0.14, 0.09),
}


def eyebrows(head: Head, recipe: AvatarRecipe, detail: float) -> Strands:
    """Two tapered arcs of short hairs that lie on the skin."""
    marks, rng = head.landmarks, recipe.generator(Stream.BROW_STRANDS)
    count = int(700 * detail)
    side = np.where(rng.random(2 * count) < 0.5, 1.0, -1.0)
    u = rng.random(2 * count)
    inner, middle, outer = BROW_MOTION[recipe.expression]
    motion = inner * (1 - u) ** 2 + 2 * middle * u * (1 - u) + outer * u**2
    man = recipe.sex == "man"
    arch = (0.075 if man else 0.105) * np.sin(np.pi * np.clip(u, 0, 1) ** 0.85) - 0.035 * u
    heavy = (0.036 if man else 0.030) - (0.006 if recipe.age == "child" else 0.0)
    thick = (heavy + 0.010 * recipe.traits.brow_thickness) * (0.75 + 0.5 * np.sqrt(u)) * smoothstep(1.04, 0.55, u)
    spread = rng.uniform(-1, 1, 2 * count) * thick
    x = marks.brow[0] + marks.brow_length * u
    neutral = np.stack([side * x, marks.brow[1] + arch + motion + spread, np.full_like(u, marks.brow[2])], axis=1)
    place = head.onto_face(head.carry(neutral), 0.004)
    normal = head.normal_at(place)
    along = normalize(np.stack([side * (0.35 + u), 0.75 - 1.15 * u - 0.3 * spread / thick.clip(1e-3), 0 * u], 1))
    along = normalize(along - normal * np.einsum("ij,ij->i", along, normal)[:, None])
    length = 0.07 * (0.8 + 0.4 * rng.random(2 * count))
    t = np.linspace(0, 1, 4)
    lift = 0.012 * np.sin(np.pi * t)
    points = place[:, None] + along[:, None] * (length[:, None] * t)[..., None] + normal[:, None] * lift[None, :, None]
    flat = points.reshape(-1, 3)
    points = head.push_out(flat, 0.006).reshape(points.shape)
    colour = linear(HAIR_COLOURS[recipe.hair_color]) * 0.75
    if recipe.hair_color in ("white", "blond"):
        colour = 0.62 * colour
    radius = 0.0075 / np.sqrt(detail)
    return Strands(name="brow", points=points.astype(np.float32), radius=radius, colour=colour, tip=0.4)
