"""The shared decoder (Rodin, Sec. 3.1, first stage): learned over many subjects at once, then frozen.

Two phases. First all subjects share ONE tri-plane: decoder and planes learn the mean avatar. Then every subject gets
its own copy of it, and decoder and planes learn on, one subject a step in random interleaved order, so that the decoder
never forgets an early one. The mean of the planes that come out is where every later fit starts: all fits lie in one
domain, around one point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rodin.decoder import Decoder, DecoderConfig
from rodin.fit.losses import fitting_loss
from rodin.fit.planes import FitConfig, learning_rate_at, random_size, rescaled
from rodin.fit.scene import Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedConfig:
    """How the shared decoder is learned."""

    subjects: int = 12
    """Number of subjects it is learned on."""
    common_steps: int = 100
    """Steps with one tri-plane for all subjects."""
    steps: int = 600
    """Steps with a tri-plane for each."""
    learning_rate: float = 5e-3
    """Of the decoder."""
    noise: float = 0.02
    """Standard deviation of the noise on the planes, relative to theirs: the decoder must bear imperfect planes."""

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
    own = learn(scenes, [common] * len(scenes), decoder, config.common_steps, config, fit, generator, report)
    common = own[0]  # all the same tensor in the first phase
    own = [common.clone() for _ in scenes]
    own = learn(scenes, own, decoder, config.steps, config, fit, generator, report)
    return decoder.requires_grad_(False).eval(), torch.stack(own).mean(dim=0)


def learn(
    scenes: list[Scene],
    planes: list[Tensor],
    decoder: Decoder,
    steps: int,
    config: SharedConfig,
    fit: FitConfig,
    generator: torch.Generator,
    report: Callable[[float], None],
) -> list[Tensor]:
    """One phase; `planes` may name the same tensor for several scenes."""
    variables = {id(tensor): tensor.clone().requires_grad_() for tensor in planes}
    own = [variables[id(tensor)] for tensor in planes]
    # Each tri-plane keeps its own Adam state, which moves only in its own steps.
    optimizers = {
        key: torch.optim.Adam([value], lr=fit.learning_rate, betas=(0.9, 0.99), fused=True)
        for key, value in variables.items()
    }
    decoder_optimizer = torch.optim.Adam(decoder.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
    order: list[int] = []
    for step in range(steps):
        if not order:
            order = torch.randperm(len(scenes), generator=generator).tolist()
        index = order.pop()
        scene, variable, optimizer = scenes[index], own[index], optimizers[id(planes[index])]
        factor = learning_rate_at(step / steps)
        optimizer.param_groups[0]["lr"] = fit.learning_rate * factor
        decoder_optimizer.param_groups[0]["lr"] = config.learning_rate * factor
        ray = torch.randint(len(scene.rays), (fit.rays,), generator=generator)
        rendered = rescaled(variable, random_size(fit, generator))
        noise = config.noise * rendered.detach().std()
        rendered = rendered + noise * torch.randn(rendered.shape, generator=generator)
        loss = fitting_loss(variable, rendered, decoder, scene, ray, fit.loss, generator)
        optimizer.zero_grad()
        decoder_optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decoder_optimizer.step()
        report(loss.item())
    return [variable.detach() for variable in own]
