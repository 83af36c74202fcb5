"""Contract: the regularizers are what they are named after, against direct O(S^2) or hand-computed references."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.fit.losses import Batch, LossConfig, distortion, opacity_at, picture_loss, total_variation
from rodin.fit.planes import FitConfig
from rodin.fit.scene import Scene, empty_cells
from rodin.parts import config_from_dict, noted
from rodin.render.rays import Occupancy, Rays


def distortion_by_definition(weights: torch.Tensor) -> torch.Tensor:
    """mip-NeRF 360, Eq. 15, as it is printed: a double sum over all pairs of bins."""
    rays, count = weights.shape
    edges = torch.linspace(0, 1, count + 1, dtype=weights.dtype)
    middles = (edges[1:] + edges[:-1]) / 2
    total = torch.zeros(rays, dtype=weights.dtype)
    for i in range(count):
        for j in range(count):
            total += weights[:, i] * weights[:, j] * (middles[i] - middles[j]).abs()
        total += weights[:, i] ** 2 * (edges[i + 1] - edges[i]) / 3
    return total.mean()


@given(rays=st.integers(1, 4), bins=st.integers(1, 12), seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_distortion_equals_its_definition_in_value_and_gradient(rays: int, bins: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(rays, bins, generator=generator, dtype=torch.float64, requires_grad=True)
    fast, slow = distortion(weights), distortion_by_definition(weights)
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=0)
    for one, other in zip(torch.autograd.grad(fast, weights), torch.autograd.grad(slow, weights), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_distortion_prefers_a_thin_surface_to_fog() -> None:
    thin, fog = torch.zeros(1, 20), torch.full((1, 20), 1 / 20)
    thin[0, 7] = 1.0
    assert distortion(thin) < distortion(fog) / 10


def test_total_variation_by_hand_on_a_non_square_plane() -> None:
    planes = torch.tensor([[1.0, 3.0, 3.0], [2.0, 3.0, 0.0]])[None, None]
    rows = (1 + 0 + 9) / 3
    columns = (4 + 0 + 1 + 9) / 4
    torch.testing.assert_close(total_variation(planes), torch.tensor(rows + columns))


class Fog:
    """A decoder whose density is 2 wherever the feature is positive."""

    def density_of(self, features: torch.Tensor) -> torch.Tensor:
        return 2.0 * (features[:, 0] > 0)


def test_opacity_is_asked_only_outside_what_is_occupied() -> None:
    planes = torch.zeros(3, 1, 8, 8)
    planes[0, :, 4:] = 1.0  # u = x > 0
    left = torch.zeros(4, 4, 4, dtype=torch.bool)
    left[:2] = True  # x < 0 is occupied, so only x > 0, the fog, is judged
    generator = torch.Generator().manual_seed(0)

    def points(grid: torch.Tensor) -> torch.Tensor:
        occupancy = Occupancy(grid)
        one = torch.zeros(1)
        rays = Rays(torch.zeros(1, 3), torch.zeros(1, 3), one, one)
        scene = Scene(rays, torch.zeros(1, 4), torch.zeros(1, 8, dtype=torch.bool), occupancy, empty_cells(occupancy))
        return Batch.draw(scene, rays=2, points=3000, generator=generator).outside

    outside = points(left)
    assert (outside[:, 0] >= 0).all()
    assert outside.std(dim=0).min() > 0.25, "anywhere in those cells"
    value = opacity_at(planes, Fog(), outside, 0.1)  # type: ignore[arg-type]
    assert value == pytest.approx(1 - math.exp(-2.0 * 0.1), rel=0.01)
    assert opacity_at(planes, Fog(), points(torch.ones_like(left)), 0.1) == 0  # type: ignore[arg-type]


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fit.loss.smooth must not be negative, got -1"):
        LossConfig(smooth=-1)


def test_the_terms_of_materials_by_hand() -> None:
    """Two materials, two rays: each term alone, then all of them with their weights."""
    palette = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    #                        shaded    residual       shares
    emitted = torch.tensor([[0.5, 0.2, 0.1, 0.0, 0.0, 0.4, 0.4], [0.0, 0.6, 0.0, 0.0, -0.2, 0.0, 0.5]])
    alpha = torch.tensor([0.8, 0.5])
    targets = torch.tensor([[0.6, 0.35, 0.0, 1.0], [0.0, 0.3, 0.4, 0.5]])
    shares = torch.tensor([[0.4, 0.6], [0.1, 0.5]])
    # painted: (0.5 + 0.1, 0.35, 0.2) and (0, 0.3, 0.6 - 0.2)
    picture = (0.2**2 + 0.2**2) / 8
    of_shares = (0.2**2 + 0.1**2) / 4
    residual = (0.1**2 + 0.2**2) / 6
    shade = ((0.1**2 + 0.2**2) + 0.1**2) / 2
    off = {"shares": 0.0, "residual": 0.0, "shade": 0.0}
    for weights, extra in (
        ({}, 0.0),
        ({"shares": 0.5}, 0.5 * of_shares),
        ({"residual": 0.3}, 0.3 * residual),
        ({"shade": 0.2}, 0.2 * shade),
        ({"shares": 2.0, "residual": 1.0, "shade": 3.0}, 2 * of_shares + residual + 3 * shade),
    ):
        config = LossConfig(**{**off, **weights})
        found = picture_loss(emitted, alpha, targets, config, palette=palette, shares=shares)
        assert found.item() == pytest.approx(picture + extra, rel=1e-5)
    unknown = picture_loss(emitted, alpha, targets, LossConfig(**{**off, "shares": 9.0}), palette=palette)
    assert unknown.item() == pytest.approx(picture, rel=1e-5), "nobody knows the shares"
    plain = picture_loss(emitted[:, :3], alpha, targets, LossConfig())
    wanted = (torch.cat([emitted[:, :3], alpha[:, None]], dim=1) - targets).square().mean()
    assert torch.equal(plain, wanted)


def test_settings_from_before_materials_still_load() -> None:
    old = {"sparse": 0.0, "smooth": 0.1, "compact": 0.0, "empty": 0.2, "empty_points": 7}
    config = config_from_dict(LossConfig, old, "old.json")
    assert (config.shares, config.residual, config.shade) == (2.0, 0.1, 0.02)
    assert noted(config) == old
    assert "palette_learning_rate" not in noted(FitConfig(plane_size=8, image_size=8))
