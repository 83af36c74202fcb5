"""The upsampler: low-resolution planes to larger ones, by a diffusion model of its own (Rodin, Sec. 3.2).

Its network is the U-Net of `rodin.networks.unet`, conditioned on the low-resolution planes and on how much they are
damaged (`rodin.train.condition_augmentation`); it predicts x_0.

Symbols: B batch, C channels, h w rows and columns of the low-resolution planes, H W of the others. All planes are
residuals of unit variance (`rodin.models.statistics.PlaneStatistics`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.sampling import Scheduler, draw_noise, sample
from rodin.triplane import check_planes

LEVELS = 3  # of augmentation: down-sampling, blur, noise


@torch.no_grad()
def upsample(
    network: nn.Module,
    diffusion: DiffusionConfig,
    low_res: Tensor,
    size: int,
    generators: list[torch.Generator],
    steps: int,
    clip: float,
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

    Returns:
        [B, 3, C, size, size]

    Raises:
        ValueError: a shape or the number of steps does not fit.
    """
    check_planes(low_res, leading=1)
    if len(generators) != len(low_res):
        raise ValueError(f"one generator a sample, got {len(generators)} for {len(low_res)}")
    shape = (*low_res.shape[1:3], size, size)
    level = low_res.new_zeros(1, LEVELS)
    drawn = low_res.new_empty(len(low_res), *shape)
    for index, generator in enumerate(generators):
        noise = draw_noise(shape, [generator], low_res.device)
        condition = low_res[index : index + 1]

        def denoise(x: Tensor, t: Tensor, condition: Tensor = condition) -> Tensor:
            return network(x, t, level, condition)

        drawn[index] = sample(denoise, Scheduler(diffusion, "ddim"), noise, [generator], steps=steps, clip=clip)[0]
    return drawn
