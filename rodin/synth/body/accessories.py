"""Hats, glasses and earrings.

A hat is built around a `HatShell`: the convex part of an ellipsoid above a tilted plane. Hair that would leave the
shell above the plane is pressed into it (`tuck`), so it never shows through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rodin.synth.body.geometry import (
    Array,
    Index,
    Mesh,
    Parts,
    Surface,
    linear,
    signed_volume,
    smoothstep,
    sphere_mesh,
    tube_mesh,
    within_envelope,
)
from rodin.synth.body.head import Head
from rodin.synth.recipe import CLOTH_COLOURS, FRAME_COLOURS, AvatarRecipe

KNIT = Surface(name="knit", roughness=0.9, specular=0.15, sheen=0.3, bump=0.45, bump_scale=45.0)
FELT = Surface(name="felt", roughness=0.9, specular=0.15, sheen=0.25, bump=0.15, bump_scale=120.0)
PLASTIC = Surface(name="plastic", roughness=0.28, specular=0.5)
METAL = Surface(name="metal", roughness=0.3, specular=0.5, metallic=0.7)
TINTED = Surface(name="tinted lens", roughness=0.12, specular=0.5, coat=0.6)


@dataclass(frozen=True, kw_only=True, slots=True)
class HatShell:
    """The inside of a hat: an ellipsoid above the plane y = height + tilt * z, in head units."""

    center: Array
    radii: Array
    height: float
    tilt: float

    def above(self, points: Array) -> Array:
        """Signed height [...] of points [..., 3] over the hat's band plane."""
        return points[..., 1] - self.height - self.tilt * points[..., 2]

    def level(self, points: Array) -> Array:
        """Ellipsoid norm [...]: below 1 inside the shell."""
        return np.linalg.norm((points - self.center) / self.radii, axis=-1)

    def tuck(self, strands: Array) -> Array:
        """Press hair [N, K, 3] into the shell, and drop strands that never come out of it."""
        points = strands.astype(np.float32).copy()
        limit = 0.95
        over = self.above(points)
        excess = np.maximum(self.level(points) / limit, 1.0)
        pressed = self.center + (points - self.center) / excess[..., None]
        points = np.where((over > 0)[..., None], pressed, points)
        # Just below the band hair still lies inside its opening, so that no segment can cross the shell's wall.
        over = self.above(points)
        at_band = points.copy()
        at_band[..., 1] -= over
        allowed = limit - 0.02 + 0.6 * np.maximum(-over - 0.16, 0.0)
        squeeze = np.minimum(1.0, allowed / np.maximum(self.level(at_band), 1e-6))
        near = (over <= 0)[..., None] & np.array((True, False, True))
        points = np.where(near, self.center + (points - self.center) * squeeze[..., None], points)
        visible = (self.above(points) < 0.02).any(axis=1)
        return points[visible]


def hat_shell(head: Head, recipe: AvatarRecipe) -> HatShell | None:
    """The shell of the recipe's hat, wide enough for the head with a little hair; None without a hat."""
    if recipe.hat == "none":
        return None
    height, tilt = {"beanie": (0.36, 0.20), "baseball cap": (0.37, 0.15), "fedora": (0.42, 0.13)}[recipe.hat]
    plane = HatShell(center=np.zeros(3), radii=np.ones(3), height=height, tilt=tilt)
    covered = head.vertices[(plane.above(head.vertices) > -0.03) & (head.ears < 0.2)]
    low, high = covered.min(axis=0), covered.max(axis=0)
    center = np.array((0.0, 0.34, 0.5 * (low[2] + high[2])), np.float32)
    radii = np.array((high[0], high[1] - 0.34, 0.5 * (high[2] - low[2])), np.float32)
    snug = HatShell(center=center, radii=radii, height=height, tilt=tilt)
    thick = 0.03 if recipe.hair in ("bald", "buzz cut") else 0.06
    fit = float(snug.level(covered).max()) + thick
    return HatShell(center=center, radii=(radii * fit).astype(np.float32), height=height, tilt=tilt)


