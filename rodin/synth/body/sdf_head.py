"""The project's own head: a signed distance field of a friendly stylised person, and no outside asset.

Features that must fit each other (lids and eyeballs, lips and mouth) are drawn in neutral space from the recipe's
numbers; the shape of the face is a smooth warp of that space afterwards, which the eyeballs share. Everything is
symmetric in x. Head units throughout (see mesh.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rodin.synth.body.geometry import (
    Array,
    Mesh,
    Parts,
    Surface,
    length,
    linear,
    signed_volume,
    smoothstep,
    sphere_mesh,
    tube_mesh,
    vertex_normals,
)
from rodin.synth.body.head import Eye, Head, Landmarks, bust_field, mirrored
from rodin.synth.body.sdf import Vector, capsule, ellipsoid, intersect, polygonize, sphere, subtract, union
from rodin.synth.recipe import AvatarRecipe

#: The skin ends here; clothes cover everything below their neckline, which is always higher.
FLOOR = -1.58

#: Widening of the face by name: cranium, cheekbones, jaw, chin (each a factor - 1), and how far the chin moves down.
FACE_WARPS = {
    "oval": (0.0, 0.0, -0.02, -0.02, 0.03),
    "round": (0.04, 0.12, 0.12, 0.10, -0.10),
    "square": (0.0, 0.02, 0.19, 0.30, 0.0),
    "heart-shaped": (0.05, 0.06, -0.12, -0.20, 0.03),
    "long": (-0.07, -0.10, -0.09, -0.03, 0.12),
    "diamond-shaped": (-0.06, 0.09, -0.09, -0.10, 0.06),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Measures of the face in head units, drawn from a recipe."""

    eye_center: Vector
    eye_radius: float
    lid_up: float
    lid_low: float
    lid_tilt: float
    nose_length: float
    nose_width: float
    lip: float
    mouth_width: float
    smile: float
    open: float
    ear: float
    cheek: float
    jaw: float
    chin: float
    neck: float
    shoulder: float
    age: float


#: Smile, opening of the mouth, opening of the upper lid (factor) by expression.
EXPRESSION_SHAPES = {
    "neutral": (0.12, 0.0, 1.0),
    "smiling": (0.85, 0.0, 0.95),
    "grinning": (1.0, 0.42, 0.88),
    "frowning": (-0.55, 0.0, 0.86),
    "sad": (-0.75, 0.0, 0.88),
    "surprised": (0.0, 1.15, 1.22),
}


def features(recipe: AvatarRecipe) -> Features:
    """Measures of the face from the recipe's standard scores, its sex, age and expression."""
    t = recipe.traits
    child = 1.0 if recipe.age == "child" else 0.0
    man = recipe.sex == "man" and not child
    smile, opening, lids = EXPRESSION_SHAPES[recipe.expression]
    age = 1.0 if recipe.age == "elderly" else 0.0
    radius = 0.232 + 0.017 * t.eye_size + 0.03 * child
    return Features(
        eye_center=(0.322 + 0.014 * t.eye_spacing, 0.0, 0.60 - 0.6 * (radius - 0.232)),
        eye_radius=radius,
        lid_up=(0.50 + 0.045 * t.eye_size - 0.07 * age) * lids,
        lid_low=0.36 + 0.02 * t.eye_size - (0.09 if smile > 0.5 else 0.0),
        lid_tilt=0.05 + 0.04 * t.eye_tilt - 0.03 * age,
        nose_length=0.035 * t.nose_length + (0.02 if man else -0.02) + 0.02 * age - 0.03 * child,
        nose_width=0.017 * t.nose_width + (0.012 if man else -0.010),
        lip=0.013 * t.lip_fullness + (-0.004 if man else 0.010) - 0.008 * age,
        mouth_width=0.255 + 0.018 * t.mouth_width,
        smile=smile,
        open=opening,
        ear=0.13 * t.ear_size,
        cheek=0.034 * t.cheek_fullness + 0.03 * child,
        jaw=(0.03 if man else -0.035) - 0.03 * child,
        chin=0.018 * t.chin + (0.02 if man else -0.02) - 0.03 * child,
        neck=(0.045 if man else -0.055) + 0.030 * t.neck_width + 0.012 * t.weight - 0.05 * child,
        shoulder=(0.07 if man else -0.07) - 0.05 * child,
        age=age,
    )


