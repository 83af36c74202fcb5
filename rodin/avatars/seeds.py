"""The random numbers that an avatar's seed stands for: each part of the model has its own."""

from __future__ import annotations

from enum import IntEnum

import torch

LARGEST_SEED = 2**62  # generators take 64 bits; seed + k must not run out of them


class Stream(IntEnum):
    """Who asks. Generators look at 32 bits, over which these offsets are spread."""

    NOISE = 0
    STEPS = 0x40000000
    PRIOR = 0x80000000
    UPSAMPLER = 0xC0000000


def seeded(seeds: list[int], stream: Stream) -> list[torch.Generator]:
    """A generator for each seed, of one stream."""
    return [torch.Generator().manual_seed(seed + stream) for seed in seeds]
