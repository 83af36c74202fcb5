"""The random numbers that an avatar's seed stands for: each part of the model has its own."""

from __future__ import annotations

from enum import IntEnum

import torch

from rodin.avatars.drawing import LARGEST_SEED


class Stream(IntEnum):
    """Who asks. The offsets part what a generator looks at into four ranges of LARGEST_SEED numbers."""

    NOISE = 0
    STEPS = LARGEST_SEED
    PRIOR = 2 * LARGEST_SEED
    UPSAMPLER = 3 * LARGEST_SEED


def seeded(seeds: list[int], stream: Stream) -> list[torch.Generator]:
    """A generator for each seed, of one stream."""
    return [torch.Generator().manual_seed(seed + stream) for seed in seeds]
