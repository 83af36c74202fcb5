"""Tri-planes, and with materials the palette, of one subject under a frozen decoder (Rodin, Sec. 3.1, second stage)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from rodin.fit.fused import start_fit
from rodin.fit.losses import Batch, LossConfig
from rodin.fit.scene import Scene
from rodin.parts import LATER, check_range
from rodin.render.decoder import Decoder


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """How one subject is fitted.

    Args:
        plane_size: H = W of the fitted planes.
        image_size: Views are averaged down to this many pixels square.
        samples: Bins a ray.
        steps: Steps of Adam.
        rays: Rays a step.
        learning_rate: Of the planes; constant for the first half, then a cosine to a tenth.
        rescale: Probability that a step renders the planes at a random size; 0 turns random rescaling off.
        smallest_scale: The smallest random size, as a part of `plane_size`.
        held_out: Views kept for judging.
        loss: Regularizers.
        palette_learning_rate: With materials: of the palette, on the same schedule.
    """

    plane_size: int
    image_size: int
    samples: int = 64
    steps: int = 400
    rays: int = 1024
    learning_rate: float = 0.03
    rescale: float = 0.5
    smallest_scale: float = 0.5
    held_out: int = 4
    loss: LossConfig = field(default_factory=LossConfig)
    palette_learning_rate: float = field(default=1e-2, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("plane_size", "image_size", "samples", "steps", "rays"):
            if getattr(self, name) < 1:
                raise ValueError(f"fit.{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 2**12, "plane_size", "image_size", "samples")
        check_range(self, 1, 2**20, "rays")
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"fit.rescale is a probability in [0, 1], got {self.rescale}")
        if not 0 < self.smallest_scale <= 1:
            raise ValueError(f"fit.smallest_scale must be in (0, 1], got {self.smallest_scale}")


def random_size(config: FitConfig, generator: torch.Generator) -> int:
    """The size of this step's planes: `plane_size`, or smaller with probability `rescale` (Rodin, Fig. 3)."""
    scale, chance = torch.rand(2, generator=generator).tolist()
    if chance >= config.rescale:
        return config.plane_size
    smallest = config.smallest_scale * config.plane_size
    return round(smallest + scale * (config.plane_size - smallest))


def narrowing_steps(config: FitConfig) -> tuple[int, int, int]:
    """Before which steps the bins that no longer matter are left out."""
    return config.steps // 8, config.steps // 3, config.steps * 2 // 3


def learning_rate_at(progress: float) -> float:
    """Factor of the learning rate: 1 for the first half, then a cosine to 0.1."""
    return 1.0 if progress < 0.5 else 0.1 + 0.45 * (1 + math.cos(math.pi * (2 * progress - 1)))


class FittedPlanes(NamedTuple):
    """What a fit of one subject finds."""

    planes: Tensor  # [3, C, H, W]
    palette: Tensor | None  # [K, 3]; None without materials


def fit_planes(
    scene: Scene, decoder: Decoder, start: Tensor, config: FitConfig, seed: int, palette: Tensor | None = None
) -> FittedPlanes:
    """Fit the planes of one subject, with materials its palette too, the decoder frozen.

    Args:
        start: [3, C, H, W], usually the mean over subjects: it keeps all fits in one domain.
        palette: [K, 3] where the subject's begins, if the decoder has materials.
    """
    generator = torch.Generator().manual_seed(seed)
    fit = start_fit(start, decoder, config.loss, palette)
    for step in range(config.steps):
        if step in narrowing_steps(config):
            scene = scene.narrowed(fit.planes, decoder)
        batch = Batch.draw(scene, config.rays, config.loss.empty_points, generator)
        size = random_size(config, generator)
        factor = learning_rate_at(step / config.steps)
        rate, palette_rate = config.learning_rate * factor, config.palette_learning_rate * factor
        fit.step(scene, batch, size, rate, palette_learning_rate=palette_rate)
    return FittedPlanes(fit.planes, fit.palette)
