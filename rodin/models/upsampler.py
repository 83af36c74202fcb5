"""The upsampler: low-resolution planes to larger ones, by a diffusion model of its own (Rodin, Sec. 3.2).

Its network is the U-Net of `rodin.networks.unet`, conditioned on the low-resolution planes; it predicts x_0. Trained on
clean planes alone it would repeat every flaw of the base model's, so that in training the condition is damaged at
random and the network is told how much: condition augmentation (Ho et al. 2022), with RodinHD's three kinds of damage.

Symbols: B batch, C channels, h w rows and columns of the low-resolution planes, H W of the others. All planes are
residuals of unit variance (`rodin.data.shards.PlaneStatistics`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.sampling import Scheduler, draw_noise, sample
from rodin.triplane import check_planes, resize

LEVELS = 3  # of augmentation: down-sampling, blur, noise
PERCEPTUAL_NAME = "perceptual.json"  # beside its weights: the features that its perceptual loss was measured by


@dataclass(frozen=True, kw_only=True, slots=True)
class ConditionAugment:
    """How the condition is damaged in training; each kind is drawn by itself. The defaults are RodinHD's.

    Args:
        half_probability: of planes taken to half their size and back.
        blur_probability: of a Gaussian blur.
        blur: smallest and largest standard deviation of the blur, in texels of the low-resolution planes; RodinHD's
            kernels of 3 to 7 texels by OpenCV's rule.
        noise_probability: of Gaussian noise.
        noise: smallest and largest standard deviation of the noise, in standard deviations of the planes.
    """

    half_probability: float = 0.2
    blur_probability: float = 0.25
    blur: tuple[float, float] = (0.8, 1.4)
    noise_probability: float = 0.8
    noise: tuple[float, float] = (5 / 255, 25 / 255)

    def __post_init__(self) -> None:
        for name in ("half_probability", "blur_probability", "noise_probability"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be a probability in [0, 1], got {getattr(self, name)}")
        for name in ("blur", "noise"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise ValueError(f"{name} must be two numbers above 0, the smaller one first, got {(low, high)}")


def augment_condition(low_res: Tensor, config: ConditionAugment, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Damage the planes of every sample in its own way.

    Args:
        low_res: [B, 3, C, h, w]
        generator: of all that is drawn, on the device of the planes.

    Returns:
        damaged planes [B, 3, C, h, w], and their levels [B, LEVELS] in [0, 1]: 0 = none, 1 = the most of the config.
    """
    batch, height, width = low_res.shape[0], *low_res.shape[-2:]
    chances = torch.tensor([config.half_probability, config.blur_probability, config.noise_probability])
    least = torch.tensor([1.0, config.blur[0], config.noise[0]])
    most = torch.tensor([1.0, config.blur[1], config.noise[1]])
    chances, least, most = (value.to(low_res) for value in (chances, least, most))
    chosen = torch.rand(batch, LEVELS, generator=generator, device=low_res.device) < chances
    share = torch.rand(batch, LEVELS, generator=generator, device=low_res.device)
    strength = chosen * torch.lerp(least, most, share)  # [B, LEVELS]

    halved = resize(resize(low_res, max(1, height // 2), max(1, width // 2)), height, width)
    damaged = torch.where(strength[:, 0].view(-1, 1, 1, 1, 1) > 0, halved, low_res)
    damaged = gaussian_blur(damaged, strength[:, 1])
    noise = torch.randn(low_res.shape, generator=generator, device=low_res.device)
    return damaged + strength[:, 2].view(-1, 1, 1, 1, 1) * noise, strength / most


def gaussian_blur(planes: Tensor, sigma: Tensor) -> Tensor:
    """Blur planes [B, 3, C, h, w] by sigma [B] texels; beyond the edges nothing counts. Sigma 0 changes nothing."""
    return _blur_matrix(planes.shape[-2], sigma) @ planes @ _blur_matrix(planes.shape[-1], sigma).mT


def _blur_matrix(side: int, sigma: Tensor) -> Tensor:
    """[B, 1, 1, side, side]: each row the weights of all texels in one blurred texel."""
    place = torch.arange(side, device=sigma.device, dtype=sigma.dtype)
    squared = (place[:, None] - place).square()
    return torch.softmax(-squared / (2 * sigma.clamp_min(1e-3).square()).view(-1, 1, 1, 1, 1), dim=-1)


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

        drawn[index] = sample(denoise, Scheduler(diffusion, "ddim"), noise, [generator], steps, clip)[0]
    return drawn
