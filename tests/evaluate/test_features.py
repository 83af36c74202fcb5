"""Contract: a picture's own subject is found exactly where the features say so."""

from __future__ import annotations

import torch

from rodin.evaluate.features import cosine_distances, top1


def directions(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def test_identical_features_are_all_found_and_shuffled_ones_are_not() -> None:
    gallery = directions(50)
    assert top1(gallery, gallery, list(range(50))) == 1.0
    assert top1(3.0 * gallery, gallery, list(range(50))) == 1.0  # directions alone count
    assert top1(gallery, gallery, [(k + 1) % 50 for k in range(50)]) == 0.0


def test_strangers_are_found_by_chance() -> None:
    assert top1(directions(2000, 1), directions(50), [k % 50 for k in range(2000)]) < 3 / 50


def test_entries_of_others_can_be_nearer() -> None:
    gallery = directions(5)
    closer = torch.cat([gallery + 0.01 * directions(5, 1), gallery])
    assert top1(gallery, closer, list(range(5))) == 0.0


def test_cosine_distances_are_those_of_the_definition() -> None:
    one, other = directions(3), directions(4, 1)
    found = cosine_distances(one, other)
    for i in range(3):
        for j in range(4):
            expected = 1 - float(one[i] @ other[j] / (one[i].norm() * other[j].norm()))
            assert abs(float(found[i, j]) - expected) < 1e-5
