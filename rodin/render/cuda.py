"""Volume rendering on a GPU, to look and not to learn: `rodin.render.reference.Field` with its sums in one Triton
kernel.

Where the decoder has no Fourier embedding its first layer is folded into the planes, once an avatar: a linear layer
commutes with bilinear look-up and sum. Matrix products are of three TF32 products each, which comes near float32.

What has been checked, all of it without a GPU: the kernel agrees with the reference in Triton's interpreter, and it
compiles for NVIDIA's sm_80 and sm_90. It has NOT run on a GPU, and no speed of it is known; `benchmarks/gpu.py` is to
measure it. Sizes below are therefore chosen by the registers that the compiler reports.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rodin.render import reference
from rodin.render.decoder import Decoder
from rodin.render.materials import RESIDUAL
from rodin.render.rays import Occupancy, Rays, longest_bin

RAYS_PER_PROGRAM = 16  # lanes of a program: the most that spills no registers with the mini decoder and EG3D's
NARROWEST = 16  # widths that tl.dot takes are powers of two from here
WIDEST = 64  # hidden units, channels or outputs of the colour head; a layer of 128 spills 16 KB a thread
OLDEST = (8, 0)  # compute capability: the first with TF32


def at_hand(planes: Tensor, decoder: Decoder) -> bool:
    """Whether the kernel takes these planes and this decoder, on an NVIDIA GPU, and Triton is installed."""
    if not isinstance(decoder, Decoder) or planes.device.type != "cuda" or planes.dtype != torch.float32:
        return False
    widths = (decoder.config.channels, decoder.config.hidden, decoder.config.outputs)
    return max(widths) <= WIDEST and _has_tf32(planes.device) and importlib.util.find_spec("triton") is not None


def _has_tf32(device: torch.device) -> bool:
    return torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= OLDEST


class Field(reference.Field):
    """See `rodin.render.reference.Field`, whose density and emission at points this one keeps.

    Planes and decoder are made ready when totals are first asked for; what changes in them later is not seen.

    Args:
        planes: [3, C, H, W]

    Raises:
        ValueError: the planes are of another shape, or not finite.
    """

    @cached_property
    def _weights(self) -> Weights:
        return Weights.of(self.decoder)

    @cached_property
    def _raw(self) -> Tensor:
        """The planes, channels last: [3, H, W, INPUTS]."""
        return _padded(self.planes.detach().permute(0, 2, 3, 1), 1)

    @cached_property
    def _folded(self) -> Tensor:
        """The trunk without its bias at every texel, [3, H, W, HIDDEN]."""
        return _padded(self.planes.detach().permute(0, 2, 3, 1) @ self.decoder.trunk.weight.detach().t(), 1)

    def totals(self, rays: Rays, samples: int, occupancy: Occupancy | None, features: bool) -> Tensor:
        """What rays see, [R, E + 2] or, with features, [R, E + 2 + C]; see `rodin.render.reference.Field.totals`."""
        from rodin.render.triton_kernel import render

        columns = self.decoder.config.emitted + 2 + (self.planes.shape[1] if features else 0)
        totals = rays.near.new_empty(len(rays), columns)
        if len(rays):
            blocks = -(-len(rays) // RAYS_PER_PROGRAM)
            with torch.cuda.device_of(totals):  # Triton launches on the current GPU
                render[(blocks,)](**self.arguments(rays, samples, occupancy, features), totals=totals)
        return totals

    def arguments(self, rays: Rays, samples: int, occupancy: Occupancy | None, features: bool) -> dict[str, Any]:
        """What the kernel is called with, `totals` excepted; capital letters are constants that it is compiled for."""
        config, weights = self.decoder.config, self._weights
        folded = not config.frequencies and not features  # features want the planes themselves
        texels = self._folded if folded else self._raw
        grid = torch.ones(1, 1, 1, dtype=torch.bool, device=texels.device)
        if occupancy is not None:
            grid = occupancy.reached_by_bins(longest_bin(samples)).grid
        return {
            "origins": rays.origins.contiguous(),
            "directions": rays.directions.contiguous(),
            "near": rays.near.contiguous(),
            "far": rays.far.contiguous(),
            "ray_count": len(rays),
            "samples": samples,
            "occupied": grid.contiguous().view(torch.uint8),
            "cells": len(grid),
            "opaque_below": reference.OPAQUE_BELOW if occupancy is not None else 0.0,
            "texels": texels,
            "height": texels.shape[1],
            "width": texels.shape[2],
            "trunk": weights.trunk,
            "trunk_bias": weights.trunk_bias,
            "density": weights.density,
            "density_bias": weights.density_bias,
            "density_scale": config.density_scale,
            "direction": weights.direction,
            "shade": weights.shade,
            "shade_bias": weights.shade_bias,
            "inner": weights.inner,
            "inner_bias": weights.inner_bias,
            "colour": weights.colour,
            "colour_bias": weights.colour_bias,
            "outputs": config.outputs,
            "materials": config.materials,
            "residual": RESIDUAL,
            "channels": self.planes.shape[1],
            "RAYS": RAYS_PER_PROGRAM,
            "OCCUPANCY": occupancy is not None,
            "FOLDED": folded,
            "FEATURES": features,
            "FREQUENCIES": config.frequencies,
            "DIRECTION": config.view_direction,
            "MATERIALS": config.materials > 0,
            "SOFTPLUS": config.activation == "softplus",
            "INNER_LAYERS": config.colour_layers,
            "INPUTS": texels.shape[3],
            "HIDDEN": weights.colour.shape[0],
            "OUTPUTS": weights.colour.shape[1],
        }


@dataclass(frozen=True, slots=True)
class Weights:
    """A decoder as the kernel reads it: matrices [..., in, out], widths padded with zeros."""

    trunk: Tensor  # [1 + 2 frequencies, INPUTS, HIDDEN]: of the features, their sines by octave, their cosines
    trunk_bias: Tensor  # [HIDDEN]
    density: Tensor  # [HIDDEN]
    density_bias: float  # the shift included
    direction: Tensor  # [8, HIDDEN] what each number of a direction adds to the hidden layer, with materials to `shade`
    shade: Tensor  # [HIDDEN] of the shade, without its direction
    shade_bias: Tensor  # [9] of the shade and of what each number of a direction adds to it
    inner: Tensor  # [colour_layers, HIDDEN, HIDDEN]
    inner_bias: Tensor  # [colour_layers, HIDDEN]
    colour: Tensor  # [HIDDEN, OUTPUTS]: colours, or logits of the shares and residual
    colour_bias: Tensor  # [OUTPUTS]

    @staticmethod
    def of(decoder: Decoder) -> Weights:
        """Those of a decoder, copied."""
        config = decoder.config
        trunk = decoder.trunk.weight.detach().t()  # [C (1 + 2 frequencies), hidden]
        plain, waves = trunk[: config.channels], trunk[config.channels :]
        waves = waves.reshape(2, config.channels, config.frequencies, config.hidden).transpose(1, 2).flatten(0, 1)
        layers: list[nn.Linear] = list(decoder.colour)  # type: ignore[arg-type]
        *inner, colour = layers
        square = trunk.new_zeros(0, config.hidden, config.hidden)
        head, shade = colour.weight.detach().tensor_split([config.outputs])
        head_bias, shade_bias = colour.bias.detach().tensor_split([config.outputs])
        # rows of what is not there: of the shade and of its direction
        shade, shade_bias = F.pad(shade, (0, 0, 0, 9 - len(shade))), F.pad(shade_bias, (0, 9 - len(shade_bias)))
        direction = shade[1:] if decoder.direction is None else decoder.direction.weight.detach().t()
        return Weights(
            trunk=_padded(torch.cat([plain[None], waves]), 2),
            trunk_bias=_padded(decoder.trunk.bias.detach(), 1),
            density=_padded(decoder.density.weight.detach()[0], 1),
            density_bias=decoder.density.bias.item() + config.density_shift,
            direction=_padded(direction, 1),
            shade=_padded(shade[0], 1),
            shade_bias=shade_bias.contiguous(),
            inner=_padded(torch.stack([layer.weight.detach().t() for layer in inner]) if inner else square, 2),
            inner_bias=_padded(torch.stack([layer.bias.detach() for layer in inner]) if inner else square[:, 0], 1),
            colour=_padded(head.t(), 2),
            colour_bias=_padded(head_bias, 1),
        )


def _padded(values: Tensor, dimensions: int) -> Tensor:
    """The last `dimensions` filled up with zeros to powers of two, and the whole contiguous."""
    sizes = [max(NARROWEST, 1 << (size - 1).bit_length()) for size in values.shape[-dimensions:]]
    missing = [pad for size, want in zip(values.shape[::-1], sizes[::-1], strict=False) for pad in (0, want - size)]
    return F.pad(values, missing).contiguous()
