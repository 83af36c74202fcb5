"""FID and KID between sets of avatars, by torchmetrics, in the features of `rodin.evaluate.features`.

FID of few subjects is far from 0 even between two halves of one set. A figure therefore comes with the FID that real
subjects, as many of them, have to the same target, and their ratio: 1 is as good as real.

Symbols: N M subjects, V views of each, D numbers of a feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

SPLITS = 4  # random choices of equally many subjects that a ratio is averaged over


@dataclass(frozen=True)
class Distance:
    """How far drawn avatars are from real ones.

    Args:
        fid: to all of the target.
        kid: to all of the target, unbiased for independent subjects, so around 0, and below, for the same distribution.
        equal_fid: FID of `count` drawn subjects to `count` of the target, mean over random choices.
        real_fid: FID of `count` real subjects, not in the target, to the same ones, mean too.
        ratio_spread: standard deviation of the ratio over the random choices; less than that is chance.
        count: subjects in both.
    """

    fid: float
    kid: float
    equal_fid: float
    real_fid: float
    ratio_spread: float
    count: int

    @property
    def ratio(self) -> float:
        """equal_fid / real_fid: 1 is as near as real subjects."""
        return self.equal_fid / self.real_fid


class GivenFeatures(nn.Module):
    """Stands where torchmetrics wants a network: the features have been computed, once for all figures."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.num_features = dimension

    def forward(self, features: Tensor) -> Tensor:
        """[B, D] -> the same"""
        return features


def fid(drawn: Tensor, real: Tensor) -> float:
    """Frechet distance of features [N, V, D], [M, V, D]: each set as one Gaussian over all its pictures (Heusel et al.
    2017)."""
    one, other = drawn.flatten(0, -2).double(), real.flatten(0, -2).double()
    # Few pictures span few directions; in the others both sets are zero, and leaving them out changes nothing but time
    basis = torch.linalg.qr(torch.cat([one, other]).t())[0]  # [D, min(D, pictures)]
    metric = FrechetInceptionDistance(feature=GivenFeatures(basis.shape[1]))
    metric.update(one @ basis, real=False)
    metric.update(other @ basis, real=True)
    return float(metric.compute())


def kid(drawn: Tensor, real: Tensor) -> float:
    """Squared maximum mean discrepancy of features [N, V, D], [M, V, D] under the cubic kernel (Binkowski et al. 2018).

    The estimate is unbiased for independent pictures, which views of one subject are not: it is taken of one view a
    subject, and averaged over the views.
    """
    count = min(len(drawn), len(real))
    pairs = zip(real[:count].double().unbind(1), drawn[:count].double().unbind(1), strict=True)
    return sum(float(poly_mmd(one, other)) for one, other in pairs) / drawn.shape[1]


def distance(drawn: Tensor, target: Tensor, reference: Tensor | None, seed: int) -> Distance:
    """How far `drawn` is from `target`, all features [N, V, D].

    Args:
        reference: other real subjects. None takes half of the target's as reference, the other half as target.
    """
    available = len(target) // 2 if reference is None else min(len(target), len(reference))
    count = min(available, len(drawn))
    generator = torch.Generator().manual_seed(seed)
    drawn_fids, real_fids = [], []
    for _ in range(SPLITS):
        order = torch.randperm(len(target), generator=generator)
        aim = target[order[:count]]
        if reference is None:
            real = target[order[count : 2 * count]]
        else:
            real = reference[torch.randperm(len(reference), generator=generator)[:count]]
        drawn_fids.append(fid(drawn[torch.randperm(len(drawn), generator=generator)[:count]], aim))
        real_fids.append(fid(real, aim))
    mean = [sum(found) / SPLITS for found in (drawn_fids, real_fids)]
    spread = stdev(one / other for one, other in zip(drawn_fids, real_fids, strict=True))
    return Distance(fid(drawn, target), kid(drawn, target), mean[0], mean[1], ratio_spread=spread, count=count)
