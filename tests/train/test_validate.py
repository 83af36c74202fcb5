"""Contract: the held-out error measures x_0 alone: whatever a network predicts, on whatever schedule, the same x_0 has
the same error; it is taken at fixed noise levels with fixed noise, and its cost is bounded.

References: networks whose x_0 is known in closed form.
"""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig, Prediction, Schedule
from rodin.diffusion.losses import Diffusion
from rodin.train.validate import LEVELS, nearest_timesteps, validation

SHAPE = (5, 3, 4, 6, 8)
X0 = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


def noising(prediction: Prediction, schedule: Schedule) -> Diffusion:
    terminal = prediction != "epsilon"
    return Diffusion(DiffusionConfig(prediction=prediction, schedule=schedule, zero_terminal_snr=terminal))


class Half(nn.Module):
    """Predicts what stands for x_0 / 2, which it finds by the latent: the number of the subject."""

    def __init__(self, noising: Diffusion) -> None:
        super().__init__()
        self.noising = noising

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        guess = X0[z[:, 0].long()].double() / 2
        abar = self.noising.abar[t].view(-1, 1, 1, 1, 1)
        noise = (x - abar.sqrt() * guess) / (1 - abar).sqrt()
        match self.noising.config.prediction:
            case "epsilon":
                return noise
            case "v_prediction":
                return abar.sqrt() * noise - (1 - abar).sqrt() * guess
            case "sample":
                return guess


@pytest.mark.parametrize(("prediction", "schedule"), list(itertools.product(get_args(Prediction), get_args(Schedule))))
def test_the_error_is_that_of_x0(prediction: Prediction, schedule: Schedule) -> None:
    diffusion = noising(prediction, schedule)
    measure = validation(X0, torch.arange(5.0)[:, None], diffusion, clip=10.0, batch_size=2)
    found = dict(zip(measure.names, measure.figures(Half(diffusion)), strict=True))
    assert set(found) == {"x0", *(f"x0_{level}" for level in LEVELS)}
    wanted = X0.square().mean().item() / 4
    assert list(found.values()) == pytest.approx([wanted] * len(found), rel=2e-3)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_levels_are_the_share_of_noise(schedule: Schedule) -> None:
    diffusion = noising("v_prediction", schedule)
    for level, time in zip(LEVELS, nearest_timesteps(diffusion), strict=True):
        assert 1 - diffusion.abar[time].item() == pytest.approx(level, abs=0.1 * (1 - level))


class Echo(nn.Module):
    """Predicts x_t for x_0, with a variance beside it, and remembers x_t."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor, z: None) -> Tensor:
        self.seen.append(x)
        return torch.cat([x, torch.full_like(x, math.nan)], dim=2)


def test_noise_is_fixed_clipped_and_variances_do_not_matter() -> None:
    diffusion = noising("sample", "shifted")
    network = Echo()
    measure = validation(X0, None, diffusion, clip=0.5, batch_size=5)
    first, second = measure.figures(network), measure.figures(network)
    assert first == second
    assert all(map(torch.equal, network.seen[: len(LEVELS)], network.seen[len(LEVELS) :]))
    wanted = [(x.clamp(-0.5, 0.5) - X0).square().mean().item() for x in network.seen[: len(LEVELS)]]
    assert first[1:] == pytest.approx(wanted, rel=1e-5)
    assert first[0] == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)
    share = (network.seen[4] - X0 * diffusion.abar[nearest_timesteps(diffusion)[4]].sqrt()).square().mean()
    assert share.item() == pytest.approx(0.999, abs=0.05)


def test_it_costs_a_fiftieth_of_the_training() -> None:
    """A training step costs three predictions a sample."""
    every = validation(X0, None, noising("sample", "shifted"), clip=4.0, batch_size=2).every
    assert len(LEVELS) * len(X0) <= 0.02 * 3 * 2 * every < len(LEVELS) * len(X0) + 0.02 * 3 * 2
