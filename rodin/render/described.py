"""Decoders and rays as the native kernels take them.

A structure points into tensors that the caller must keep alive while it is used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.kernels.structs import CDecoder, CRays, address
from rodin.render.decoder import Decoder
from rodin.render.rays import Rays


def flat_parameters(decoder: Decoder) -> Tensor:
    """All parameters of a decoder in one vector."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in decoder.parameters()]).contiguous()


def describe(decoder: Decoder, parameters: Tensor) -> CDecoder:
    """A decoder whose parameters are those of `flat_parameters`."""
    config = decoder.config
    return CDecoder(
        config.channels,
        config.hidden,
        config.frequencies,
        config.colour_layers,
        colours=config.colours,
        materials=config.materials,
        softplus=int(config.activation == "softplus"),
        view=int(config.view_direction),
        density_shift=config.density_shift,
        density_scale=config.density_scale,
        parameters=address(parameters),
    )


def describe_rays(
    rays: Rays,
    samples: int,
    *,
    bins: Tensor | None = None,
    jitter: Tensor | None = None,
    distance: Tensor | None = None,
    grow: int = 0,
) -> CRays:
    """Rays, and which of their bins count: see RodinRays."""
    return CRays(
        address(rays.origins),
        address(rays.directions),
        address(rays.near),
        address(rays.far),
        jitter=None if jitter is None else address(jitter),
        bins=None if bins is None else address(bins, torch.bool),
        distance=None if distance is None else address(distance, torch.uint8),
        count=len(rays),
        samples=samples,
        cells=0 if distance is None else len(distance),
        grow=grow,
    )


def contiguous(rays: Rays) -> Rays:
    """The same rays in contiguous float32."""
    return Rays(*(value.float().contiguous() for value in (rays.origins, rays.directions, rays.near, rays.far)))
