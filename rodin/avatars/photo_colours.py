"""The colours of a portrait, where the decoder has materials.

A picture is then linear in the palette. So the likeliest palette is known at once, whatever the planes are: a ridge
regression of the portrait's pixels on what the materials show, around the colours that the palette network expects.

    |mask (M P + R - Y)|^2 / PIXEL_ERROR^2 + |(P - mean) / spread|^2 -> min,   P = palette [K, 3]

M [R, K] are the shaded shares that R rays see, R [R, 3] their residuals, Y [R, 3] the portrait, premultiplied.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rodin.render.materials import split

PIXEL_ERROR = 0.5  # of a colour in [0, 1]: neighbours err alike, so that each pixel alone says little


class PalettePrior(NamedTuple):
    """What colours are expected before the portrait is looked at: independent normal numbers."""

    mean: Tensor  # [K, 3]
    spread: Tensor  # [K, 3]

    def to(self, device: torch.device | str) -> PalettePrior:
        """The same on a device."""
        return PalettePrior(self.mean.to(device), self.spread.to(device))


@torch.no_grad()
def likeliest_palette(emitted: Tensor, target: Tensor, prior: PalettePrior) -> Tensor:
    """The palette [K, 3] in [0, 1] under which rays come nearest to a portrait.

    Args:
        emitted: [R, 2 K + 3] what the rays see, times alpha.
        target: [R, 4] the portrait's pixels, straight; those count that it covers.
    """
    seen, mask = split(emitted), target[:, 3:]
    materials = mask * seen.shaded / PIXEL_ERROR
    wanted = mask * (target[:, :3] * mask - seen.residual) / PIXEL_ERROR
    squares, product = materials.t() @ materials, materials.t() @ wanted
    sure = prior.spread.square().reciprocal()  # [K, 3]
    # Each colour channel has a ridge of its own.
    left = squares + torch.diag_embed(sure.t())  # [3, K, K]
    right = product + sure * prior.mean
    return torch.linalg.solve(left, right.t()[..., None])[..., 0].t().clamp(0, 1)
