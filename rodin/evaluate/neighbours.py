"""Memorisation: are the drawn avatars copies of training subjects (Rodin's supplement)?

A model that repeats its training set has samples that lie nearer to it than people do whom it has never seen. Both
distances, from each sample and from each held-out subject to its nearest training subject, are taken between frontal
pictures, and their distributions compared.

Symbols: N samples, M held-out subjects, T training subjects, D numbers of a feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rodin.evaluate.features import cosine_distances

SHOWN = 3  # neighbours of a sample in the picture


@dataclass(frozen=True)
class Neighbours:
    """Nearest training subjects.

    Args:
        nearest: [N, min(SHOWN, T)] training subjects next to each sample, the nearest first.
        samples: [N] cosine distance of each sample to its nearest training subject.
        held_out: [M] the same of held-out subjects.
        training: [T] the same of each training subject to the nearest other one.
        pairs: [N] distance of each sample to the nearest other sample: around 0, all are one avatar.
    """

    nearest: Tensor
    samples: Tensor
    held_out: Tensor
    training: Tensor
    pairs: Tensor

    @property
    def ratio(self) -> float:
        """Median distance of samples over that of held-out subjects: far below 1 is memorised."""
        return (self.samples.quantile(0.5) / self.held_out.quantile(0.5)).item()

    @property
    def copies(self) -> float:
        """Share of samples that are nearer to a training subject than any held-out subject is."""
        return (self.samples < self.held_out.min()).double().mean().item()


def find_neighbours(samples: Tensor, held_out: Tensor, training: Tensor) -> Neighbours:
    """Compare features [N, D], [M, D], [T, D] of frontal pictures."""
    distances = cosine_distances(samples, training)
    near, nearest = distances.topk(min(SHOWN, len(training)), largest=False)
    return Neighbours(
        nearest,
        near[:, 0],
        cosine_distances(held_out, training).amin(dim=1),
        _nearest_other(training),
        pairs=_nearest_other(samples),
    )


def _nearest_other(features: Tensor) -> Tensor:
    """[N, D] -> [N]"""
    distances = cosine_distances(features, features)
    return distances.fill_diagonal_(torch.inf).amin(dim=1)
