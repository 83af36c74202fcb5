"""Contract: condition augmentation damages planes as much as it says, each sample by itself; `upsample` draws every
sample from its own generator and condition alone, at level 0, and in the size asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.draws import Draws
from rodin.models.upsampler import LEVELS, upsample
from rodin.train.condition_augmentation import ConditionAugment, augment_condition, gaussian_blur
from rodin.triplane import resize

pytestmark = pytest.mark.usefixtures("mended_checksums")

NOTHING = ConditionAugment(half_probability=0.0, blur_probability=0.0, noise_probability=0.0)
DIFFUSION = DiffusionConfig(prediction="sample", schedule="linear", train_steps=100, zero_terminal_snr=False)


def planes(count: int, height: int = 8, width: int = 12) -> Tensor:
    return torch.randn(count, 3, 2, height, width, generator=torch.Generator().manual_seed(count))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_level_zero_is_the_identity() -> None:
    low = planes(5)
    damaged, levels = augment_condition(low, NOTHING, Draws(0, 5))
    assert torch.equal(damaged, low)
    assert levels.shape == (5, LEVELS)
    assert not levels.any()


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0.3, 3.0), height=st.integers(2, 12), width=st.integers(2, 12))
def test_blur_is_a_gaussian_filter(sigma: float, height: int, width: int) -> None:
    low = planes(2, height, width)
    blurred = gaussian_blur(low, torch.tensor([0.0, sigma]))
    torch.testing.assert_close(blurred[0], low[0])
    for image, found in zip(low[1].flatten(0, 1).numpy(), blurred[1].flatten(0, 1).numpy(), strict=True):
        # scipy counts zeros beyond the edge; divided by the blurred ones, nothing there counts
        wanted = gaussian_filter(image.astype(float), sigma, mode="constant", truncate=20.0)
        weight = gaussian_filter(np.ones_like(image, dtype=float), sigma, mode="constant", truncate=20.0)
        # scipy's one-dimensional kernel is normalised over all it reaches, which cancels in the quotient
        np.testing.assert_allclose(found, wanted / weight, atol=2e-5)


def test_noise_has_the_spread_that_the_level_tells() -> None:
    config = dataclasses.replace(NOTHING, noise_probability=1.0, noise=(0.1, 0.5))
    low = planes(200, 16, 16)
    damaged, levels = augment_condition(low, config, Draws(0, 200))
    spread = (damaged - low).flatten(1).std(dim=1)
    torch.testing.assert_close(spread, levels[:, 2] * 0.5, rtol=0.1, atol=0.0)
    assert not levels[:, :2].any()
    assert spread.min() == pytest.approx(0.1, abs=0.02)
    assert spread.max() == pytest.approx(0.5, abs=0.04)
    assert spread.mean() == pytest.approx(0.3, abs=0.03)


def test_half_size_loses_what_half_the_texels_cannot_tell() -> None:
    config = dataclasses.replace(NOTHING, half_probability=1.0)
    low = planes(3)
    damaged, levels = augment_condition(low, config, Draws(0, 3))
    torch.testing.assert_close(damaged, resize(resize(low, 4, 6), 8, 12))
    assert levels.tolist() == [[1.0, 0.0, 0.0]] * 3


def test_every_kind_is_drawn_as_often_as_asked_and_by_itself() -> None:
    config = ConditionAugment()
    _, levels = augment_condition(planes(4000, 2, 2), config, Draws(0, 4000))
    assert levels.min() >= 0
    assert levels.max() <= 1
    drawn = (levels > 0).double()
    for share, wanted in zip(drawn.mean(dim=0).tolist(), (0.2, 0.25, 0.8), strict=True):
        assert share == pytest.approx(wanted, abs=0.03)
    assert torch.corrcoef(drawn.T).triu(1).abs().max() < 0.05


@pytest.mark.parametrize(
    "change", [{"half_probability": 1.5}, {"noise_probability": -0.1}, {"blur": (0.0, 1.0)}, {"noise": (0.5, 0.1)}]
)
def test_impossible_augmentation_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ConditionAugment(**change)


class Watched(nn.Module):
    """Predicts the resized condition and a little of x_t; notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[Tensor] = []
        self.batches: list[int] = []

    def forward(self, x: Tensor, t: Tensor, z: Tensor, low_res: Tensor) -> Tensor:
        self.levels.append(z)
        self.batches.append(len(x))
        return resize(low_res, *x.shape[-2:]) + 0.1 * x


def test_a_sample_depends_on_its_condition_and_generator_alone() -> None:
    network, low = Watched(), planes(3)
    both = upsample(network, DIFFUSION, low, 16, [seeded(4), seeded(5), seeded(6)], 5, clip=5.0)
    assert both.shape == (3, 3, 2, 16, 16)
    alone = upsample(network, DIFFUSION, low[1:2], 16, [seeded(5)], 5, clip=5.0)
    assert torch.equal(both[1:2], alone)
    assert not torch.equal(alone, upsample(network, DIFFUSION, low[1:2], 16, [seeded(7)], 5, clip=5.0))
    assert set(network.batches) == {1}  # memory is that of one sample
    assert not torch.cat(network.levels).any()
    assert both.abs().max() <= 5.0


def test_each_sample_is_told_its_own_z() -> None:
    network, low, z = Watched(), planes(2), torch.eye(512)[:2]
    upsample(network, DIFFUSION, low, 16, [seeded(4), seeded(5)], 2, clip=5.0, z=z)
    told = torch.cat(network.levels)
    assert not told[:, :LEVELS].any()
    assert torch.equal(told[:, LEVELS:], z.repeat_interleave(2, dim=0))


def test_none_at_all_is_allowed() -> None:
    assert upsample(Watched(), DIFFUSION, planes(2)[:0], 16, [], 5, clip=5.0).shape == (0, 3, 2, 16, 16)


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="one generator a sample, got 1 for 2"):
        upsample(Watched(), DIFFUSION, planes(2), 16, [seeded()], 5, clip=5.0)
    with pytest.raises(ValueError, match="planes must be"):
        upsample(Watched(), DIFFUSION, planes(2)[0], 16, [seeded()], 5, clip=5.0)
    with pytest.raises(ValueError, match="steps must be"):
        upsample(Watched(), DIFFUSION, planes(1), 16, [seeded()], 101, clip=5.0)
