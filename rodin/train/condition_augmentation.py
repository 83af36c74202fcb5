"""Condition augmentation: the low-resolution planes are damaged at random, and the network is told how much.

Trained on clean planes alone an upsampler would repeat every flaw of the base model's (Ho et al. 2022). The three kinds
of damage, down-sampling, blur and noise, are RodinHD's.

Symbols: B batch, C channels, h w rows and columns of the low-resolution planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rodin.draws import Draws
from rodin.models.upsampler import LEVELS
from rodin.triplane import resize


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


def augment_condition(low_res: Tensor, config: ConditionAugment, draws: Draws) -> tuple[Tensor, Tensor]:
    """Damage the planes of every sample in its own way.

    Args:
        low_res: [B, 3, C, h, w]

    Returns:
        damaged planes [B, 3, C, h, w], and their levels [B, LEVELS] in [0, 1]: 0 = none, 1 = the most of the config.
    """
    height, width = low_res.shape[-2:]
    chances = torch.tensor([config.half_probability, config.blur_probability, config.noise_probability])
    least = torch.tensor([1.0, config.blur[0], config.noise[0]])
    most = torch.tensor([1.0, config.blur[1], config.noise[1]])
    chances, least, most = (value.to(low_res) for value in (chances, least, most))
    chosen = draws.rand(LEVELS) < chances
    strength = chosen * torch.lerp(least, most, draws.rand(LEVELS))  # [B, LEVELS]

    halved = resize(resize(low_res, max(1, height // 2), max(1, width // 2)), height, width)
    damaged = torch.where(strength[:, 0].view(-1, 1, 1, 1, 1) > 0, halved, low_res)
    damaged = gaussian_blur(damaged, strength[:, 1])
    noise = draws.noise(*low_res.shape[1:])
    return damaged + strength[:, 2].view(-1, 1, 1, 1, 1) * noise, strength / most


def gaussian_blur(planes: Tensor, sigma: Tensor) -> Tensor:
    """Blur planes [B, 3, C, h, w] by sigma [B] texels; beyond the edges nothing counts. Sigma 0 changes nothing."""
    return _blur_matrix(planes.shape[-2], sigma) @ planes @ _blur_matrix(planes.shape[-1], sigma).mT


def _blur_matrix(side: int, sigma: Tensor) -> Tensor:
    """[B, 1, 1, side, side]: each row the weights of all texels in one blurred texel."""
    place = torch.arange(side, device=sigma.device, dtype=sigma.dtype)
    squared = (place[:, None] - place).square()
    return torch.softmax(-squared / (2 * sigma.clamp_min(1e-3).square()).view(-1, 1, 1, 1, 1), dim=-1)
