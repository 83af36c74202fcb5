"""An avatar as 3D Gaussians (Kerbl et al. 2023), in a PLY that viewers of such files open.

They are not fitted: each grid point that can be seen from outside becomes one round Gaussian, whose opacity makes a
layer of them as opaque as the avatar is there. A layer of Gaussians of deviation s and opacity o, one in each square of
side h, has the optical depth

    (1 / h^2) integral -log(1 - o exp(-r^2 / 2 s^2)) dA = 2 pi (s / h)^2 Li2(o),

with the dilogarithm Li2, which is to be sigma h for a density sigma. Ours.

Symbols: N grid points along each side of the box, M Gaussians.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rodin import framing
from rodin.avatars.smooth_normals import smooth_normals
from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.render.materials import paint
from rodin.render.rays import grid_points
from rodin.render.renderer import SURFACE_DENSITY, Renderer

WIDTH = 0.5  # of a Gaussian's deviation, in steps of the grid; wider ones blur, narrower ones show gaps
HIDDEN = 4.0  # optical depth behind which nothing is seen
THINNEST = 0.01  # optical depth of a step of the grid that shows
MOST_OPAQUE = 0.99  # which renderers of such files allow
HARMONIC = 0.5 / math.sqrt(math.pi)  # the spherical harmonic of degree 0


class Gaussians(NamedTuple):
    """Round Gaussians in the box."""

    means: Tensor  # [M, 3] world
    deviation: float  # world units
    opacities: Tensor  # [M] in [0, 1]
    colours: Tensor  # [M, 3] sRGB in [0, 1]


def gaussians_of(renderer: Renderer, resolution: int) -> Gaussians:
    """What an avatar's renderer shows, as Gaussians; colours are as seen from outside.

    Args:
        resolution: grid points along each side of the box.

    Raises:
        UserError: nothing shows.
    """
    from scipy.special import spence

    step = 2 / (resolution - 1)
    points = grid_points(resolution, renderer.field.planes).reshape(-1, 3)
    density = renderer.field.density(points)
    if renderer.occupancy is not None:
        density = density * renderer.occupancy.contains(points)
    depth = (density * step).reshape((resolution,) * 3)
    shown = ((_depth_from_outside(depth) < HIDDEN) & (depth > THINNEST)).flatten()
    if not shown.any():
        raise UserError("the avatar is empty: no density shows; train longer, or generate another")
    means = points[shown]
    grid = density.reshape((resolution,) * 3).cpu().numpy()
    normals = torch.from_numpy(smooth_normals(grid, SURFACE_DENSITY, means.cpu().numpy())).to(means)
    away = torch.where(normals.any(dim=1, keepdim=True), normals, torch.nn.functional.normalize(means, dim=-1))
    emitted = renderer.field.emitted(means, -away)
    colours = emitted if renderer.palette is None else paint(emitted, renderer.palette)
    opacity = np.linspace(0, MOST_OPAQUE, 4096)
    layer = 2 * math.pi * WIDTH**2 * spence(1 - opacity)  # scipy's spence(1 - o) is Li2(o)
    opacities = torch.from_numpy(np.interp(depth.flatten()[shown].cpu().numpy(), layer, opacity)).float()
    return Gaussians(means.cpu(), WIDTH * step, opacities, colours.clamp(0, 1).cpu())


def write_gaussians(path: Path, gaussians: Gaussians, height: float) -> None:
    """Write a .ply in the layout of 3D Gaussian splatting, with the neck at the origin, whole or not at all.

    Args:
        height: metres along y of all that is at least half opaque, or of all.

    Raises:
        UserError: the suffix is another, or the place cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".ply":
        raise UserError(f"{path}: Gaussians are written as .ply; change the suffix")
    solid = gaussians.means[gaussians.opacities >= 0.5] if (gaussians.opacities >= 0.5).any() else gaussians.means
    tall = (solid[:, 1].max() - solid[:, 1].min() + 2 * gaussians.deviation).item()
    scale = height / tall
    count = len(gaussians.means)
    opacities = gaussians.opacities.clamp(1e-4, MOST_OPAQUE)
    columns = {
        "x y z": (gaussians.means - torch.tensor(framing.NECK)) * scale,
        "nx ny nz": torch.zeros(count, 3),
        "f_dc_0 f_dc_1 f_dc_2": (gaussians.colours - 0.5) / HARMONIC,
        "opacity": opacities.logit()[:, None],
        "scale_0 scale_1 scale_2": torch.full((count, 3), math.log(gaussians.deviation * scale)),
        "rot_0 rot_1 rot_2 rot_3": torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4),
    }
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    head += [f"property float {name}" for name in " ".join(columns).split()]
    rows = torch.cat(list(columns.values()), dim=1).numpy().astype("<f4")
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join([*head, "end_header", ""]).encode() + rows.tobytes())


def _depth_from_outside(depth: Tensor) -> Tensor:
    """[N, N, N] the least optical depth in front of each point, as seen along an axis; `depth` is that of each step."""
    least = torch.full_like(depth, math.inf)
    for axis in range(3):
        for turned in (depth, depth.flip(axis)):
            before = torch.cumsum(turned, dim=axis) - turned
            least = least.minimum(before if turned is depth else before.flip(axis))
    return least
