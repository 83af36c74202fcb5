"""What a training step draws: sample k of step s gets the same numbers on whichever rank and in however small a part of
the batch it is computed.

Few numbers a sample are drawn for the whole batch everywhere, by one generator, and each part keeps its own. Noise
would be too much for that: each sample's comes from a generator of its own, whose seed is such a number.

Symbols: B samples of the part.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_SEED = 2**63 - 1


class Draws:
    """The random numbers of one part of a step's batch. All parts of a step ask for the same in the same order.

    Args:
        seed: of the step.
        batch: samples of the whole step.
        own: the part's samples among them, by position; None = all of them.
        device: where the numbers shall lie.
        step: the number of the step, for what goes by that.
    """

    def __init__(
        self, seed: int, batch: int, own: range | None = None, device: torch.device | str = "cpu", step: int = 0
    ) -> None:
        self.batch, self.step, self.device = batch, step, torch.device(device)
        self.own = range(batch) if own is None else own
        # On the CPU, where all ranks draw alike and reading a number waits for no GPU.
        self._shared = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(self.device)

    def __len__(self) -> int:
        """B"""
        return len(self.own)

    def rand(self, *shape: int) -> Tensor:
        """[B, *shape] uniform in [0, 1)."""
        return self._part(torch.rand(self.batch, *shape, generator=self._shared))

    def integers(self, high: int, *shape: int) -> Tensor:
        """[B, *shape] whole numbers from 0 to high - 1."""
        return self._part(torch.randint(high, (self.batch, *shape), generator=self._shared))

    def different(self, high: int) -> Tensor:
        """[B] whole numbers from 0 to high - 1, no two of the whole batch alike; `batch` is at most `high`."""
        return self._part(torch.randperm(high, generator=self._shared)[: self.batch])

    def spread(self) -> Tensor:
        """[B] uniform in [0, 1): one number, spread evenly over the whole batch."""
        start = torch.rand((), generator=self._shared)
        return self._part((start + torch.arange(self.batch) / self.batch) % 1.0)

    def seeds(self) -> list[int]:
        """B seeds, for draws whose number is not the same for all samples."""
        return torch.randint(LARGEST_SEED, (self.batch,), generator=self._shared)[self._slice()].tolist()  # type: ignore[no-any-return]

    def noise(self, *shape: int) -> Tensor:
        """[B, *shape] standard normal."""
        noise = torch.empty(len(self), *shape, device=self.device)
        for row, seed in zip(noise, self.seeds(), strict=True):
            row.normal_(generator=self._noise.manual_seed(seed))
        return noise

    def _slice(self) -> slice:
        return slice(self.own.start, self.own.stop)

    def _part(self, drawn: Tensor) -> Tensor:
        return drawn[self._slice()].to(self.device)
