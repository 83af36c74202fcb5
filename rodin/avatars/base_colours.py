"""The colours of what is made of one material, as a base colour times factors, both linear:

    colour = base * factor

so that another base recolours it, while light and shade stay: what programs that show meshes do with a material's base
colour and the colours of vertices, or a texture. Both end at 1, and a palette holds what materials show on average; so
that what is brighter fits too, the base is the palette's colour HEADROOM times as bright, as far as that goes.

Symbols: K materials, N places.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.render.materials import split

HEADROOM = 2.0  # with 1.5, the light on a bald head was gone, since half of its vertices were clipped
DARKEST = 1e-4  # of a base colour, linear: a third of a step of 8-bit sRGB


def srgb_to_linear(colours: Tensor) -> Tensor:
    """sRGB values in [0, 1] to linear ones (IEC 61966-2-1)."""
    return torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(colours: Tensor) -> Tensor:
    """Linear values in [0, 1] to sRGB ones (IEC 61966-2-1)."""
    bright = 1.055 * colours.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(colours <= 0.0031308, colours * 12.92, bright)


def base_of(colours: Tensor, palette: Tensor) -> Tensor:
    """The base [3] in (0, 1], linear: HEADROOM times the palette's colour, but 1 at most a channel.

    Args:
        colours: [N, 3] linear, whose usual one the base can hold too.
        palette: [3] sRGB of the material.
    """
    bright = HEADROOM * srgb_to_linear(palette)
    return bright.maximum(colours.median(dim=0).values).clamp(DARKEST, 1)


def factors_of(base: Tensor, colours: Tensor, emitted: Tensor, palette: Tensor) -> Tensor:
    """What the base is multiplied by, [N, 3] in [0, 1], linear.

    At a border a place may be brighter than its material alone would be there; since it would stay so whatever the base
    becomes, black hair a bright fringe when it is red, it gets what the material alone has. Of a material that is
    hardly seen alone, such as eyes behind lenses, the usual colour counts wherever it is the brighter one.

    Args:
        base: [3] linear, of `base_of`.
        colours: [N, 3] linear.
        emitted: [N, 2 K + 3] what they are mixed of.
        palette: [3] sRGB of the material.
    """
    shaded, residual, _ = split(emitted)
    alone = srgb_to_linear((shaded.sum(dim=-1, keepdim=True) * palette + residual).clamp(0, 1))
    usual = colours.median(dim=0).values
    return (colours.minimum(alone.maximum(usual)) / base).clamp(0, 1)
