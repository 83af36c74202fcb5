"""Contract: FID is the Frechet distance of Gaussians, KID is unbiased, and both are judged against real subjects.

FID is held to the closed form for Gaussians of known mean and covariance; KID to the kernel's definition, summed here
pair by pair.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from rodin.evaluate.fid import distance, fid, kid


def normal(count: int, dimension: int, seed: int, views: int = 1) -> Tensor:
    return torch.randn(count, views, dimension, generator=torch.Generator().manual_seed(seed))


def test_fid_of_gaussians_is_the_closed_form() -> None:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); for commuting covariances the trace is sum (s1 - s2)^2."""
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0]
    one, other = torch.tensor([1.0, 2.0, 0.5, 1.0, 1.5, 3.0]), torch.tensor([2.0, 1.0, 0.5, 3.0, 1.5, 1.0])
    shift = torch.tensor([1.0, 0.0, -2.0, 0.0, 0.5, 0.0])
    drawn = normal(20000, 6, 1) * one @ rotation.t()
    real = (normal(20000, 6, 2) * other + shift) @ rotation.t()
    exact = float(shift.square().sum() + (one - other).square().sum())
    assert fid(drawn, real) == pytest.approx(exact, rel=0.03)


def test_fid_knows_equal_sets_and_takes_all_views() -> None:
    features = normal(40, 16, 0, views=3)
    assert fid(features, features) == pytest.approx(0.0, abs=1e-3)
    assert fid(features, features.flip(0, 1)) == pytest.approx(0.0, abs=1e-3)  # a set, in no order
    assert fid(features[:, :1], features + 1) > 10


def test_fid_of_few_pictures_in_many_directions_is_that_of_the_definition() -> None:
    """Against scipy's matrix square root of the full covariances."""
    drawn, real = normal(6, 40, 0, views=2), normal(5, 40, 1, views=2) * 2 + 0.3
    one, other = (x.flatten(0, 1).double().numpy() for x in (drawn, real))
    c1, c2 = np.cov(one.T), np.cov(other.T)
    root = scipy.linalg.sqrtm(c1 @ c2 + 1e-12 * np.eye(40)).real
    exact = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(c1 + c2 - 2 * root)
    assert fid(drawn, real) == pytest.approx(exact, rel=1e-3)


def test_kid_is_the_unbiased_discrepancy() -> None:
    drawn, real = normal(7, 5, 0, views=2), normal(7, 5, 1, views=2) + 0.5

    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 5 + 1) ** 3)

    per_view = []
    for view in range(2):
        x, y, n = drawn[:, view].double(), real[:, view].double(), 7
        within = sum(kernel(a[i], a[j]) for a in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        across = sum(kernel(x[i], y[j]) for i in range(n) for j in range(n)) / n**2
        per_view.append(within - 2 * across)
    assert kid(drawn, real) == pytest.approx(sum(per_view) / 2, rel=1e-6)


def test_kid_of_one_distribution_is_around_zero() -> None:
    found = [kid(normal(30, 8, 2 * k), normal(30, 8, 2 * k + 1)) for k in range(20)]
    assert min(found) < 0 < max(found)
    assert abs(sum(found) / 20) < 0.05 < kid(normal(30, 8, 0), normal(30, 8, 1) + 1)


@pytest.mark.parametrize("with_reference", [True, False])
def test_ratio_is_one_for_more_of_the_same_and_large_for_another(with_reference: bool) -> None:
    target, drawn, other = normal(80, 24, 0), normal(60, 24, 1), normal(60, 24, 2) + 1.5
    reference = normal(50, 24, 3) if with_reference else None
    same = distance(drawn, target, reference, seed=0)
    assert same.count == (50 if with_reference else 40)
    assert same.ratio == pytest.approx(1.0, abs=0.3)
    assert distance(other, target, reference, seed=0).ratio > 3
    assert distance(target, target, reference, seed=0).fid == pytest.approx(0.0, abs=1e-3)


def test_distance_is_the_same_for_the_same_seed() -> None:
    target, drawn = normal(20, 4, 0), normal(9, 4, 1)
    assert distance(drawn, target, None, seed=3) == distance(drawn, target, None, seed=3)
    assert distance(drawn, target, None, seed=3).count == 9  # never more than were drawn