def lid_edges(f: Features, across: Array) -> tuple[Array, Array]:
    """Elevation in radians of the upper and the lower lid's edge at `across` in [-1, 1], from nose to temple."""
    arch = np.clip(1.0 - across * across, 0.0, 1.0)
    upper = f.lid_up * arch**0.62 + f.lid_tilt * across
    lower = -f.lid_low * arch**0.75 + f.lid_tilt * across
    return upper, lower


#: Half-width of the eye's opening in radians of azimuth around the eyeball.
LID_AZIMUTH = 0.98


def _eye_opening(x: Array, f: Features) -> Array:
    """Distance to the cone between the lids, from the centre of the eyeball."""
    q: Array = x - np.asarray(f.eye_center, np.float32)
    azimuth = np.arctan2(q[..., 0], q[..., 2])
    elevation = np.arctan2(q[..., 1], np.hypot(q[..., 0], q[..., 2]))
    upper, lower = lid_edges(f, np.clip(azimuth / LID_AZIMUTH, -1.0, 1.0))
    opening = np.maximum(elevation - upper, lower - elevation) * f.eye_radius
    return np.maximum(opening, 0.9 * f.eye_radius - length(q)) + (q[..., 2] < 0.02).astype(np.float32)


def _lip_frame(x: Array, f: Features) -> tuple[Array, Array, Array]:
    """Coordinates along the bent mouth: points with the bend taken out, the gap between the lips, height unopened."""
    width = f.mouth_width + 0.045 * max(f.smile, 0.0) - 0.05 * f.open * (f.smile < 0.5)
    across = np.minimum(x[..., 0] / width, 1.25)
    lift = 0.085 * f.smile * across**2 - 0.01 * f.smile
    height = x[..., 1] - MOUTH[1] - lift
    gap = 0.21 * f.open * np.sqrt(np.clip(1.0 - across**2, 0.0, 1.0))
    closed = np.where(height > 0, np.maximum(height - 0.30 * gap, 0.0), np.minimum(height + 0.70 * gap, 0.0))
    depth = x[..., 2] - (MOUTH[2] - 0.20 * across**2)
    return np.stack([x[..., 0] * (0.255 / width), closed, depth], axis=-1), gap, height


MOUTH: Vector = (0.0, -0.575, 0.80)


def _lips(bent: Array, f: Features) -> Array:
    """Distance to the two lips in the bent frame."""
    upper = ellipsoid(bent, (0.05, 0.040, -0.005), (0.205, 0.050 + f.lip, 0.078))
    lower = ellipsoid(bent, (0.0, -0.056, 0.002), (0.19, 0.058 + f.lip, 0.088))
    return union(upper, lower, 0.008)


def _skull(x: Array, f: Features) -> Array:
    """Cranium, face, cheeks, jaw and chin without features."""
    drop = 0.10 * f.open * (1.0 if f.smile < 0.5 else 0.45)
    d = ellipsoid(x, (0.0, 0.34, -0.10), (0.78, 0.83, 0.91))
    d = union(d, ellipsoid(x, (0.0, -0.36 - 0.4 * drop, 0.20), (0.60 + 0.5 * f.jaw, 0.62 + 0.3 * drop, 0.66)), 0.25)
    cheek_y = -0.26 + 0.05 * max(f.smile, 0.0)
    d = union(d, sphere(x, (0.37, cheek_y, 0.46), 0.265 + f.cheek + 0.025 * max(f.smile, 0.0)), 0.20)
    d = union(d, sphere(x, (0.36 + f.jaw, -0.66 - drop, 0.12), 0.17), 0.30)
    d = union(d, ellipsoid(x, (0.07, -0.90 - drop, 0.60), (0.21 + f.chin, 0.17 + f.chin, 0.19)), 0.24)
    # The brow ridge and the forehead carry the eyebrows.
    d = union(d, capsule(x, (0.0, 0.27, 0.70), (0.42, 0.25, 0.60), 0.10 + 0.6 * f.jaw), 0.18)
    return d


def _nose(x: Array, f: Features) -> Array:
    tip: Vector = (0.0, -0.25 - 0.5 * f.nose_length, 0.955 + f.nose_length)
    d = capsule(x, (0.0, 0.08, 0.76), tip, 0.055, end_radius=0.108 + 0.25 * f.nose_width)
    wing: Vector = (0.088 + f.nose_width, tip[1] - 0.035, 0.86 + 0.5 * f.nose_length)
    return union(d, ellipsoid(x, wing, (0.068, 0.062, 0.085)), 0.06)


