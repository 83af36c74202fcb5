"""Rays through the box [-1, 1]^3, the bins that they are cut into, and the occupancy grid that says which to look up.

A ray is cut into S equal bins between its entry into the box and its exit, with one sample in each. A bin that touches
no marked cell of an occupancy grid is empty by definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.camera import Camera

RAYS_PER_CHUNK = 2048  # bounds the memory of an image, and keeps the work inside the cache


@dataclass(frozen=True, slots=True)
class Rays:
    """R rays, clipped to the box: o + t d, t in [near, far]; near == far where the ray misses it."""

    origins: Tensor  # [R, 3]
    directions: Tensor  # [R, 3] unit
    near: Tensor  # [R]
    far: Tensor  # [R]

    def __len__(self) -> int:
        return len(self.near)

    def __getitem__(self, index: Tensor | slice) -> Rays:
        return Rays(self.origins[index], self.directions[index], self.near[index], self.far[index])

    def to(self, device: torch.device | str) -> Rays:
        """The same rays on a device."""
        return Rays(*(value.to(device) for value in (self.origins, self.directions, self.near, self.far)))


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Which cells of the box may hold matter: grid [G, G, G] of bool, indices along x, y, z."""

    grid: Tensor

    def grown(self, cells: int) -> Occupancy:
        """The marked cells and all within `cells` of them."""
        marked = self.grid[None, None].float()
        return Occupancy(F.max_pool3d(marked, 2 * cells + 1, stride=1, padding=cells)[0, 0] > 0)

    def reached_by_bins(self, length: float) -> Occupancy:
        """All cells that the middle of a bin of this length (world units) may lie in while it touches a marked one."""
        return self.grown(self.cells_reached(length))

    def cells_reached(self, length: float) -> int:
        """How many cells away from a marked one that may be."""
        return math.ceil(length / 2 * len(self.grid) / 2)

    def contains(self, points: Tensor) -> Tensor:
        """Whether points [..., 3] lie in a marked cell -> [...] bool."""
        cells = self.grid.shape[0]
        index = ((points + 1) * (cells / 2)).long().clamp_(0, cells - 1)
        flat = (index[..., 0] * cells + index[..., 1]) * cells + index[..., 2]
        return self.grid.reshape(-1)[flat]


def grid_points(count: int, like: Tensor) -> Tensor:
    """[count, count, count, 3] points from -1 to 1 along x, y, z, corners included; dtype and device of `like`."""
    axis = torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def clip_to_box(origins: Tensor, directions: Tensor) -> Rays:
    """Rays [R, 3], [R, 3] cut to the box [-1, 1]^3 and to what lies in front of the camera."""
    safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    to_low, to_high = (-1 - origins) / safe, (1 - origins) / safe
    near = torch.minimum(to_low, to_high).amax(dim=-1).clamp_min(0)
    far = torch.maximum(to_low, to_high).amin(dim=-1)
    return Rays(origins, directions, near, torch.maximum(near, far))


def camera_rays(camera: Camera) -> Rays:
    """All rays of a camera or a batch of cameras, [..., H, W] flattened to R."""
    origins, directions = camera.rays()
    return clip_to_box(origins.reshape(-1, 3), directions.reshape(-1, 3))


def longest_bin(samples: int) -> float:
    """Length of a bin of the longest ray, the box's diagonal, in world units."""
    return 2 * 3**0.5 / samples
