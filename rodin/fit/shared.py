"""The shared decoder (Rodin, Sec. 3.1, first stage): learned over many subjects at once, then frozen.

Two phases. First all subjects share ONE tri-plane: decoder and planes learn the mean avatar. Then every subject gets
its own copy of it, and decoder and planes learn on, one subject a step in random interleaved order, so that the decoder
never forgets an early one. The mean of the planes that come out is where every later fit starts: all fits lie in one
domain, around one point. With materials every subject has its own palette in both phases.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rodin.fit.fused import FusedFit, start_fit
from rodin.fit.losses import Batch
from rodin.fit.planes import FitConfig, learning_rate_at, random_size
from rodin.fit.scene import Scene
from rodin.fit.step import LearnedDecoder, LearnedPalette, PlaneFit
from rodin.render.decoder import Decoder, DecoderConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedConfig:
    """How the shared decoder is learned.

    Args:
        subjects: Number of subjects it is learned on.
        common_steps: Steps with one tri-plane for all subjects.
        steps: Steps with a tri-plane for each.
        learning_rate: Of the decoder.
        noise: Standard deviation of the noise on the planes, relative to theirs: the decoder must bear imperfect
            planes.
    """

    subjects: int = 12
    common_steps: int = 100
    steps: int = 600
    learning_rate: float = 5e-3
    noise: float = 0.02

    def __post_init__(self) -> None:
        if self.subjects < 1 or self.common_steps < 1 or self.steps < 1:
            raise ValueError("shared.subjects, shared.common_steps and shared.steps must be at least 1")


class SharedDecoder(NamedTuple):
    """What is learned over many subjects at once."""

    decoder: Decoder  # frozen and in eval mode
    start: Tensor  # [3, C, H, W] the mean planes
    palettes: Tensor | None  # [subjects, K, 3]; None without materials


def learn_decoder(
    scenes: list[Scene],
    decoder_config: DecoderConfig,
    config: SharedConfig,
    fit: FitConfig,
    seed: int,
    report: Callable[[float], None],
    palettes: Tensor | None = None,
) -> SharedDecoder:
    """Learn the decoder and the planes that fits start from.

    Args:
        report: called after every step with its loss.
        palettes: [subjects, K, 3] where those of the subjects begin, if the decoder has materials.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(decoder_config)
    size = fit.plane_size
    common = 0.1 * torch.randn(3, decoder_config.channels, size, size, generator=generator)
    learned = LearnedDecoder(decoder, config.learning_rate)
    begun = [None] * len(scenes) if palettes is None else list(palettes)
    first = start_fit(common, learned, fit.loss, begun[0])
    own = [with_palette(first, palette) for palette in begun]
    learn(scenes, own, learned, config.common_steps, config=config, fit=fit, generator=generator, report=report)
    learned = LearnedDecoder(decoder, config.learning_rate)
    own = [start_fit(one.planes, learned, fit.loss, one.palette) for one in own]
    learn(scenes, own, learned, config.steps, config=config, fit=fit, generator=generator, report=report)
    decoder = copy.deepcopy(decoder)  # its parameters were views of one vector
    return SharedDecoder(
        decoder.requires_grad_(False).eval(),
        torch.stack([one.planes for one in own]).mean(dim=0),
        None if palettes is None else torch.stack([one.palette for one in own if one.palette is not None]),
    )


def with_palette(fit: PlaneFit | FusedFit, palette: Tensor | None) -> PlaneFit | FusedFit:
    """A fit of the very same planes, which both move, with a palette [K, 3] of its own."""
    other = copy.copy(fit)
    other.learned_palette = None if palette is None else LearnedPalette(palette)
    return other


def learn(
    scenes: list[Scene],
    fits: list[PlaneFit | FusedFit],
    learned: LearnedDecoder,
    steps: int,
    config: SharedConfig,
    fit: FitConfig,
    generator: torch.Generator,
    report: Callable[[float], None],
) -> None:
    """One phase; `fits` may have the same planes for several scenes. Planes and palettes keep their Adam state, which
    moves only in their own steps."""
    order: list[int] = []
    for step in range(steps):
        if not order:
            order = torch.randperm(len(scenes), generator=generator).tolist()
        index = order.pop()
        scene, one = scenes[index], fits[index]
        factor = learning_rate_at(step / steps)
        learned.learning_rate = config.learning_rate * factor
        batch = Batch.draw(scene, fit.rays, fit.loss.empty_points, generator)
        size = random_size(fit, generator)
        planes = one.planes
        noise = config.noise * planes.std() * torch.randn(*planes.shape[:2], size, size, generator=generator)
        rate, palette_rate = fit.learning_rate * factor, fit.palette_learning_rate * factor
        report(one.step(scene, batch, size, rate, palette_learning_rate=palette_rate, noise=noise))
