"""Pictures of what an avatar is made of: every material in a fixed colour of its own.

The colours were searched for, near ones that say what the material is, such that any two of them and white are far
apart for all: OKLab distances (Ottosson 2020) are at least 0.15, and at least 0.1 as the colour-blind see them (Machado
et al. 2009).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.images import parse_colour, straight

MAP_COLOURS = {  # in the order of MATERIALS
    "skin": "#f1a21e",
    "lips": "#b10000",
    "hair": "#62576e",
    "lash": "#00000b",
    "iris": "#55ab96",
    "eye_white": "#ade1b8",
    "mouth": "#560000",
    "top": "#6339fc",
    "hat": "#c46c0d",
    "frame": "#2d1d9f",
    "lens": "#6bc4ff",
    "jewellery": "#ffe41f",
    "other": "#8878c4",
}


def painted_map(shares: Tensor, alpha: Tensor) -> Tensor:
    """A picture [..., H, W, 4], straight RGBA in [0, 1].

    Args:
        shares: [..., H, W, K] of MATERIALS, times alpha.
        alpha: [..., H, W]
    """
    colours = torch.tensor([parse_colour(colour) for colour in MAP_COLOURS.values()]).to(shares)
    picture = torch.cat([straight(shares @ colours, alpha), alpha[..., None]], dim=-1)
    return picture.clamp(0, 1)
