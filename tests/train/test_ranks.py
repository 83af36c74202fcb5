"""Contract: rows that the ranks share are the same on all of them, and each row's gradient comes from all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rodin.train.ranks import of_all_ranks, process_state


def rows() -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def value(all_rows: Tensor, rank: int) -> Tensor:
    """Of all rows together, and another on each rank."""
    return ((all_rows @ all_rows.mT).sin() * (1 + rank)).sum()


def on_each_rank(folder: Path) -> None:
    """What a rank does; see conftest.py."""
    rank = process_state().process_index
    own = rows().chunk(2)[rank].requires_grad_()
    shared = of_all_ranks(own)
    value(shared, rank).backward()
    torch.save({"shared": shared.detach(), "gradient": own.grad}, folder / f"rows-{rank}.pt")


def test_rows_of_all_ranks(two_ranks: Any) -> None:
    everything = rows().requires_grad_()
    (value(everything, 0) + value(everything, 1)).backward()
    for rank, found in enumerate(two_ranks.read("rows")):
        assert torch.equal(found["shared"], everything.detach())
        torch.testing.assert_close(found["gradient"], everything.grad.chunk(2)[rank])


def test_alone_they_are_ones_own() -> None:
    own = rows()
    assert of_all_ranks(own) is own
