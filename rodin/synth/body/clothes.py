"""Tops: one closed solid around neck and shoulders, cut off at a neckline, with the details that name it.

The solid is everything closer to the skin than the cloth's thickness, so that it fits any body; being filled, it closes
the bust without hidden surfaces. Head units.
"""

from __future__ import annotations

import numpy as np

from rodin.synth.body.geometry import Array, Mesh, Parts, Surface, linear, smoothstep, sphere_mesh, tube_mesh
from rodin.synth.body.head import BUST_RADIUS, Head, bust_field
from rodin.synth.body.sdf import intersect, polygonize, subtract, union
from rodin.synth.recipe import CLOTH_COLOURS, AvatarRecipe

WOOL = Surface(name="wool", roughness=0.9, specular=0.15, sheen=0.3, bump=0.35, bump_scale=70.0)
COTTON = Surface(name="cotton", roughness=0.85, specular=0.2, sheen=0.15, bump=0.12, bump_scale=130.0)

#: Thickness over the skin, height of the neckline in front and its rise to the back.
CUTS = {
    "crew-neck sweater": (0.075, -1.285, 0.15),
    "T-shirt": (0.050, -1.42, 0.16),
    "V-neck sweater": (0.065, -1.21, 0.12),
    "turtleneck": (0.080, -1.03, 0.10),
    "hoodie": (0.090, -1.26, 0.13),
    "collared shirt": (0.055, -1.22, 0.13),
}


def _neckline(kind: str, x: Array, z: Array) -> Array:
    """Height [...] of the cloth's upper edge over the place (x, z), for x >= 0."""
    _, front, rise = CUTS[kind]
    # Beside the neck it rises, so that high shoulders stay covered.
    height = front + rise * smoothstep(0.35, -0.55, z) + 0.8 * np.maximum(x - 0.52, 0.0)
    if kind == "V-neck sweater":
        height = height - 1.05 * np.clip(0.33 - x, 0.0, 0.33) * (z > -0.2)
    if kind == "collared shirt":
        height = height - 0.9 * np.clip(0.16 - x, 0.0, 0.16) * (z > 0.0)
    return height


def _triangle(x: Array, y: Array, corners: tuple[tuple[float, float], ...]) -> Array:
    """Greatest signed distance [...] to the edges of a counter-clockwise triangle."""
    result = np.full_like(x, -np.inf)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = np.hypot(bx - ax, by - ay)
        result = np.maximum(result, ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / length)
    return result


def _collar(kind: str, d: Array, p: Array, edge: Array, thick: float) -> Array:
    """Distance [...] to what a top has around its neckline: rib, roll, hood or collar."""
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    if kind == "turtleneck":
        band = intersect(d - 0.125, np.abs(y - edge + 0.12) - 0.12, 0.06)
        return intersect(band, -d - 0.2, 0.02)
    if kind == "hoodie":
        around = np.hypot(x, 1.05 * (z + 0.20))
        height = -1.29 + 0.20 * smoothstep(0.45, -0.6, z)
        roll = np.hypot((around - 0.56) * 0.9, (y - height) * 0.8) - 0.155 - 0.05 * smoothstep(0.0, -0.6, z)
        opening = np.maximum(x - 0.13 - 0.5 * (y + 1.39), 0.1 - z)
        return subtract(roll, opening, 0.06)
    if kind == "collared shirt":
        stand = np.maximum(np.abs(d - 0.085) - 0.028, np.abs(y - edge - 0.01) - 0.085)
        stand = np.maximum(stand, 0.13 - x - np.where(z > 0.0, 0.0, 9.0))
        flap = _triangle(x, y, ((0.06, -1.25), (0.24, -1.54), (0.47, -1.16)))
        flap = np.maximum(np.maximum(flap, np.abs(d - 0.10) - 0.028), 0.05 - z)
        return union(stand, flap, 0.02)
    rib = {"crew-neck sweater": 0.050, "T-shirt": 0.028, "V-neck sweater": 0.042}[kind]
    slope = 0.70 if kind == "V-neck sweater" else 0.95
    return np.hypot(d - thick, (y - edge) * slope) - rib


