"""Contract of rodin.models.statistics: mean and deviation are those of the definition, residuals go there and back
within the clip, and what cannot be measured is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rodin.errors import UserError
from rodin.models.statistics import load_statistics, measure_statistics, save_statistics

pytestmark = pytest.mark.usefixtures("mended_checksums")

SHAPE = (3, 2, 5, 4)  # not square on purpose


def some_planes(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)).half().float()


def test_statistics_match_the_definition(tmp_path: Path) -> None:
    offset = torch.randn(SHAPE) * 100  # a large mean: naive sums in float32 would lose the variance
    planes = torch.stack([some_planes(k) + offset for k in range(7)])
    statistics = measure_statistics(iter(planes), clip=2.5)
    planes = planes.double()
    torch.testing.assert_close(statistics.mean_planes, planes.mean(0).float())
    residual = planes - planes.mean(0)
    torch.testing.assert_close(statistics.std, (residual**2).mean(dim=(0, 1, 3, 4)).sqrt().float())
    save_statistics(statistics, tmp_path)
    loaded = load_statistics(tmp_path)
    assert torch.equal(loaded.mean_planes, statistics.mean_planes)
    assert torch.equal(loaded.std, statistics.std)
    assert loaded.config == statistics.config
    with pytest.raises(UserError):
        load_statistics(tmp_path / "nowhere")


def test_normalize_and_back() -> None:
    planes = torch.stack([some_planes(k) for k in range(4)])
    statistics = measure_statistics(planes, clip=1.5)
    normalized = statistics.normalize(planes)
    assert normalized.abs().max() == 1.5
    kept = normalized.abs() < 1.5
    torch.testing.assert_close(statistics.denormalize(normalized)[kept], planes[kept])
    torch.testing.assert_close(statistics.denormalize(torch.zeros(SHAPE)), statistics.mean_planes)
    with pytest.raises(ValueError, match=r"got \[3, 2, 4, 5\]"):
        statistics.normalize(torch.zeros(3, 2, 4, 5))


def test_statistics_edge_cases() -> None:
    constant = measure_statistics([some_planes(0), some_planes(0)], clip=3.0)
    assert bool((constant.std == 1).all())
    assert bool((constant.normalize(some_planes(0)) == 0).all())
    with pytest.raises(UserError, match="none"):
        measure_statistics([], clip=3.0)
    with pytest.raises(UserError, match=r"planes of subject 1 are \[3, 2, 5, 5\]"):
        measure_statistics([some_planes(0), torch.zeros(3, 2, 5, 5)], clip=3.0)
