"""Tri-planes: three axis-aligned feature planes that stand for a volume (Rodin, Sec. 3.1).

A tri-plane is a tensor [..., P=3, C, H, W]. The world axes (x, y, z) are named (u, v, w), and the planes are CYCLIC:

    plane 0 = uv: rows along u, columns along v
    plane 1 = wu: rows along w, columns along u
    plane 2 = vw: rows along v, columns along w

so that for every plane p the ROWS of plane p run along the COLUMNS of plane p+1, and the COLUMNS of plane p run along
the ROWS of plane p+2 (indices mod 3). Texel centres are those of `align_corners=False` over [-1, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PLANES = 3
PLANE_NAMES = ("uv", "wu", "vw")
ROW_AXES = (0, 2, 1)  # the world axis along the rows of planes uv, wu, vw
COLUMN_AXES = (1, 0, 2)  # the world axis along their columns


def check_planes(planes: Tensor, leading: int | None = None) -> None:
    """Raise ValueError unless `planes` is [..., 3, C, H, W] (with `leading` leading dimensions, if given)."""
    if planes.ndim < 4 or planes.shape[-4] != PLANES or (leading is not None and planes.ndim != 4 + leading):
        lead = "..., " if leading is None else "B, " * leading
        raise ValueError(f"planes must be [{lead}P=3, C, H, W], got {list(planes.shape)}")


def check_finite(planes: Tensor) -> None:
    """Raise ValueError unless all numbers of the planes are finite."""
    wrong = int((~torch.isfinite(planes)).sum())
    if wrong:
        raise ValueError(f"planes must be finite, {wrong} of {planes.numel()} numbers are not")


def plane_coordinates(points: Tensor) -> Tensor:
    """Project points on the three planes.

    Args:
        points: [..., 3] in the world, box [-1, 1]^3.

    Returns:
        [3, ..., 2] as (column, row), the order that `grid_sample` wants.
    """
    columns = torch.stack([points[..., axis] for axis in COLUMN_AXES])
    rows = torch.stack([points[..., axis] for axis in ROW_AXES])
    return torch.stack([columns, rows], dim=-1)


def sample(planes: Tensor, points: Tensor) -> Tensor:
    """Features of points: the SUM of three bilinear look-ups, y_p = y_uv(p) + y_wu(p) + y_vw(p) (Rodin, Sec. 3.1).

    Args:
        planes: [3, C, H, W] of one avatar.
        points: [N, 3] in the world; outside the box the border texel counts.

    Returns:
        [N, C]
    """
    check_planes(planes, leading=0)
    grid = plane_coordinates(points)[:, None]  # [3, 1, N, 2]
    looked_up = F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return looked_up.sum(dim=0)[:, 0].t()  # [3, C, 1, N] -> [N, C]


def resize(planes: Tensor, height: int, width: int) -> Tensor:
    """Resample [..., 3, C, H, W] to [..., 3, C, height, width], bilinear with anti-aliasing when it shrinks."""
    check_planes(planes)
    flat = planes.reshape(-1, *planes.shape[-3:])
    flat = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
    return flat.reshape(*planes.shape[:-2], height, width)


def mirror(planes: Tensor) -> Tensor:
    """The planes of the mirror image in x, [..., 3, C, H, W]: what was at (-x, y, z) is at (x, y, z)."""
    check_planes(planes)
    uv, wu, vw = planes.unbind(dim=-4)  # u runs along the rows of uv and along the columns of wu
    return torch.stack([uv.flip(-2), wu.flip(-1), vw], dim=-4)


def roll_out(planes: Tensor) -> Tensor:
    """hstack(y_uv, y_wu, y_vw): [..., 3, C, H, W] -> [..., C, H, 3W] (Rodin, Sec. 3.2), the paper's view."""
    check_planes(planes)
    return torch.cat(planes.unbind(dim=-4), dim=-1)
