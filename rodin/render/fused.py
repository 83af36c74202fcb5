"""The fused C++ kernels: what `rodin.render.reference` computes, in one pass a ray.

Look-up, sum, Fourier embedding, MLP and compositing of a sample follow one another in registers and the nearest cache.
The decoder's first layer is folded into the planes where it is linear in them: a linear layer commutes with bilinear
look-up and sum, so the folded planes [3, H, W, hidden] give the same hidden layer at half the work or less.

Rays skip empty space by the distance to the nearest occupied cell. They are left where less than OPAQUE of their light
passes, and samples that add less than THIN to what it has met take the colour of the next one that is decoded.
"""

from __future__ import annotations

from ctypes import byref

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from rodin import triplane
from rodin.kernels.structs import (
    PAD,
    CPlanes,
    CRays,
    address,
    channels_first,
    channels_last,
    describe_planes,
    kernels,
    native,
)
from rodin.render.decoder import Decoder
from rodin.render.described import contiguous, describe, describe_rays, flat_parameters
from rodin.render.rays import Occupancy, Rays, longest_bin

OPAQUE = 1e-3  # transmittance behind which an image is not followed further
THIN = 1e-2  # part of what a ray has met that takes the colour of what comes next
WIDEST = 1024  # channels, hidden units and emitted numbers that the kernels can hold
MOST_LAYERS = 8  # of the colour head


def at_hand(planes: Tensor, decoder: Decoder) -> bool:
    """Whether the kernels take these planes and this decoder, and are built and switched on."""
    if not isinstance(decoder, Decoder) or planes.device.type != "cpu" or planes.dtype != torch.float32:
        return False
    config = decoder.config
    width = max(config.channels, config.hidden, config.emitted)
    return bool(width <= WIDEST and config.colour_layers <= MOST_LAYERS and native() is not None)


def at_hand_for(rays: Rays) -> bool:
    """Whether the kernels take these rays, and are built and switched on."""
    return rays.near.device.type == "cpu" and rays.near.dtype == torch.float32 and native() is not None


class Field:
    """See `rodin.render.reference.Field`.

    Args:
        planes: [3, C, H, W]

    Raises:
        ValueError: the planes are of another shape, or not finite.
    """

    def __init__(self, planes: Tensor, decoder: Decoder) -> None:
        triplane.check_planes(planes, leading=0)
        triplane.check_finite(planes)
        self.planes, self.kernels = planes, kernels()
        self.channels, self.width = planes.shape[1], decoder.config.emitted
        self.parameters = flat_parameters(decoder)
        self.decoder = describe(decoder, self.parameters)
        self.values = channels_last(planes)
        self.folded = fold(planes, decoder) if not decoder.config.frequencies else None
        self._distance: tuple[Occupancy, Tensor] | None = None

    @property
    def _fastest(self) -> CPlanes:
        if self.folded is None:
            return describe_planes(self.values)
        return describe_planes(self.folded, folded=True)

    def density(self, points: Tensor) -> Tensor:
        """Density [N] at points [N, 3], in 1 / world units."""
        points, out = points.contiguous(), points.new_empty(len(points))
        self._decode(points, None, address(out), None)
        return out

    def emitted(self, points: Tensor, directions: Tensor) -> Tensor:
        """What points [N, 3] emit along unit directions [N, 3], [N, E]: without materials their colour."""
        points, out = points.contiguous(), points.new_empty(len(points), self.width)
        self._decode(points, directions.contiguous(), None, address(out))
        return out

    def _decode(self, points: Tensor, directions: Tensor | None, density: int | None, emitted: int | None) -> None:
        self.kernels.functions.rodin_decode(
            self.kernels.number,
            byref(self.decoder),
            byref(self._fastest),
            address(points),
            None if directions is None else address(directions),
            len(points),
            torch.get_num_threads(),
            density,
            emitted,
        )

    def totals(self, rays: Rays, samples: int, occupancy: Occupancy | None, features: bool) -> Tensor:
        """What rays see, [R, E + 2] or, with features, [R, E + 2 + C]; see `rodin.render.reference.Field.totals`."""
        rays = contiguous(rays)
        distance = None if occupancy is None else self._distance_to(occupancy)
        grow = 0 if occupancy is None else occupancy.cells_reached(longest_bin(samples))
        described = describe_rays(rays, samples, distance=distance, grow=grow)
        out = rays.near.new_empty(len(rays), self.width + 2 + (self.channels if features else 0))
        opaque, thin = (0.0, 0.0) if occupancy is None else (OPAQUE, THIN)
        self.render(described, opaque, thin, totals=out, features=features)
        return out

    def render(
        self,
        rays: CRays,
        opaque: float = 0.0,
        thin: float = 0.0,
        *,
        totals: Tensor | None = None,
        weights: Tensor | None = None,
        features: bool = False,
    ) -> None:
        """Follow rays into totals and weights, each where it is given.

        Args:
            opaque, thin: see OPAQUE and THIN.
            totals: [R, E + 2] or, with features, [R, E + 2 + C].
            weights: [R, S] zeros.
        """
        self.kernels.functions.rodin_render(
            self.kernels.number,
            byref(self.decoder),
            byref(self._fastest),
            byref(describe_planes(self.values)) if features else None,
            byref(rays),
            opaque,
            thin,
            torch.get_num_threads(),
            None if totals is None else address(totals),
            None if weights is None else address(weights),
        )

    def _distance_to(self, occupancy: Occupancy) -> Tensor:
        """Distances of an occupancy, computed when it is first asked about."""
        if self._distance is None or self._distance[0] is not occupancy:
            self._distance = (occupancy, distances(occupancy))
        return self._distance[1]