def _ear(x: Array, f: Features) -> Array:
    """A cupped shell that stands off the head, with rim, bowl and lobe."""
    c, s = np.cos(0.42), np.sin(0.42)
    q: Array = x - np.asarray(EAR, np.float32)
    # Turned outward at the back, so that the bowl faces forward.
    r = np.stack([c * q[..., 0] + s * q[..., 2], q[..., 1], -s * q[..., 0] + c * q[..., 2]], axis=-1) / (1.0 + f.ear)
    d = ellipsoid(r, (0.0, 0.03, -0.03), (0.075, 0.235, 0.155))
    d = subtract(d, ellipsoid(r, (0.065, 0.05, -0.02), (0.065, 0.165, 0.100)), 0.03)
    d = union(d, ellipsoid(r, (-0.01, -0.17, 0.015), (0.055, 0.085, 0.070)), 0.05)
    d = union(d, sphere(r, (-0.02, -0.03, 0.10), 0.05), 0.05)
    return d * (1.0 + f.ear)


EAR: Vector = (0.79, -0.04, -0.10)


def _torso(x: Array, f: Features) -> Array:
    """Neck, shoulders and the upper chest."""
    d = capsule(x, (0.0, -0.45, -0.22), (0.0, -1.62, -0.28), 0.38 + f.neck, end_radius=0.42 + f.neck)
    shoulders = capsule(x, (0.0, -1.45, -0.26), (0.88 + f.shoulder, -1.67, -0.26), 0.30, end_radius=0.28)
    chest = ellipsoid(x, (0.0, -1.87, -0.13), (0.98 + f.shoulder, 0.62, 0.62))
    return union(d, union(shoulders, chest, 0.22), 0.30)


def _age_lines(d: Array, x: Array, f: Features) -> Array:
    """Folds from nose to mouth and bags under the eyes, deeper with age."""
    fold = capsule(x, (0.17, -0.32, 0.90), (0.33, -0.60, 0.72), 0.012 + 0.012 * f.age)
    d = subtract(d, fold, 0.03 + 0.03 * f.age)
    ex, ey, ez = f.eye_center
    bag = capsule(x, (ex - 0.10, ey - 0.19, ez + 0.24), (ex + 0.13, ey - 0.19, ez + 0.20), 0.012)
    return subtract(d, bag, 0.05)


def _face(d: Array, x: Array, f: Features) -> Array:
    """The distance `d` [N] at points [N, 3] with eyes, nose, mouth and the lines of age added."""
    ex, ey, ez = f.eye_center
    d = subtract(d, ellipsoid(x, (ex - 0.02, ey + 0.0, ez + 0.30), (0.24, 0.17, 0.16)), 0.16)
    d = union(d, sphere(x, f.eye_center, f.eye_radius + 0.026), 0.045)
    d = subtract(d, _eye_opening(x, f), 0.016)
    d = union(d, _nose(x, f), 0.09)
    nostril: Vector = (0.058 + 0.7 * f.nose_width, -0.335 - 0.5 * f.nose_length, 0.895 + 0.5 * f.nose_length)
    d = subtract(d, ellipsoid(x, nostril, (0.026, 0.026, 0.036)), 0.025)
    if f.age > 0:
        d = _age_lines(d, x, f)
    bent, gap, height = _lip_frame(x, f)
    d = union(d, _lips(bent, f), 0.035)
    thin = 0.010 * np.clip(1.0 - (bent[..., 0] / 0.235) ** 2, -1.0, 1.0)
    slit = np.maximum(np.abs(bent[..., 1] + 0.006) - thin, -bent[..., 2] - 0.01)
    d = subtract(d, slit, 0.024)
    if f.open > 0:
        cavity = np.maximum(np.maximum(height - 0.30 * gap, -0.70 * gap - height), -0.30 - bent[..., 2])
        d = subtract(d, np.maximum(cavity, bent[..., 0] - 0.25), 0.018)
    return subtract(d, sphere(bent, (0.262, 0.0, -0.04), 0.014), 0.04)


def head_field(points: Array, f: Features) -> Array:
    """Distance [...] to the skin at points [..., 3], negative inside."""
    x = points.reshape(-1, 3).astype(np.float32)
    x[:, 0] = np.abs(x[:, 0])
    d = _skull(x, f)
    # Each part is evaluated only where the surface can know of it.
    face, side, low = x[:, 2] > 0.1, x[:, 0] > 0.5, x[:, 1] < 0.0
    d[face] = _face(d[face], x[face], f)
    d[side] = union(d[side], _ear(x[side], f), 0.05)
    d[low] = union(d[low], _torso(x[low], f), 0.12)
    d = intersect(d, bust_field(x), 0.05)
    return intersect(d, FLOOR - x[:, 1], 0.01).reshape(points.shape[:-1])


