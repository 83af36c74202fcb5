"""Contract: sharpness, streaks and lattices are what they are said to be, on pictures whose figures are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rodin.evaluate.looks import axis_energy, laplacian_energy, phase_spread


def pictures(grey: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
    """[N, S, S] as grey pictures."""
    return torch.stack([grey, grey, grey, torch.as_tensor(alpha).expand_as(grey)], dim=-1)


def noise(count: int = 8, side: int = 64, seed: int = 0) -> Tensor:
    return 0.5 + 0.05 * torch.randn(count, side, side, generator=torch.Generator().manual_seed(seed))


def test_the_laplacian_of_a_wave_is_known() -> None:
    """Of sin(k x) it is 2 (cos k - 1) sin(k x): the mean of its square, half of the factor's."""
    x = torch.arange(96.0)
    for cycles in (4, 12, 24):
        k = 2 * math.pi * cycles / 96
        wave = torch.sin(k * x).expand(1, 96, 96)
        # Without the first and the last pixel the wave is not quite whole.
        assert laplacian_energy(pictures(wave)) == pytest.approx((2 * (math.cos(k) - 1)) ** 2 / 2, rel=0.03)


def test_blur_is_less_sharp_and_the_edge_does_not_count() -> None:
    sharp = noise()
    soft = torch.nn.functional.avg_pool2d(sharp[:, None], 3, stride=1, padding=1)[:, 0]
    assert laplacian_energy(pictures(soft)) < 0.2 * laplacian_energy(pictures(sharp))
    alpha = torch.zeros(64, 64)
    alpha[16:48, 16:48] = 1
    flat = torch.where(alpha > 0, 0.5, 0.0).expand(1, 64, 64)
    assert laplacian_energy(pictures(flat, alpha)) == 0
    assert math.isnan(laplacian_energy(pictures(flat, 0.0)))


def test_noise_runs_in_no_direction_and_stripes_do() -> None:
    plain = noise()
    assert axis_energy(pictures(plain)) == pytest.approx(1, abs=0.1)
    stripes = plain + 0.05 * torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(1))
    assert axis_energy(pictures(stripes)) > 1.5
    assert axis_energy(pictures(stripes.mT)) == pytest.approx(axis_energy(pictures(stripes)), rel=0.2)
    diagonal = torch.stack([torch.roll(row, shifts=k, dims=-1) for k, row in enumerate(stripes.unbind(1))], dim=1)
    assert axis_energy(pictures(diagonal)) < 1.1
    assert math.isnan(axis_energy(pictures(plain, 0.5)))


def test_shading_is_no_stripe() -> None:
    """A slope along an axis has no fine waves."""
    slope = torch.linspace(0, 1, 64).expand(8, 64, 64)
    assert axis_energy(pictures(noise() + slope)) == pytest.approx(1, abs=0.15)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([2, 4]), st.floats(0.5, 9.0), st.integers(0, 3), st.integers(0, 3))
def test_a_lattice_is_found_to_its_height(period: int, height: float, row: int, column: int) -> None:
    grey = torch.full((3, 32, 32), 0.5)
    grey[:, row % period :: period, column % period :: period] += height / 255
    assert phase_spread(pictures(grey), period) == pytest.approx(height, rel=1e-3)


def test_content_is_no_lattice() -> None:
    """Neither noise nor slopes are, and edges do not count."""
    slope = torch.linspace(0, 1, 64)
    assert phase_spread(pictures(noise(count=64)), 4) < 1.0
    assert phase_spread(pictures((slope[:, None] + 2 * slope).expand(2, 64, 64)), 4) < 1e-3
    alpha = torch.zeros(64, 64)
    alpha[:31, :31] = 1
    grey = torch.where(alpha > 0, 0.9, 0.1).expand(2, 64, 64)
    assert phase_spread(pictures(grey, alpha), 4) == pytest.approx(0, abs=1e-6)
    assert math.isnan(phase_spread(pictures(grey, 0.0), 4))