def _close(vertices: Array, rows: int, columns: int) -> Index:
    """Triangles of a grid [rows, columns] of vertices that wraps around both ways."""
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = ((i + 1) % rows) * columns + j, ((i + 1) % rows) * columns + (j + 1) % columns
    triangles = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    if signed_volume(vertices, triangles) < 0:
        triangles = triangles[:, ::-1]
    return np.ascontiguousarray(triangles, np.int32)


def _band(shell: HatShell, azimuth: Array) -> tuple[Array, Array]:
    """Points [A, 3] of the shell's rim and the horizontal outward directions [A, 3] there."""
    flat = np.stack([np.sin(azimuth), 0 * azimuth, np.cos(azimuth)], axis=1)
    rise = np.zeros_like(azimuth)
    for _ in range(30):
        y = shell.height + shell.tilt * (shell.center[2] + shell.radii[2] * np.cos(rise) * flat[:, 2])
        rise = np.arcsin(np.clip((y - shell.center[1]) / shell.radii[1], -0.9, 0.9))
    unit = np.stack([np.cos(rise) * flat[:, 0], np.sin(rise), np.cos(rise) * flat[:, 2]], axis=1)
    outward = flat / shell.radii
    return shell.center + unit * shell.radii, outward / np.linalg.norm(outward, axis=1, keepdims=True)


def _sweep(shell: HatShell, section: Callable[[Array], Array], count: int = 96) -> tuple[Array, Index]:
    """A closed ring around the hat's rim; `section(azimuth)` is [A, S, 2] of outward and upward offsets."""
    azimuth = np.linspace(-np.pi, np.pi, count, endpoint=False)
    rim, outward = _band(shell, azimuth)
    offset = section(azimuth)
    vertices = rim[:, None] + outward[:, None] * offset[..., :1] + np.array((0, 1, 0)) * offset[..., 1:]
    # However deep the head, a brim may not leave the envelope.
    flat = within_envelope(vertices.reshape(-1, 3))
    return flat, _close(flat, count, offset.shape[1])


def _dome(shell: HatShell, shape: Callable[[Array], Array], wall: float = 0.045) -> tuple[Array, Index]:
    """The crown of a hat: the shell and an outer skin `wall` further out, moved by `shape`, closed at rim and top."""
    azimuth = np.linspace(-np.pi, np.pi, 96, endpoint=False)
    rim, _ = _band(shell, azimuth)
    start = np.arcsin(np.clip((rim[:, 1] - shell.center[1]) / shell.radii[1], -1, 1))
    t = np.linspace(0.0, 0.9995, 28)
    rise = start[:, None] + (np.pi / 2 - start[:, None]) * t
    unit = np.stack(
        [np.cos(rise) * np.sin(azimuth)[:, None], np.sin(rise), np.cos(rise) * np.cos(azimuth)[:, None]], axis=-1
    )
    inner = shell.center + unit * shell.radii
    outer = shape(shell.center + unit * (shell.radii + wall))
    profile = np.concatenate([outer, inner[:, ::-1]], axis=1)
    flat = within_envelope(profile.reshape(-1, 3))
    return flat, _close(flat, len(azimuth), profile.shape[1])


def _ellipse_section(width: float, tall: float, rise: float) -> Callable[[Array], Array]:
    """A constant elliptic section whose centre lies `rise` above the rim."""
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    loop = np.stack([width * np.cos(angle) + 0.35 * width, rise + tall * np.sin(angle)], axis=-1)
    return lambda azimuth: np.broadcast_to(loop, (len(azimuth), *loop.shape))