def fold(planes: Tensor, decoder: Decoder) -> Tensor:
    """The trunk without its bias at every texel, [3, H, W, hidden], hidden padded with zeros as the kernels want it."""
    weight = decoder.trunk.weight.detach()  # [hidden, C]
    padded = torch.nn.functional.pad(weight, (0, 0, 0, -weight.shape[0] % PAD))
    return (planes.detach().permute(0, 2, 3, 1) @ padded.t()).contiguous()


def distances(occupancy: Occupancy) -> Tensor:
    """Chessboard distance of every cell to the nearest marked one, [G, G, G] uint8, 255 for all that is farther."""
    grid = occupancy.grid.contiguous()
    out = torch.empty(grid.shape, dtype=torch.uint8)
    kernels().functions.rodin_distance(address(grid, torch.bool), len(grid), address(out, torch.uint8))
    return out


def occupied_bins(rays: Rays, samples: int, occupancy: Occupancy) -> Tensor:
    """Which of the S bins of each ray touch a marked cell, [R, S] bool."""
    rays, found = contiguous(rays), kernels()
    out = torch.empty(len(rays), samples, dtype=torch.bool)
    distance = distances(occupancy)
    described = describe_rays(rays, samples, distance=distance, grow=occupancy.cells_reached(longest_bin(samples)))
    found.functions.rodin_bins(found.number, byref(described), torch.get_num_threads(), address(out, torch.bool))
    return out


def ray_weights(planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor, opaque: float = 0.0) -> Tensor:
    """Compositing weights of the bins, [R, S]; see `rodin.render.renderer.ray_weights`."""
    rays, bins, out = contiguous(rays), bins.contiguous(), torch.zeros(bins.shape)
    Field(planes, decoder).render(describe_rays(rays, bins.shape[1], bins=bins), opaque, weights=out)
    return out


class Trace(torch.autograd.Function):
    """Totals [R, E + 2] of rays, differentiable with respect to the planes."""

    @staticmethod
    def forward(ctx: FunctionCtx, planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor) -> Tensor:
        field, rays, bins = Field(planes, decoder), contiguous(rays), bins.contiguous()
        ctx.kept = (field, rays, bins)  # type: ignore[attr-defined]
        out = planes.new_empty(len(rays), field.width + 2)
        field.render(describe_rays(rays, bins.shape[1], bins=bins), totals=out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        field, rays, bins = ctx.kept  # type: ignore[attr-defined]
        described = describe_rays(rays, bins.shape[1], bins=bins)
        grad, out = grad.contiguous(), torch.zeros_like(field.values)
        field.kernels.functions.rodin_backward(
            field.kernels.number,
            byref(field.decoder),
            byref(describe_planes(field.values)),
            byref(described),
            address(grad),
            address(out),
        )
        return channels_first(out, field.channels), None, None, None
