"""Fitted planes as avatars have them: reduced to the base model's size, and drawn again by the upsampler.

What learns from renders of the fits alone never sees how soft those of avatars are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.data.shards import FittedSubject
from rodin.diffusion.config import DiffusionConfig
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.models.statistics import load_statistics
from rodin.models.upsampler import takes_latent, upsample
from rodin.networks.unet import UNet, UNetConfig
from rodin.triplane import resize

STEPS = 3  # of the upsampler's sampler

Redraw = Callable[[FittedSubject], Tensor]


def draw_again(
    network: nn.Module, diffusion: DiffusionConfig, residual: Tensor, side: int, clip: float, z: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Residuals [B, 3, C, H, H] reduced to `side`, and what an upsampler makes of these; the same each time.

    Args:
        z: [B, D] latents, for a network that takes them and for no other.
    """
    low = resize(residual, side, side)
    generators = [torch.Generator().manual_seed(index) for index in range(len(low))]
    steps = min(STEPS, diffusion.train_steps)
    drawn = upsample(network, diffusion, low, residual.shape[-1], generators=generators, steps=steps, clip=clip, z=z)
    return low, drawn


def redrawing(run: Path, side: int) -> Redraw:
    """What makes planes [3, C, H, W] of a fitted subject's.

    Args:
        run: reads `planes/`, `upsampler/` and `encoder/`.
        side: that planes are reduced to, the base model's.

    Raises:
        UserError: the upsampler is missing or damaged, or draws planes of another size.
    """
    network, diffusion = load_denoiser(UNet, UNetConfig, run / "upsampler")
    encoder = Encoder.from_pretrained(run / "encoder") if takes_latent(network.config) else None
    statistics = load_statistics(run / "planes")
    if (size := network.config.size) != statistics.config.height:
        raise UserError(f"{run / 'upsampler'}: draws planes of {size}, the run's are {statistics.config.height}")

    @torch.no_grad()
    def redraw(subject: FittedSubject) -> Tensor:
        residual = statistics.normalize(subject.planes)[None]
        z = None if encoder is None else encoder.encode_images(subject.frontal[None])
        return statistics.denormalize(draw_again(network, diffusion, residual, side, statistics.config.clip, z)[1])[0]

    return redraw