def _brim_section(reach: Callable[[Array], Array], droop: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A thin plate from the rim outward to `reach(azimuth)`, its edge lowered by `droop(azimuth)`."""
    s = np.linspace(0.0, 1.0, 12)

    def section(azimuth: Array) -> Array:
        out = -0.02 + reach(azimuth)[:, None] * s
        down = -droop(azimuth)[:, None] * s**1.6
        top = np.stack([out, down + 0.022], axis=-1)
        bottom = np.stack([out, down - 0.018], axis=-1)[:, ::-1]
        return np.concatenate([top, bottom], axis=1)

    return section


def hat(shell: HatShell, recipe: AvatarRecipe) -> Parts:
    """The recipe's hat on its shell."""
    base = linear(CLOTH_COLOURS[recipe.hat_color])
    trim = 0.45 * base if base.max() > 0.05 else base + 0.12
    parts = Parts()

    def add(shape: tuple[Array, Index], colour: Array, surface: Surface) -> None:
        colours = np.tile(colour, (len(shape[0]), 1)).astype(np.float32)
        mesh = Mesh(vertices=shape[0], triangles=shape[1], colours=colours, surface=surface, material="hat")
        parts.meshes.append(mesh)

    def taller(points: Array) -> Array:
        lift = 0.10 * smoothstep(0.7, 1.25, points[..., 1])
        return points + lift[..., None] * np.array((0, 1, 0))

    def crowned(points: Array) -> Array:
        # A flat-topped felt crown with a crease along its middle and a pinch at the front.
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        wide = 1.0 + 0.05 * smoothstep(0.5, 1.1, y)
        high = y + 0.16 * smoothstep(0.8, 1.15, y) - 0.15 * np.exp(-((x / 0.20) ** 2)) * smoothstep(1.0, 1.25, y)
        pinch = 1.0 - 0.16 * smoothstep(0.15, 0.8, z) * smoothstep(0.75, 1.15, y)
        return np.stack([x * wide * pinch, high, z * wide], axis=-1)

    if recipe.hat == "beanie":
        add(_dome(shell, taller), base, KNIT)
        add(_sweep(shell, _ellipse_section(0.055, 0.15, 0.10)), 0.85 * base, KNIT)
    elif recipe.hat == "baseball cap":
        add(_dome(shell, lambda p: p), base, FELT)
        front = lambda a: smoothstep(0.45, 0.9, np.cos(a))  # noqa: E731
        add(_sweep(shell, _brim_section(lambda a: 0.58 * np.sqrt(front(a)), lambda a: 0.16 * front(a))), trim, FELT)
        top = shell.center + (shell.radii + 0.05) * np.array((0, 1, 0))
        add(sphere_mesh(top, np.array((0.05, 0.03, 0.05)), 10, 20), trim, FELT)
    elif recipe.hat == "fedora":
        add(_dome(shell, crowned), base, FELT)
        add(_sweep(shell, _brim_section(lambda a: 0.42 + 0 * a, lambda a: 0.07 * np.cos(2 * a))), base, FELT)
        add(_sweep(shell, _ellipse_section(0.058, 0.075, 0.09)), trim, FELT)
    return parts


def _rim_outline(kind: str, radius: float) -> Array:
    """The outline [O, 2] of one lens, its outer side toward +x."""
    a = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    c, s = np.cos(a), np.sin(a)
    if kind == "round glasses":
        return np.stack([radius * c, 0.96 * radius * s], axis=1)
    power = 0.45 if kind == "square glasses" else 0.75
    x, y = np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power
    height = 0.82 if kind == "square glasses" else 0.90
    return np.stack([1.08 * radius * x, height * radius * (y + 0.06 * x)], axis=1)


def glasses(head: Head, recipe: AvatarRecipe) -> Parts:
    """Frame, bridge and temples that rest on nose and ears; tinted lenses for sunglasses."""
    parts = Parts()
    if recipe.glasses == "none":
        return parts
    metal = recipe.glasses_color in ("gold", "silver")
    colour = linear(FRAME_COLOURS[recipe.glasses_color])
    thick = 0.021 if metal else 0.030
    left, right = head.eyes
    spacing, height = float(left.center[0] - right.center[0]) / 2, float(left.center[1]) - 0.015
    radius = min(0.315, spacing - 0.045)
    bridge_y = height + 0.06
    nose = head.onto_face(np.array(((0.0, bridge_y, 0.8), (0.05, bridge_y, 0.8))), 0.0)[:, 2].max()
    plane = max(float(left.center[2] + left.radii[2]) + 0.085, float(nose) + 0.02)

    def bent(x: Array, y: Array) -> Array:
        return np.stack([x, y, plane - 0.16 * x**2], axis=-1)

    def add(shape: tuple[Array, Index], tone: Array, surface: Surface) -> None:
        colours = np.tile(tone, (len(shape[0]), 1)).astype(np.float32)
        material = "lens" if surface is TINTED else "frame"
        mesh = Mesh(vertices=shape[0], triangles=shape[1], colours=colours, surface=surface, material=material)
        parts.meshes.append(mesh)

    frame = METAL if metal else PLASTIC
    outline = _rim_outline(recipe.glasses, radius)
    for side in (1.0, -1.0):
        x, y = side * (spacing + 0.012 + outline[:, 0]), height + outline[:, 1]
        ring = bent(x, y)
        add(tube_mesh(ring, thick, closed=True), colour, frame)
        if recipe.glasses == "sunglasses":
            add(_lens(ring), linear("#15171b"), TINTED)
        corner = ring[int(np.argmax(side * x + 0.6 * y))]
        ear = head.carry(np.array([head.landmarks.ear]) * (side, 1, 1))[0] + np.array((0.0, 0.17, 0.06))
        along = np.linspace(0, 1, 14)[:, None]
        temple = corner * (1 - along) + ear * along + np.array((side * 0.07, 0.0, 0.0)) * np.sin(np.pi * along**0.8)
        temple[2:] = head.push_out(temple[2:], 0.03)
        temple = np.concatenate([temple, temple[-1:] + np.array([(0.0, -0.10, -0.11)])])
        add(tube_mesh(temple, 0.9 * thick, closed=False), colour, frame)
    x = np.linspace(-1, 1, 15) * (spacing + 0.012 - outline[:, 0].max() + 0.01)
    arch = bent(x, bridge_y + 0.02 * np.cos(np.pi * np.linspace(-0.5, 0.5, 15)))
    add(tube_mesh(arch, thick, closed=False), colour, frame)
    return parts


def _lens(ring: Array) -> tuple[Array, Index]:
    """A thin closed pane inside the ring [O, 3]."""
    count = len(ring)
    middle = ring.mean(axis=0, keepdims=True)
    depth = np.array((0.0, 0.0, 0.006))
    vertices = np.concatenate([ring + depth, ring - depth, middle + 2 * depth, middle - depth])
    j = np.arange(count)
    k = (j + 1) % count
    front, back = 0 * j + 2 * count, 0 * j + 2 * count + 1
    triangles = np.concatenate([np.stack([front, j, k], 1), np.stack([back, count + k, count + j], 1),
                                np.stack([j, count + j, count + k], 1), np.stack([j, count + k, k], 1)])  # fmt: skip
    if signed_volume(vertices, triangles) < 0:
        triangles = triangles[:, ::-1]
    return vertices.astype(np.float32), np.ascontiguousarray(triangles, np.int32)


def earrings(head: Head, recipe: AvatarRecipe) -> Parts:
    """A gold hoop in each lobe."""
    parts = Parts()
    if not recipe.earrings:
        return parts
    lobes = np.array(head.landmarks.ear) + np.array((0.03, -0.22, 0.03))
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    for side in (1.0, -1.0):
        hook = head.carry((lobes * (side, 1, 1))[None])[0]
        hoop = hook + np.stack([0.03 * side + 0 * angle, -0.085 + 0.085 * np.cos(angle), 0.085 * np.sin(angle)], axis=1)
        vertices, triangles = tube_mesh(hoop, 0.016, closed=True)
        colours = np.tile(linear("#d9ab4c"), (len(vertices), 1)).astype(np.float32)
        parts.meshes.append(
            Mesh(vertices=vertices, triangles=triangles, colours=colours, surface=METAL, material="jewellery")
        )
    return parts
