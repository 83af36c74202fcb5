"""Where the palette of a fit begins: the mean colours under the material maps, and what share of the views each has."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.data.captures import MultiView
from rodin.errors import UserError

UNSEEN = 0.5  # the grey of a material that no view shows


def mean_colours(subject: MultiView) -> Tensor:
    """The mean colour of each material, [K, 3] in [0, 1].

    Pixels count by the square of the share that a material has in them: what it shares with others shows their colours
    too.

    Raises:
        UserError: the capture has no material maps.
    """
    shares, colours = _shares(subject), subject.images[..., :3].flatten(0, 2)
    weights = shares.square()
    total = weights.sum(dim=0)
    palette = weights.t() @ colours / total.clamp_min(1e-9)[:, None]
    return torch.where(total[:, None] > 0, palette, UNSEEN)


def material_presence(subject: MultiView) -> Tensor:
    """How much of what the views show each material is, [K] adding up to 1.

    Raises:
        UserError: the capture has no material maps.
    """
    presence = _shares(subject).sum(dim=0)
    return presence / presence.sum().clamp_min(1e-9)


def _shares(subject: MultiView) -> Tensor:
    """[V H W, K]"""
    if subject.shares is None:
        raise UserError(
            f"{subject.folder}: has no material maps, which a decoder of materials learns from; render the set again "
            "with this version of rodin synth, or fit with decoder.materials 0"
        )
    return subject.shares.flatten(0, 2)
