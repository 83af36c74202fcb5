"""Contract: a copied training subject is found, and a model that only copies shows in the ratio."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rodin.evaluate.neighbours import SHOWN, find_neighbours


def people(count: int, seed: int) -> Tensor:
    return torch.randn(count, 24, generator=torch.Generator().manual_seed(seed))


def test_a_planted_copy_is_found() -> None:
    training = people(30, 0)
    samples = people(10, 1)
    samples[4] = training[17] * 1.7  # the same direction
    found = find_neighbours(samples, people(20, 2), training)
    assert found.nearest.shape == (10, SHOWN)
    assert int(found.nearest[4, 0]) == 17
    assert float(found.samples[4]) == pytest.approx(0.0, abs=1e-6)
    assert int(found.samples.argmin()) == 4
    assert found.copies >= 0.1


def test_a_model_that_copies_has_ratio_zero_and_one_that_does_not_around_one() -> None:
    training, held_out = people(60, 0), people(60, 1)
    copied = find_neighbours(training[:20] + 1e-3 * people(20, 2), held_out, training)
    assert copied.ratio < 0.01
    assert copied.copies == 1.0
    fresh = find_neighbours(people(60, 3), held_out, training)
    assert fresh.ratio == pytest.approx(1.0, abs=0.15)
    assert fresh.copies < 0.2


def test_no_subject_is_its_own_neighbour() -> None:
    training = people(12, 0)
    found = find_neighbours(training, people(4, 1), training)
    assert float(found.training.min()) > 0.01
    assert torch.equal(found.training, found.pairs)
    collapsed = find_neighbours(people(1, 1).repeat(5, 1), people(4, 2), training)
    assert float(collapsed.pairs.max()) == pytest.approx(0.0, abs=1e-6)


def test_fewer_training_subjects_than_are_shown() -> None:
    assert find_neighbours(people(3, 0), people(2, 1), people(2, 2)).nearest.shape == (3, 2)