def face_warp(points: Array, recipe: AvatarRecipe) -> Array:
    """Neutral points [..., 3] moved to the shape of the face that the recipe names."""
    cranium, cheeks, jaw, chin, drop = FACE_WARPS[recipe.face_shape]
    weight = recipe.traits.weight
    cheeks, jaw = cheeks + 0.016 * weight, jaw + 0.024 * weight
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    heights = (-1.28, -1.0, -0.68, -0.22, 0.25, 0.85)
    factors = (0.0, chin, jaw, cheeks, 0.4 * cheeks + 0.6 * cranium, cranium)
    # Piecewise linear would show as edges in the shading: average over a window instead.
    widen = sum(np.interp(y + shift, heights, factors) for shift in (-0.2, -0.1, 0.0, 0.1, 0.2)) / 5.0
    behind = smoothstep(-0.75, 0.05, z)
    down = drop * smoothstep(-0.15, -0.95, y) * smoothstep(-1.6, -1.05, y)
    stretch = -0.5 * drop * smoothstep(0.1, 1.2, y)
    # Below the jaw only what lies in front widens with it: the neck keeps its width.
    fade = behind + (1.0 - behind) * smoothstep(-1.0, -0.55, y)
    moved = np.stack([x * (1.0 + widen * fade), y - down * behind - stretch, z], axis=-1)
    return moved.astype(np.float32)


LANDMARKS = Landmarks(
    hairline=0.66, temple=0.22, ear=EAR, brow=(0.12, 0.275, 0.78), brow_length=0.42, mouth=MOUTH,
    nose_tip=(0.0, -0.25, 1.0), chin=(0.0, -1.06, 0.62), nape=-0.62,
)  # fmt: skip


def _eyes(recipe: AvatarRecipe, f: Features) -> tuple[Eye, Eye]:
    """The two eyeballs where the warp of the face takes them, widened as it widens its surroundings."""
    eyes = []
    for side in (1.0, -1.0):
        neutral = np.array((f.eye_center, f.eye_center)) * (side, 1, 1) + np.array(((0.0, 0, 0), (0.1, 0, 0)))
        center, beside = face_warp(neutral, recipe)
        wide = (beside[0] - center[0]) / 0.1
        eyes.append(Eye(center=center, radii=(f.eye_radius * np.array((wide, 1, 1))).astype(np.float32)))
    return eyes[0], eyes[1]


def _lid_crease(x: Array, f: Features) -> Array:
    """Weight [V] of the fold above the upper lid at points [V, 3] with x >= 0."""
    q: Array = x - np.asarray(f.eye_center, np.float32)
    across = np.arctan2(q[:, 0], q[:, 2]) / LID_AZIMUTH
    elevation = np.arctan2(q[:, 1], np.hypot(q[:, 0], q[:, 2]))
    upper, _ = lid_edges(f, np.clip(across, -1, 1))
    near = (np.linalg.norm(q, axis=1) < f.eye_radius + 0.09) & (np.abs(across) < 1.0)
    return np.exp(-(((elevation - upper - 0.26) / 0.07) ** 2)) * near


def build_sdf_head(recipe: AvatarRecipe, step: float) -> Head:
    """The head of a recipe as a mesh with cells of `step` head units."""
    f = features(recipe)
    neutral, triangles = polygonize(lambda p: head_field(p, f), (0.0, FLOOR - 0.05, -1.15), (1.45, 1.3, 1.3), step)
    vertices = face_warp(neutral, recipe)
    x = mirrored(neutral)
    front = x[:, 2] > 0.45
    bent, gap, height = _lip_frame(x, f)
    lips = np.clip(1.0 - _lips(bent, f) / 0.012, 0.0, 1.0) * front
    inside = (np.abs(height + 0.2 * gap) < 0.5 * gap + 0.01) & (bent[:, 2] < -0.045) & (bent[:, 0] < 0.27)
    mouth = inside & front & (f.open > 0) & (x[:, 0] < 0.3)
    slit = np.exp(-((bent[:, 1] / 0.014) ** 2)) * (bent[:, 0] < 0.25) * front * (np.abs(x[:, 1] - MOUTH[1]) < 0.3)
    shade = 1.0 - 0.45 * slit - 0.22 * _lid_crease(x, f) * front
    ears = np.clip(1.0 - _ear(x, f) / 0.02, 0.0, 1.0) * (x[:, 0] > 0.70)
    extras = _lash_lines(recipe, f)
    if f.open > 0:
        extras.add(_teeth(recipe, f))
    return Head(
        vertices=vertices, triangles=triangles, normals=vertex_normals(vertices, triangles), neutral=neutral,
        lips=lips * (1 - mouth), ears=ears, mouth=mouth.astype(np.float32), shade=shade.astype(np.float32),
        eyes=_eyes(recipe, f), landmarks=LANDMARKS, body_distance=lambda points: _torso(mirrored(points), f),
        extras=extras,
    )  # fmt: skip


