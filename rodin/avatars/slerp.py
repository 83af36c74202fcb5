"""The way between two points of a sphere, along its surface."""

from __future__ import annotations

import torch
from torch import Tensor


def slerp(first: Tensor, last: Tensor, part: float) -> Tensor:
    """The point a part in [0, 1] of the way along the great circle between two tensors, seen as vectors of any length.

    Lengths go linearly. Vectors that point the same or opposite ways are mixed linearly.
    """
    one, other = first.flatten(), last.flatten()
    lengths = one.norm(), other.norm()
    cosine = (one @ other / (lengths[0] * lengths[1]).clamp_min(1e-12)).clamp(-1, 1)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-4:
        return torch.lerp(first, last, part)
    directions = [vector / length for vector, length in zip((first, last), lengths, strict=True)]
    between = torch.sin((1 - part) * angle) * directions[0] + torch.sin(part * angle) * directions[1]
    return between / torch.sin(angle) * torch.lerp(lengths[0], lengths[1], part)
