"""Colour by materials: planes say what is where, a palette [K, 3] of each avatar's own says which colour that is.

    c(p, d) = s(p, d) sum_k w_k(p) palette_k + r(p)

w are the softmax shares of K materials, s > 0 a shade near 1, which alone may depend on the viewing direction, r a
small residual. The palette holds sRGB values in [0, 1], lit as the avatar is. A sample emits s w, r and w; compositing
is linear, so that the palette can wait until the picture: recolouring one needs no new rendering. Ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

RESIDUAL = 0.2  # the most that r may be, either way


class Emitted(NamedTuple):
    """What samples emit, or what rays see of it."""

    shaded: Tensor  # [..., K] shares times shade
    residual: Tensor  # [..., 3]
    shares: Tensor  # [..., K] adding up to 1, or composited to alpha

    def join(self) -> Tensor:
        """[..., 2 K + 3] as decoder and kernels have it."""
        return torch.cat(self, dim=-1)


def split(emitted: Tensor) -> Emitted:
    """The pieces of [..., 2 K + 3]."""
    materials = (emitted.shape[-1] - 3) // 2
    return Emitted(*emitted.split([materials, 3, materials], dim=-1))


def paint(emitted: Tensor, palette: Tensor) -> Tensor:
    """The colours [..., 3] of what is emitted [..., 2 K + 3] under a palette [K, 3]; of many avatars at once,
    [B, R, 2 K + 3] under [B, K, 3]."""
    seen = split(emitted)
    return seen.shaded @ palette + seen.residual


def check_palette(palette: Tensor | None, materials: int) -> None:
    """Whether there is a palette where there must be one.

    Raises:
        ValueError: a palette is missing, not wanted, or not [K, 3].
    """
    if palette is None and materials:
        raise ValueError(f"a decoder with {materials} materials needs a palette [{materials}, 3]; give the avatar's")
    if palette is not None and not materials:
        raise ValueError("a palette is for a decoder with materials, this one has none; leave the palette out")
    if palette is not None and palette.shape != (materials, 3):
        raise ValueError(f"the palette must be [{materials}, 3], got {list(palette.shape)}")
