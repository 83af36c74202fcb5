"""Volume rendering of a tri-plane in PyTorch (Rodin, Sec. 3.1; Max 1995): readable, differentiable, on any device.

    alpha_i = 1 - exp(-sigma_i delta),   w_i = alpha_i prod_{j<i} (1 - alpha_j)
    C = sum_i w_i c_i,   A = sum_i w_i,   D = sum_i w_i t_i,   F = sum_i w_i y_i

with c_i, t_i and y_i what a sample emits, its distance along the ray and its tri-plane feature. It is what the kernels
are held to, and what runs where there are none. Only the bins that matter are looked up and decoded ("compacted"
samples).

Symbols: R rays, S bins a ray, N samples of all rays that count, C channels of the planes, E numbers that a sample
emits: its colour (3) or, with materials, what `rodin.render.materials` paints.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rodin import triplane
from rodin.render.decoder import Decoder
from rodin.render.rays import RAYS_PER_CHUNK, Occupancy, Rays, longest_bin

SLAB = 16  # bins that a ray is followed before it is asked whether it still sees anything
OPAQUE_BELOW = 1e-3  # transmittance behind which an image is not followed further


class Field:
    """Density and what is emitted everywhere, of one avatar.

    Args:
        planes: [3, C, H, W]

    Raises:
        ValueError: the planes are of another shape, or not finite.
    """

    def __init__(self, planes: Tensor, decoder: Decoder) -> None:
        triplane.check_planes(planes, leading=0)
        triplane.check_finite(planes)
        self.planes, self.decoder = planes, decoder

    @torch.no_grad()
    def density(self, points: Tensor) -> Tensor:
        """Density [N] at points [N, 3], in 1 / world units."""
        pieces = points.split(2**15)
        return torch.cat([self.decoder.density_of(triplane.sample(self.planes, piece)) for piece in pieces])

    @torch.no_grad()
    def emitted(self, points: Tensor, directions: Tensor) -> Tensor:
        """What points [N, 3] emit along unit directions [N, 3], [N, E]: without materials their colour."""
        pieces = zip(points.split(2**15), directions.split(2**15), strict=True)
        return torch.cat([self.decoder(triplane.sample(self.planes, p), d)[1] for p, d in pieces])

    @torch.no_grad()
    def totals(self, rays: Rays, samples: int, occupancy: Occupancy | None, features: bool) -> Tensor:
        """What rays see, [R, E + 2] or, with features, [R, E + 2 + C]: the sums C, A, D (and F).

        Args:
            samples: bins a ray.
            occupancy: bins that touch no marked cell are skipped, and rays are left where they have become opaque: the
                same to OPAQUE_BELOW, at a fraction of the samples. None looks everywhere, in every bin.
            features: whether F is wanted.
        """
        pieces = []
        reached = None if occupancy is None else occupancy.reached_by_bins(longest_bin(samples))
        for start in range(0, len(rays), RAYS_PER_CHUNK):
            chunk = rays[start : start + RAYS_PER_CHUNK]
            if reached is None:
                pieces.append(
                    trace(
                        self.planes, self.decoder, chunk, bins_in_box(chunk, samples), jitter=None, features=features
                    )[0]
                )
            else:
                pieces.append(self._follow(chunk, samples, reached, features))
        return torch.cat(pieces)

    def _follow(self, rays: Rays, samples: int, reached: Occupancy, features: bool) -> Tensor:
        """The totals of rays, slab by slab."""
        totals = None
        step = (rays.far - rays.near) / samples
        alive = (rays.far > rays.near).nonzero()[:, 0]
        for first in range(0, samples, SLAB):
            count = min(SLAB, samples - first)
            near = rays.near[alive] + first * step[alive]
            slab = Rays(rays.origins[alive], rays.directions[alive], near, near + count * step[alive])
            seen, weights = trace(
                self.planes,
                self.decoder,
                slab,
                bins_with_middle_in(slab, count, reached),
                jitter=None,
                features=features,
            )
            if totals is None:
                totals, through = seen.new_zeros(len(rays), seen.shape[1]), seen.new_ones(len(rays))
            totals[alive] += through[alive, None] * seen
            through[alive] *= 1 - weights.sum(dim=1)
            alive = alive[through[alive] > OPAQUE_BELOW]
        assert totals is not None
        return totals


def bins_in_box(rays: Rays, samples: int) -> Tensor:
    """All bins of the rays that meet the box, [R, S] bool."""
    return (rays.far > rays.near)[:, None].repeat(1, samples)


def bins_with_middle_in(rays: Rays, samples: int, occupancy: Occupancy) -> Tensor:
    """The bins whose middle lies in a marked cell, [R, S] bool."""
    middles = (torch.arange(samples, device=rays.near.device) + 0.5) / samples
    distance = torch.lerp(rays.near[:, None], rays.far[:, None], middles)
    points = torch.addcmul(rays.origins[:, None], distance[..., None], rays.directions[:, None])
    return occupancy.contains(points) & (rays.far > rays.near)[:, None]


def trace(
    planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor, jitter: Tensor | None = None, features: bool = False
) -> tuple[Tensor, Tensor]:
    """Render rays; differentiable with respect to planes and decoder.

    Args:
        planes: [3, C, H, W]
        bins: [R, S] bool, the bins to look up.
        jitter: [R] in [0, 1), where in its bins a ray is sampled; None takes their middles.
        features: composite the tri-plane features too.

    Returns:
        totals [R, E + 2] or [R, E + 2 + C]: the sums C, A, D (and F) over a ray's samples; and the weights [R, S] of
        all bins, zero in skipped ones.
    """
    count, samples = bins.shape
    ray, position = bins.nonzero(as_tuple=True)  # [N] each: the samples that count
    offset = 0.5 if jitter is None else jitter[ray]
    step = (rays.far - rays.near) / samples  # [R]
    distance = rays.near[ray] + (position + offset) * step[ray]
    directions = rays.directions[ray]
    points = torch.addcmul(rays.origins[ray], distance[:, None], directions)
    looked_up = triplane.sample(planes, points)  # [N, C]
    density, emitted = decoder(looked_up, directions)
    optical = torch.zeros(count, samples, dtype=density.dtype, device=density.device)
    optical = optical.index_put((ray, position), density * step[ray])
    weights = alpha_weights(optical)
    weight = weights[ray, position]
    composited = [emitted, torch.ones_like(weight)[:, None], distance[:, None]] + ([looked_up] if features else [])
    what = torch.cat(composited, dim=-1)
    totals = torch.zeros(count, what.shape[1], dtype=density.dtype, device=density.device)
    return totals.index_add(0, ray, weight[:, None] * what), weights


def alpha_weights(optical: Tensor) -> Tensor:
    """Compositing weights of optical depths sigma_i delta_i: [R, S] -> [R, S]."""
    before = optical.cumsum(dim=-1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)