def _lash_lines(recipe: AvatarRecipe, f: Features) -> Parts:
    """A dark line along the upper lid, thicker and flicked outward for women."""
    woman = recipe.sex == "woman"
    across = np.linspace(-0.93, 1.02 if woman else 0.95, 40)
    upper, _ = lid_edges(f, across)
    flick = 0.10 * smoothstep(0.72, 1.0, across) * woman
    azimuth, elevation = across * LID_AZIMUTH, upper + 0.012 + flick
    reach = f.eye_radius + 0.026 + 0.03 * smoothstep(0.6, 1.0, across) * woman
    direction = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=-1
    )
    path = np.asarray(f.eye_center) + np.asarray(reach)[:, None] * direction
    thickness = (0.017 if woman else 0.010) * (0.45 + 0.55 * smoothstep(-1.0, -0.2, across))
    thickness = thickness * (1.0 - 0.7 * smoothstep(0.85, 1.02, across))
    parts = Parts()
    for side in (1.0, -1.0):
        vertices, triangles = tube_mesh(path * (side, 1, 1), thickness, closed=False)
        colour = np.tile(linear("#1d1411"), (len(vertices), 1))
        surface = Surface(name="lash", roughness=0.8, specular=0.1)
        parts.meshes.append(
            Mesh(
                vertices=face_warp(vertices, recipe),
                triangles=triangles,
                colours=colour,
                surface=surface,
                material="lash",
            )
        )
    return parts


def _teeth(recipe: AvatarRecipe, f: Features) -> Parts:
    """An upper row of teeth as one rounded band, and the tongue."""
    width = 0.80 * (f.mouth_width + 0.045 * max(f.smile, 0.0))
    across = np.linspace(-1, 1, 33)
    lift = 0.085 * f.smile * (0.8 * across) ** 2 - 0.01 * f.smile
    gap = 0.21 * f.open * np.sqrt(np.clip(1.0 - (0.8 * across) ** 2, 0, 1))
    top = MOUTH[1] + lift + 0.30 * gap
    tall = 0.055 + 0.03 * f.smile
    path = np.stack([across * width, top - 0.3 * tall, MOUTH[2] - 0.055 - 0.17 * across**2], axis=-1)
    ring = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    section = np.stack([0 * ring, tall * np.sin(ring), 0.028 * np.cos(ring)], axis=-1)
    vertices = (path[:, None] + section[None]).reshape(-1, 3)
    tube, triangles = tube_mesh(path, 0.01, closed=False, sides=12)
    vertices = np.concatenate([vertices, tube[-2:]])
    # tube_mesh fixed the winding for its round section; this one may turn the other way.
    if signed_volume(vertices, triangles) < 0:
        triangles = np.ascontiguousarray(triangles[:, ::-1])
    parts = Parts()
    enamel = Surface(name="teeth", roughness=0.25, specular=0.5, coat=0.4)
    parts.meshes.append(
        Mesh(vertices=face_warp(vertices, recipe), triangles=triangles,
             colours=np.tile(linear("#f1ece2"), (len(vertices), 1)), surface=enamel, material="mouth")
    )  # fmt: skip
    low = MOUTH[1] - 0.70 * 0.21 * f.open
    vertices, triangles = sphere_mesh(np.array((0, low - 0.005, MOUTH[2] - 0.17)), np.array((0.13, 0.05, 0.13)), 10, 20)
    parts.meshes.append(
        Mesh(vertices=face_warp(vertices, recipe), triangles=triangles,
             colours=np.tile(linear("#b0505a"), (len(vertices), 1)), surface=Surface(name="tongue", roughness=0.4),
             material="mouth")
    )  # fmt: skip
    return parts
