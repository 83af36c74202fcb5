"""The upsampler: low-resolution planes to larger ones, by a diffusion model of its own (Rodin, Sec. 3.2).

Its network is the U-Net of `rodin.networks.unet`, conditioned on the low-resolution planes and on how much they are
damaged (`rodin.train.condition_augmentation`), and on the latent z too if it is made for that; it predicts x_0.

Symbols: B batch, C channels, D latent numbers, h w rows and columns of the low-resolution planes, H W of the others.
All planes are residuals of unit variance (`rodin.models.statistics.PlaneStatistics`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.sampling import Scheduler, draw_noise, sample
from rodin.models.clip import LATENT_DIM
from rodin.networks.unet import UNetConfig
from rodin.triplane import check_planes

LEVELS = 3  # of augmentation: down-sampling, blur, noise
LEVELS_AND_LATENT = LEVELS + LATENT_DIM  # numbers that a network is told which takes z too


@torch.no_grad()
def upsample(
    network: nn.Module,
    diffusion: DiffusionConfig,
    low_res: Tensor,
    size: int,
    generators: list[torch.Generator],
    steps: int,
    clip: float,
    z: Tensor | None = None,
    callback: Callable[[], None] | None = None,
) -> Tensor:
    """Draw planes of `size` x `size` for low-resolution ones; both are residuals.

    One sample at a time: memory is that of one, and no sample depends on what lies beside it. The condition is taken as
    it is, and the network is told so (level 0).

    Args:
        network: trained by `rodin.train.upsampler`; called as `network(x_t, t, levels, low_res)`.
        diffusion: what it was trained on.
        low_res: [B, 3, C, h, w], on the device of the network.
        generators: one a sample.
        steps: denoising steps of DDIM. The condition says nearly all: 3 come as near to the true planes as more do,
            and nearer than those of DPM-Solver++.
        clip: bound on the residual, see `PlaneStatistics`.
        z: [B, D] latents of unit length, for a network that is told them (`takes_latent`) and for no other.
        callback: called after each step of each sample.

    Returns:
        [B, 3, C, size, size]

    Raises:
        ValueError: a shape or the number of steps does not fit.
    """
    check_planes(low_res, leading=1)
    if len(generators) != len(low_res):
        raise ValueError(f"one generator a sample, got {len(generators)} for {len(low_res)}")
    shape = (*low_res.shape[1:3], size, size)
    vectors = network_vector(low_res.new_zeros(len(low_res), LEVELS), z)
    drawn = low_res.new_empty(len(low_res), *shape)
    for index, generator in enumerate(generators):
        noise = draw_noise(shape, [generator], low_res.device)
        condition, vector = low_res[index : index + 1], vectors[index : index + 1]

        def denoise(x: Tensor, t: Tensor, condition: Tensor = condition, vector: Tensor = vector) -> Tensor:
            return network(x, t, vector, condition)

        def report(_step: int, _x: Tensor, _clean: Tensor) -> None:
            if callback is not None:
                callback()

        drawn[index] = sample(
            denoise, Scheduler(diffusion, "ddim"), noise, [generator], steps=steps, clip=clip, callback=report
        )[0]
    return drawn


def takes_latent(config: UNetConfig) -> bool:
    """Whether an upsampler's network is told z beside the levels of augmentation."""
    return config.latent_dim == LEVELS_AND_LATENT


def network_vector(levels: Tensor, z: Tensor | None) -> Tensor:
    """What the network is told beside the planes, [B, LEVELS] or [B, LEVELS + D].

    The network scales its vector to the length that unit variance would give it, so each level weighs the same in both.

    Args:
        levels: [B, LEVELS] of augmentation.
        z: [B, D] or None.
    """
    return levels if z is None else torch.cat([levels, z.to(levels)], dim=1)
