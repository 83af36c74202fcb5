"""Volume rendering of a tri-plane (Rodin, Sec. 3.1; Max 1995): the differentiable reference in PyTorch.

A ray is cut into S equal bins between its entry into the box [-1, 1]^3 and its exit, with one sample in each:

    alpha_i = 1 - exp(-sigma_i delta),   w_i = alpha_i prod_{j<i} (1 - alpha_j)
    C = sum_i w_i c_i,   A = sum_i w_i,   D = sum_i w_i t_i,   F = sum_i w_i y_i

with c_i, t_i and y_i a sample's colour, distance along the ray and tri-plane feature (rendered only where asked for).
Only bins that an occupancy grid marks are looked up and decoded; the others are empty by definition. Colours are sRGB
values throughout (Sec. 2 of the conventions), C is premultiplied by A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin import triplane
from rodin.camera import Camera
from rodin.decoder import Decoder

SLAB = 16  # bins that a ray is followed before it is asked whether it still sees anything
OPAQUE_BELOW = 1e-3  # transmittance
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


class Rendering(NamedTuple):
    """What rays see: `totals` are the sums C, A, D (and F, if asked for) over a ray's samples."""

    totals: Tensor  # [R, 5] or [R, 5 + C]
    weights: Tensor  # [R, S] of all bins, zero in skipped ones

    @property
    def premultiplied(self) -> Tensor:
        """[R, 3] colour times alpha."""
        return self.totals[:, :3]

    @property
    def alpha(self) -> Tensor:
        """[R]"""
        return self.totals[:, 3]

    @property
    def depth(self) -> Tensor:
        """[R] expected distance along the ray times alpha, world units."""
        return self.totals[:, 4]


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Which cells of the box may hold matter: grid [G, G, G] of bool, indices along x, y, z."""

    grid: Tensor

    @staticmethod
    def measure(planes: Tensor, decoder: Decoder, cells: int = 64, threshold: float = 0.02) -> Occupancy:
        """Mark the cells whose matter would show: 1 - exp(-sigma cell) > threshold at one of their corners.

        Args:
            planes: [3, C, H, W]
        """
        corners = grid_points(cells + 1, planes).reshape(-1, 3)
        with torch.no_grad():
            pieces = [decoder.density_of(triplane.sample(planes, piece)) for piece in corners.split(2**15)]
        opaque = 1 - torch.exp(-torch.cat(pieces) * (2 / cells)) > threshold
        volume = opaque.reshape(1, 1, *(cells + 1,) * 3).float()
        return Occupancy(F.max_pool3d(volume, kernel_size=2, stride=1)[0, 0] > 0)

    def grown(self, cells: int) -> Occupancy:
        """The marked cells and all within `cells` of them."""
        marked = self.grid[None, None].float()
        return Occupancy(F.max_pool3d(marked, 2 * cells + 1, stride=1, padding=cells)[0, 0] > 0)

    def reached_by_bins(self, length: float) -> Occupancy:
        """All cells that the middle of a bin of this length (world units) may lie in while it touches a marked one."""
        return self.grown(math.ceil(length / 2 * len(self.grid) / 2))

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


def occupied_bins(rays: Rays, samples: int, occupancy: Occupancy | None) -> Tensor:
    """Which of the S bins of each ray to look up, [R, S] bool: those inside the box that touch a marked cell."""
    if occupancy is None:
        return (rays.far > rays.near)[:, None].repeat(1, samples)
    occupancy = occupancy.reached_by_bins(2 * 3**0.5 / samples)  # the longest ray is the box's diagonal
    chunks = [rays[start : start + RAYS_PER_CHUNK] for start in range(0, len(rays), RAYS_PER_CHUNK)]
    return torch.cat([bins_with_middle_in(chunk, samples, occupancy) for chunk in chunks])


def bins_with_middle_in(rays: Rays, samples: int, occupancy: Occupancy) -> Tensor:
    """The bins whose middle lies in a marked cell, [R, S] bool."""
    middles = (torch.arange(samples, device=rays.near.device) + 0.5) / samples
    distance = torch.lerp(rays.near[:, None], rays.far[:, None], middles)
    points = torch.addcmul(rays.origins[:, None], distance[..., None], rays.directions[:, None])
    return occupancy.contains(points) & (rays.far > rays.near)[:, None]


def render_rays(
    planes: Tensor,
    decoder: Decoder,
    rays: Rays,
    bins: Tensor,
    generator: torch.Generator | None = None,
    features: bool = False,
) -> Rendering:
    """Render rays; differentiable with respect to planes and decoder.

    Args:
        planes: [3, C, H, W]
        bins: [R, S] bool from `occupied_bins`.
        generator: jitters the samples inside their bins; None takes the bins' centres.
        features: composite the tri-plane features too.
    """
    count, samples = bins.shape
    ray, position = bins.nonzero(as_tuple=True)  # [N] each: the samples that count
    offset = 0.5 if generator is None else torch.rand(len(ray), generator=generator).to(rays.near)
    step = (rays.far - rays.near) / samples  # [R]
    distance = rays.near[ray] + (position + offset) * step[ray]
    directions = rays.directions[ray]
    points = torch.addcmul(rays.origins[ray], distance[:, None], directions)
    looked_up = triplane.sample(planes, points)  # [N, C]
    density, colour = decoder(looked_up, directions)
    optical = torch.zeros(count, samples, dtype=density.dtype, device=density.device)
    optical = optical.index_put((ray, position), density * step[ray])
    weights = alpha_weights(optical)
    weight = weights[ray, position]
    composited = [colour, torch.ones_like(weight)[:, None], distance[:, None]] + ([looked_up] if features else [])
    what = torch.cat(composited, dim=-1)
    totals = torch.zeros(count, what.shape[1], dtype=density.dtype, device=density.device)
    return Rendering(totals.index_add(0, ray, weight[:, None] * what), weights)


def alpha_weights(optical: Tensor) -> Tensor:
    """Compositing weights of optical depths sigma_i delta_i: [R, S] -> [R, S]."""
    before = optical.cumsum(dim=-1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def render_image(
    planes: Tensor, decoder: Decoder, camera: Camera, samples: int = 96, occupancy: Occupancy | None = None
) -> tuple[Tensor, Tensor]:
    """Images of one avatar from a camera or a batch of cameras, as `render_totals` gives them.

    Returns:
        image [..., H, W, 4], straight RGBA in [0, 1], and depth [..., H, W] (distance along the ray, 0 where empty).
    """
    totals = render_totals(planes, decoder, camera, samples, occupancy)
    alpha = totals[..., 3]
    image = torch.cat([straight(totals[..., :3], alpha), alpha[..., None]], dim=-1).clamp(0, 1)
    return image, torch.where(alpha > 1e-3, totals[..., 4] / alpha.clamp_min(1e-3), 0)


@torch.no_grad()
def render_totals(
    planes: Tensor,
    decoder: Decoder,
    camera: Camera,
    samples: int = 96,
    occupancy: Occupancy | None = None,
    features: bool = False,
) -> Tensor:
    """What the pixels of a camera or a batch of cameras see, without gradients and in bounded memory.

    With an occupancy the rays are followed from the front in slabs of bins, and left where they have become opaque: the
    same picture to OPAQUE_BELOW, at a fraction of the samples.

    Args:
        planes: [3, C, H', W']
        samples: bins a ray.
        occupancy: skips empty space; None looks everywhere, in every bin.
        features: whether the feature image is wanted too.

    Returns:
        [..., H, W, 5 or 5 + C]: premultiplied colour, alpha, depth times alpha, features times alpha (see `Rendering`).
    """
    triplane.check_planes(planes, leading=0)
    rays = camera_rays(camera)
    reached = None if occupancy is None else occupancy.reached_by_bins(2 * 3**0.5 / samples)
    pieces = []
    for start in range(0, len(rays), RAYS_PER_CHUNK):
        chunk = rays[start : start + RAYS_PER_CHUNK]
        if reached is None:
            bins = occupied_bins(chunk, samples, None)
            pieces.append(render_rays(planes, decoder, chunk, bins, features=features).totals)
        else:
            pieces.append(_follow(planes, decoder, chunk, samples, reached, features))
    return torch.cat(pieces).reshape(*camera.cam_to_world.shape[:-2], camera.height, camera.width, -1)


def _follow(planes: Tensor, decoder: Decoder, rays: Rays, samples: int, reached: Occupancy, features: bool) -> Tensor:
    """The totals of rays, slab by slab; `reached` is grown for the bins."""
    totals = planes.new_zeros(len(rays), 5 + (planes.shape[1] if features else 0))
    step = (rays.far - rays.near) / samples
    alive = (rays.far > rays.near).nonzero()[:, 0]
    for first in range(0, samples, SLAB):
        count = min(SLAB, samples - first)
        near = rays.near[alive] + first * step[alive]
        slab = Rays(rays.origins[alive], rays.directions[alive], near, near + count * step[alive])
        seen = render_rays(planes, decoder, slab, bins_with_middle_in(slab, count, reached), features=features)
        totals[alive] += (1 - totals[alive, 3])[:, None] * seen.totals
        alive = alive[totals[alive, 3] < 1 - OPAQUE_BELOW]
    return totals


def straight(premultiplied: Tensor, alpha: Tensor) -> Tensor:
    """Divide colours [..., 3] by alpha [...]; black where there is nothing."""
    return torch.where(alpha[..., None] > 1e-4, premultiplied / alpha[..., None].clamp_min(1e-4), 0)


def over(image: Tensor, background: float | Tensor) -> Tensor:
    """Composite straight RGBA [..., 4] over a grey level or a colour [3] -> [..., 3]."""
    return image[..., :3] * image[..., 3:] + (1 - image[..., 3:]) * background
