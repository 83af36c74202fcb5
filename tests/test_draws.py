"""Contract: what a sample of a step draws hangs on the step and on its place in the batch, not on how the batch is cut;
no two samples draw alike; the numbers are spread as they should be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rodin.draws import Draws

KINDS: dict[str, Callable[[Draws], Tensor]] = {
    "rand": lambda draws: draws.rand(2, 3),
    "integers": lambda draws: draws.integers(1000, 4),
    "different": lambda draws: draws.different(50),
    "spread": lambda draws: draws.spread(),
    "seeds": lambda draws: torch.tensor(draws.seeds()),
    "noise": lambda draws: draws.noise(3, 5),
}


def drawn(draws: Draws, names: list[str]) -> list[Tensor]:
    return [KINDS[name](draws) for name in names]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**62),
    names=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=6),
    cuts=st.sets(st.integers(1, 11), max_size=5),
)
def test_a_batch_may_be_cut_anywhere(seed: int, names: list[str], cuts: set[int]) -> None:
    whole = drawn(Draws(seed, 12), names)
    parts = [drawn(Draws(seed, 12, range(*ends)), names) for ends in pairwise([0, *sorted(cuts), 12])]
    for k, wanted in enumerate(whole):
        assert len(wanted) == 12
        assert torch.equal(torch.cat([part[k] for part in parts]), wanted)


@pytest.mark.parametrize("name", KINDS)
def test_samples_and_steps_draw_differently(name: str) -> None:
    one, other = KINDS[name](Draws(1, 12)), KINDS[name](Draws(2, 12))
    assert len(one.flatten(1).unique(dim=0) if one.ndim > 1 else one.unique()) == 12
    assert not torch.equal(one, other)


def test_noise_is_standard_normal_and_of_no_sample_like_another() -> None:
    noise = Draws(0, 64).noise(4096)
    assert noise.mean().abs() < 0.01
    assert noise.std().item() == pytest.approx(1.0, abs=0.01)
    assert (torch.corrcoef(noise) - torch.eye(64)).abs().max() < 0.1


def test_numbers_lie_where_they_should() -> None:
    draws = Draws(0, 1000)
    uniform, whole, spread = draws.rand(), draws.integers(5), draws.spread()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.05)
    assert set(whole.tolist()) == set(range(5))
    torch.testing.assert_close(spread.sort().values.diff(), torch.full((999,), 1e-3), atol=1e-5, rtol=0)
    assert sorted(draws.different(1000).tolist()) == list(range(1000))
