"""Contract: the sketch is the linear map of its rank with the least squared error for noised latents, on any ranks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rodin.networks.linear_sketch import Sketch
from rodin.train.ranks import process_state
from rodin.train.sketch import LEAST_NOISE, learn_sketch
from rodin.train.subjects import Loaded

D, CHANNELS, SIZE = 12, 2, 4


def subjects(count: int = 40) -> tuple[Tensor, Tensor]:
    """Planes [N, 3, 2, 4, 4] that are linear in the latents but for some noise, and the latents [N, 12]."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.nn.functional.normalize(torch.randn(count, D, generator=generator) + 0.3, dim=1)
    truth = torch.randn(D, 3 * CHANNELS * SIZE**2, generator=generator)
    planes = latents @ truth + 0.1 * torch.randn(count, truth.shape[1], generator=generator)
    return planes.view(count, 3, CHANNELS, SIZE, SIZE), latents


def learned(rank: int, noise: float) -> Sketch:
    sketch = Sketch(D, rank, CHANNELS, SIZE)
    learn_sketch(sketch, [Loaded(*subjects(), None)], noise)
    return sketch


def error_under_noise(mapping: Tensor, noise: float) -> float:
    """The mean squared error over subjects and noise [D, P] of a linear map, by the noise's expectation."""
    planes, latents = subjects()
    fixed = (latents @ mapping - planes.flatten(1)).square().sum(dim=1).mean()
    return (fixed + noise**2 / D * mapping.square().sum()).item()


def as_matrix(sketch: Sketch) -> Tensor:
    return sketch(torch.eye(D)).flatten(1).detach()


@pytest.mark.parametrize("noise", [0.4, 1.0])
def test_no_linear_map_is_better_under_the_noise(noise: float) -> None:
    """A convex function is least where its gradient is zero; autograd is the reference."""
    best = as_matrix(learned(D, noise)).double().requires_grad_()
    planes, latents = (part.double() for part in subjects())
    error = (latents @ best - planes.flatten(1)).square().sum() / len(planes) + noise**2 / D * best.square().sum()
    error.backward()
    assert best.grad.abs().max() < 1e-4 * best.abs().max()


def descended(rank: int, noise: float, seed: int) -> Tensor:
    """A map [D, P] of that rank by descent from a random one."""
    planes, latents = subjects()
    torch.manual_seed(seed)
    left = torch.randn(D, rank, requires_grad=True)
    right = torch.randn(rank, planes[0].numel(), requires_grad=True)
    optimizer = torch.optim.LBFGS([left, right], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        mapping = left @ right
        error = (latents @ mapping - planes.flatten(1)).square().sum(dim=1).mean()
        error = error + noise**2 / D * mapping.square().sum()
        error.backward()
        return error

    optimizer.step(closure)
    return (left @ right).detach()


def test_no_map_of_its_rank_is_better() -> None:
    """Against maps of the same rank by descent from several starts."""
    rank, noise = 3, 0.4
    found = error_under_noise(as_matrix(learned(rank, noise)), noise)
    others = [error_under_noise(descended(rank, noise, seed), noise) for seed in range(3)]
    assert found <= min(others) * (1 + 1e-4)
    assert found > error_under_noise(as_matrix(learned(D, noise)), noise)


def test_its_basis_is_orthonormal_and_little_noise_counts_as_some() -> None:
    sketch = learned(5, 0.4)
    basis = sketch.basis.flatten(1)
    torch.testing.assert_close(basis @ basis.t(), torch.eye(5), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(as_matrix(learned(5, 0.0)), as_matrix(learned(5, LEAST_NOISE)))


def test_fewer_subjects_than_ranks_are_no_trouble() -> None:
    planes, latents = subjects(2)
    sketch = Sketch(D, 6, CHANNELS, SIZE)
    learn_sketch(sketch, [Loaded(planes.half(), latents, None)], 0.1)
    left = (sketch(latents) - planes).square().mean() / planes.square().mean()
    assert math.isfinite(left.item())
    assert left < 0.05


def on_each_rank(folder: Path) -> None:
    """What a rank does with its share; see conftest.py."""
    state = process_state()
    sketch = Sketch(D, 4, CHANNELS, SIZE)
    planes, latents = (part[state.process_index :: state.num_processes] for part in subjects())
    learn_sketch(sketch, [Loaded(planes, latents, None)], 0.4)
    torch.save(sketch.state_dict(), folder / f"sketch-{state.process_index}.pt")


def test_ranks_learn_one_sketch_from_all_subjects(two_ranks: Any) -> None:
    alone = learned(4, 0.4)
    for weights in two_ranks.read("sketch"):
        sketch = Sketch(D, 4, CHANNELS, SIZE)
        sketch.load_state_dict(weights)
        torch.testing.assert_close(as_matrix(sketch), as_matrix(alone), atol=1e-3, rtol=1e-3)
