"""The shared decoder (Rodin, Sec. 3.1, first stage): learned over many subjects at once, then frozen.

Two phases. First all subjects share ONE tri-plane: decoder and planes learn the mean avatar. Then every subject gets
its own copy of it, and decoder and planes learn on, one subject a step in random interleaved order, so that the decoder
never forgets an early one. The mean of the planes that come out is where every later fit starts: all fits lie in one
domain, around one point.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rodin.fit.fused import FusedFit, start_fit
from rodin.fit.losses import Batch
from rodin.fit.planes import FitConfig, learning_rate_at, random_size
from rodin.fit.scene import Scene
from rodin.fit.step import LearnedDecoder, PlaneFit
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


def learn_decoder(
    scenes: list[Scene],
    decoder_config: DecoderConfig,
    config: SharedConfig,
    fit: FitConfig,
    seed: int,
    report: Callable[[float], None],
) -> tuple[Decoder, Tensor]:
    """Learn the decoder and the planes that fits start from.

    Args:
        report: called after every step with its loss.

    Returns:
        the decoder, frozen and in eval mode, and the mean planes [3, C, H, W].
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(decoder_config)
    size = fit.plane_size
    common = 0.1 * torch.randn(3, decoder_config.channels, size, size, generator=generator)
    learned = LearnedDecoder(decoder, config.learning_rate)
    shared = start_fit(common, learned, fit.loss)
    learn(
        scenes,
        [shared] * len(scenes),
        learned,
        config.common_steps,
        config=config,
        fit=fit,
        generator=generator,
        report=report,
    )
    learned = LearnedDecoder(decoder, config.learning_rate)
    own = [start_fit(shared.planes, learned, fit.loss) for _ in scenes]
    learn(scenes, own, learned, config.steps, config=config, fit=fit, generator=generator, report=report)
    decoder = copy.deepcopy(decoder)  # its parameters were views of one vector
    return decoder.requires_grad_(False).eval(), torch.stack([one.planes for one in own]).mean(dim=0)


def learn(
    scenes: list[Scene],
    fits: Sequence[PlaneFit | FusedFit],
    learned: LearnedDecoder,
    steps: int,
    config: SharedConfig,
    fit: FitConfig,
    generator: torch.Generator,
    report: Callable[[float], None],
) -> None:
    """One phase; `fits` may name the same planes for several scenes. Each keeps its Adam state, which moves only in its
    own steps."""
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
        report(one.step(scene, batch, size, fit.learning_rate * factor, noise=noise))