def clothes(head: Head, recipe: AvatarRecipe, step: float) -> Parts:
    """The recipe's top around the body of `head`, in cells of `step` head units."""
    kind = recipe.top
    thick = CUTS[kind][0]

    def parts_of(points: Array) -> tuple[Array, Array, Array]:
        flat = points.reshape(-1, 3)
        d = head.body_distance(flat).reshape(points.shape[:-1])
        x = np.abs(points[..., 0])
        edge = _neckline(kind, x, points[..., 2])
        body = intersect(d - thick, (points[..., 1] - edge) * 0.8, 0.03)
        collar = _collar(kind, d, np.concatenate([x[..., None], points[..., 1:]], axis=-1), edge, thick=thick)
        return body, collar, d

    def field(points: Array) -> Array:
        body, collar, _ = parts_of(points)
        solid = union(body, collar, 0.03)
        rounded = bust_field(points) - 0.055
        return intersect(intersect(solid, rounded, 0.06), -1.625 - points[..., 1], 0.02)

    vertices, triangles = polygonize(field, (0.0, -1.70, -1.2), (BUST_RADIUS, -0.8, 1.0), step)
    _, collar, _ = parts_of(vertices)
    base = linear(CLOTH_COLOURS[recipe.top_color])
    trim = 0.72 * base if base.max() > 0.03 else base + 0.03
    share = smoothstep(0.02, -0.01, collar)[:, None]
    colours = (base + share * (trim - base)).astype(np.float32)
    surface = COTTON if kind in ("T-shirt", "collared shirt") else WOOL
    result = Parts(
        meshes=[Mesh(vertices=vertices, triangles=triangles, colours=colours, surface=surface, material="top")]
    )
    if kind == "hoodie":
        result.add(_drawstrings(result.meshes[0], base))
    if kind == "collared shirt":
        result.add(_buttons(result.meshes[0], base))
    return result


def _front_depth(mesh: Mesh, x: Array, y: Array) -> Array:
    """z of the mesh's front at places (x, y)."""
    front = mesh.vertices[mesh.vertices[:, 2] > 0.0]
    gap = np.hypot(front[None, :, 0] - x[:, None], front[None, :, 1] - y[:, None])
    return np.where(gap < 0.05, front[None, :, 2], -9.0).max(axis=1)


def _drawstrings(mesh: Mesh, base: Array) -> Parts:
    """Two cords that hang from the hood."""
    parts = Parts()
    cord = linear("#e9e5da") if base.max() < 0.55 else linear("#4a4a4c")
    y = np.linspace(-1.33, -1.56, 12)
    for side in (1.0, -1.0):
        x = side * (0.17 + 0.03 * np.sin(3 * (y + 1.33)))
        path = np.stack([x, y, _front_depth(mesh, x, y) + 0.012], axis=1)
        path[:, 2] = np.convolve(np.pad(path[:, 2], 2, mode="edge"), np.ones(5) / 5, "valid")
        vertices, triangles = tube_mesh(path, np.where(np.arange(12) > 9, 0.026, 0.018), closed=False)
        colours = np.tile(cord, (len(vertices), 1)).astype(np.float32)
        parts.meshes.append(
            Mesh(vertices=vertices, triangles=triangles, colours=colours, surface=COTTON, material="other")
        )
    return parts


def _buttons(mesh: Mesh, base: Array) -> Parts:
    """Shirt buttons down the middle."""
    parts = Parts()
    tone = linear("#f0ede4") if base.max() < 0.55 else linear("#55504a")
    y = np.array((-1.42, -1.55))
    for height, depth in zip(y, _front_depth(mesh, 0.0 * y, y), strict=True):
        vertices, triangles = sphere_mesh(np.array((0.0, height, depth)), np.array((0.028, 0.028, 0.014)), 8, 16)
        colours = np.tile(tone, (len(vertices), 1)).astype(np.float32)
        button = Surface(name="button", roughness=0.3)
        parts.meshes.append(
            Mesh(vertices=vertices, triangles=triangles, colours=colours, surface=button, material="other")
        )
    return parts
