"""Statistics of a set of planes: what maps them to the residuals that the diffusion learns, and back.

A residual is the difference from the mean avatar, of unit variance in each channel; planes of all sizes share one
domain.

Symbols: C channels, H W rows and columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.errors import UserError
from rodin.parts import check_range, load_component, save_component
from rodin.triplane import PLANES, resize

STATISTICS_NAME = "statistics"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaneStatisticsConfig:
    """Shape of the planes, and the bound on normalised values."""

    channels: int
    height: int
    width: int
    clip: float

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 2**12, "channels", "height", "width")
        if not self.clip > 0:
            raise ValueError(f"clip must be above 0, got {self.clip}")


class PlaneStatistics(nn.Module):
    """Maps planes to residuals from the mean avatar, of unit variance in each channel, and back.

    Buffers:
        mean_planes: [3, C, H, W] the mean over subjects.
        std: [C] standard deviation of the residual over subjects, planes and positions.
    """

    mean_planes: Tensor
    std: Tensor

    def __init__(self, config: PlaneStatisticsConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean_planes", torch.zeros(PLANES, config.channels, config.height, config.width))
        self.register_buffer("std", torch.ones(config.channels))

    def normalize(self, planes: Tensor) -> Tensor:
        """clip((planes - mean) / std, +-clip) of planes [..., 3, C, H, W]."""
        self._check(planes)
        return ((planes - self.mean_planes) / self.std[:, None, None]).clamp(-self.config.clip, self.config.clip)

    def denormalize(self, normalized: Tensor) -> Tensor:
        """The inverse of `normalize` within the clip, [..., 3, C, H, W]."""
        self._check(normalized)
        return normalized * self.std[:, None, None] + self.mean_planes

    def resized(self, size: int) -> PlaneStatistics:
        """The same for planes of size x size: the mean plane is resampled, the deviations stay, so that planes of all
        sizes share one domain."""
        config = dataclasses.replace(self.config, height=size, width=size)
        statistics = PlaneStatistics(config)
        statistics.mean_planes.copy_(resize(self.mean_planes, size, size))
        statistics.std.copy_(self.std)
        return statistics

    def _check(self, planes: Tensor) -> None:
        if planes.shape[-4:] != self.mean_planes.shape:
            raise ValueError(f"planes must be [..., {list(self.mean_planes.shape)}], got {list(planes.shape)}")


def measure_statistics(planes: Iterable[Tensor], *, clip: float) -> PlaneStatistics:
    """Measure a set in one pass, holding no more than one subject (Welford's method, in float64).

    A channel that never varies gets std 1, so that its residual stays 0.

    Args:
        planes: [3, C, H, W] of each subject.
        clip: bound on the normalised values, in standard deviations.

    Raises:
        UserError: no subjects, or planes of different shapes.
    """
    count = 0
    mean = squares = torch.zeros(())
    for one in planes:
        one = one.double()
        if count == 0:
            mean, squares = torch.zeros_like(one), torch.zeros_like(one)
        if one.shape != mean.shape:
            found = f"{list(one.shape)}, those of the first {list(mean.shape)}"
            raise UserError(f"planes of subject {count} are {found}; fit all alike")
        count += 1
        delta = one - mean
        mean = mean + delta / count
        squares = squares + delta * (one - mean)
    if count == 0:
        raise UserError("planes: none to measure statistics of; fit some first")
    _, channels, height, width = mean.shape
    statistics = PlaneStatistics(PlaneStatisticsConfig(channels=channels, height=height, width=width, clip=clip))
    std = (squares.mean(dim=(0, 2, 3)) / count).sqrt()
    statistics.mean_planes.copy_(mean)
    statistics.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))
    return statistics


def save_statistics(statistics: PlaneStatistics, folder: Path) -> None:
    """Write `folder`/statistics, whole or not at all."""
    save_component(statistics, Path(folder) / STATISTICS_NAME)


def load_statistics(folder: Path) -> PlaneStatistics:
    """Read `folder`/statistics.

    Raises:
        UserError: missing, cut off, or of another version.
    """
    return load_component(PlaneStatistics, PlaneStatisticsConfig, Path(folder) / STATISTICS_NAME)
