"""Where the palette of a fit begins: the mean colours under the material maps, and what share of the views each has."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.data.captures import MultiView
from rodin.errors import UserError
from rodin.fit.scene import Scene

UNSEEN = 0.5  # the grey of a material that no view shows


def mean_colours(scene: Scene) -> Tensor:
    """The mean colour of each material over the rays that a fit learns from, [K, 3] in [0, 1].

    Rays count by the square of the share that a material has in them: what it shares with others shows their colours
    too.

    Raises:
        ValueError: nobody knows the scene's materials.
    """
    if scene.shares is None:
        raise ValueError("the scene has no material maps")
    alpha = scene.targets[:, 3:]
    colours = scene.targets[:, :3] / alpha.clamp_min(1e-9)  # premultiplied
    weights = scene.shares.square()
    total = weights.sum(dim=0)
    palette = (weights.t() @ colours / total.clamp_min(1e-9)[:, None]).clamp(0, 1)
    return torch.where(total[:, None] > 0, palette, UNSEEN)


def material_presence(subject: MultiView) -> Tensor:
    """How much of what the views show each material is, [K] adding up to 1.

    Raises:
        UserError: the capture has no material maps.
    """
    presence = shares_of(subject).sum(dim=(0, 1, 2))
    return presence / presence.sum().clamp_min(1e-9)


def shares_of(subject: MultiView) -> Tensor:
    """The material maps of a subject, [V, H, W, K].

    Raises:
        UserError: the capture has none.
    """
    if subject.shares is None:
        raise UserError(
            f"{subject.folder}: has no material maps, which a decoder of materials learns from; render the set again "
            "with this version of rodin synth, or fit with a preset whose decoder.materials is 0 and palette null"
        )
    return subject.shares
