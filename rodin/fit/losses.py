"""What a fit minimises: the rendering error and the regularizers against floaters (Rodin, Sec. 3.1).

The paper names a sparse, a smooth and a compact regularizer without their weights; the weights here are our own, and so
are the terms of materials.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rodin import triplane
from rodin.fit.scene import Scene
from rodin.parts import LATER
from rodin.render.decoder import Decoder
from rodin.render.materials import paint, split
from rodin.render.reference import trace


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights beside the mean squared error of premultiplied RGBA.

    Args:
        sparse: Mean absolute value of the planes.
        smooth: Total variation: mean squared difference of neighbouring texels.
        compact: Distortion loss of mip-NeRF 360, Eq. 15.
        empty: Opacity at random points outside the occupied cells, which culled rays never constrain.
        empty_points: Random points a step for `empty`.
        shares: With materials: mean squared error of their shares times alpha, where the captures show them.
        residual: With materials: mean squared residual. Without it colour would hide there from the palette.
        shade: With materials: squared length of what the shade does to the shares times alpha, mean over rays. A shade
            near 1 leaves brightness to the palette.
    """

    sparse: float = 1e-5
    smooth: float = 2e-3
    compact: float = 1e-3
    empty: float = 0.02
    empty_points: int = 2048
    shares: float = field(default=2.0, metadata=LATER)
    residual: float = field(default=0.1, metadata=LATER)
    shade: float = field(default=0.02, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("sparse", "smooth", "compact", "empty", "shares", "residual", "shade"):
            if getattr(self, name) < 0:
                raise ValueError(f"fit.loss.{name} must not be negative, got {getattr(self, name)}")


def total_variation(planes: Tensor) -> Tensor:
    """Mean squared difference of neighbouring texels along rows and columns of [..., C, H, W]."""
    rows = planes[..., 1:, :] - planes[..., :-1, :]
    columns = planes[..., :, 1:] - planes[..., :, :-1]
    return rows.square().mean() + columns.square().mean()


def distortion(weights: Tensor) -> Tensor:
    """Distortion loss of a ray's weights over S equal bins of [0, 1] (mip-NeRF 360, Eq. 15), mean over rays.

        sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (s_{i+1} - s_i),   m_i the bin's middle

    in O(S) by prefix sums, since the bins are ordered.

    Args:
        weights: [R, S]
    """
    count = weights.shape[-1]
    middles = (torch.arange(count, device=weights.device, dtype=weights.dtype) + 0.5) / count
    moment = weights * middles
    mass_before = weights.cumsum(dim=-1) - weights
    moment_before = moment.cumsum(dim=-1) - moment
    between = 2 * (weights * (middles * mass_before - moment_before)).sum(dim=-1)
    within = weights.square().sum(dim=-1) / (3 * count)
    return (between + within).mean()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step looks at, drawn at random."""

    ray: Tensor  # [B] indices of a scene's training rays
    jitter: Tensor  # [B] in [0, 1), where in its bins each ray is sampled
    outside: Tensor  # [K, 3] points in cells that are not occupied

    @staticmethod
    def draw(scene: Scene, rays: int, points: int, generator: torch.Generator) -> Batch:
        """`rays` rays and `points` points; no points where all is occupied."""
        ray = torch.randint(len(scene.rays), (rays,), generator=generator)
        jitter = torch.rand(rays, generator=generator)
        if not len(scene.empty):
            return Batch(ray, jitter, torch.zeros(0, 3))
        chosen = scene.empty[torch.randint(len(scene.empty), (points,), generator=generator)]
        place = torch.rand(points, 3, generator=generator)
        return Batch(ray, jitter, (chosen + place) * (2 / len(scene.occupancy.grid)) - 1)


def regularizers(planes: Tensor, weights: Tensor, config: LossConfig) -> Tensor:
    """What the planes [..., C, H, W] and the weights [N, S] along the rays cost by themselves, []."""
    loss = planes.new_zeros(())
    if config.compact:
        loss = loss + config.compact * distortion(weights)
    if config.smooth:
        loss = loss + config.smooth * total_variation(planes)
    if config.sparse:
        loss = loss + config.sparse * planes.abs().mean()
    return loss


def opacity_at(planes: Tensor, decoder: Decoder, points: Tensor, step: float) -> Tensor:
    """Mean opacity of points [K, 3] over a path of length `step` world units; 0 without points.

    Taken outside the occupied cells: without it a fast fit is a trap, since what culling hides is free to fill with fog
    (-24 dB when rendered without culling).
    """
    if not len(points):
        return planes.new_zeros(())
    density = decoder.density_of(triplane.sample(planes, points))
    return -torch.expm1(-density * step).mean()


def picture_loss(
    emitted: Tensor,
    alpha: Tensor,
    targets: Tensor,
    config: LossConfig,
    *,
    palette: Tensor | None = None,
    shares: Tensor | None = None,
) -> Tensor:
    """How far what rays see is from what they should see, [].

    Args:
        emitted: [..., R, E] what samples emit, times alpha [..., R].
        targets: [..., R, 4] premultiplied colour and alpha.
        palette: [..., K, 3] where the decoder has materials.
        shares: [..., R, K] the materials' parts of alpha; None where nobody knows them.
    """
    colour = emitted if palette is None else paint(emitted, palette)
    loss = (torch.cat([colour, alpha[..., None]], dim=-1) - targets).square().mean()
    if palette is None:
        return loss
    seen = split(emitted)
    if shares is not None:
        loss = loss + config.shares * (seen.shares - shares).square().mean()
    shading = (seen.shaded - seen.shares).square().sum(dim=-1).mean()
    return loss + config.residual * seen.residual.square().mean() + config.shade * shading


def fitting_loss(
    planes: Tensor,
    rendered_planes: Tensor,
    decoder: Decoder,
    scene: Scene,
    *,
    batch: Batch,
    config: LossConfig,
    palette: Tensor | None = None,
) -> Tensor:
    """The whole objective on some of a scene's rays.

    Args:
        planes: [3, C, H, W], what is regularized.
        rendered_planes: the planes as rendered in this step: rescaled or with noise on them.
        palette: [K, 3] where the decoder has materials.
    """
    rays, bins = scene.rays[batch.ray], scene.bins[batch.ray]
    totals, weights = trace(rendered_planes, decoder, rays, bins, jitter=batch.jitter)
    targets, shares = scene.targets[batch.ray], scene.shares_of(batch.ray, 0 if palette is None else len(palette))
    loss = picture_loss(totals[:, :-2], totals[:, -2], targets, config, palette=palette, shares=shares)
    loss = loss + regularizers(planes, weights, config)
    if config.empty:
        outside = opacity_at(rendered_planes, decoder, batch.outside, 2 / scene.bins.shape[1])
        loss = loss + config.empty * outside
    return loss
