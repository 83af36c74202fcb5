"""Where the palette of a fit begins: the mean colours under the material maps, and what share of the views each has."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.data.captures import MultiView
from rodin.errors import UserError

UNSEEN = 0.5  # the grey of a material that no view shows


def mean_colours(subject: MultiView) -> tuple[Tensor, Tensor]:
    """The mean colour of each material, and how much of what the views show it is.

    Pixels count by the square of the share that a material has in them: what it shares with others shows their colours
    too.

    Returns:
        palette [K, 3] in [0, 1], presence [K] adding up to 1.

    Raises:
        UserError: the capture has no material maps.
    """
    if subject.shares is None:
        raise UserError(
            f"{subject.folder}: has no material maps, which a decoder of materials learns from; render the set again "
            "with this version of rodin synth, or fit with decoder.materials 0"
        )
    shares, colours = subject.shares.flatten(0, 2), subject.images[..., :3].flatten(0, 2)
    weights = shares.square()
    total = weights.sum(dim=0)
    palette = weights.t() @ colours / total.clamp_min(1e-9)[:, None]
    presence = shares.sum(dim=0)
    return torch.where(total[:, None] > 0, palette, UNSEEN), presence / presence.sum().clamp_min(1e-9)
