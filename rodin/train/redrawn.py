"""Fitted planes as avatars have them: reduced to the base model's size, and drawn again by the upsampler.

What learns from renders of the fits alone never sees how soft those of avatars are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rodin.data.shards import FittedSubject
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.models.statistics import load_statistics
from rodin.models.upsampler import takes_latent, upsample
from rodin.networks.unet import UNet, UNetConfig
from rodin.triplane import resize

STEPS = 3  # of the upsampler

Redraw = Callable[[FittedSubject], Tensor]


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
    size = network.config.size
    statistics = load_statistics(run / "planes")
    if statistics.config.height != size:
        raise UserError(f"{run / 'upsampler'}: draws planes of {size}, the run's are {statistics.config.height}")

    @torch.no_grad()
    def redraw(subject: FittedSubject) -> Tensor:
        residual = statistics.normalize(subject.planes)[None]
        z = None if encoder is None else encoder.encode_images(subject.frontal[None])
        generators = [torch.Generator().manual_seed(0)]
        drawn = upsample(
            network,
            diffusion,
            resize(residual, side, side),
            size,
            generators=generators,
            steps=STEPS,
            clip=statistics.config.clip,
            z=z,
        )
        return statistics.denormalize(drawn)[0]

    return redraw
