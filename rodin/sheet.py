"""Pictures of several avatars: a contact sheet, each from the front, the side and the back, and a strip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.avatar import Avatar
from rodin.camera import orbit
from rodin.render import over

AZIMUTHS_DEG = (0.0, 60.0, 180.0)
BACKGROUND = (0.93, 0.94, 0.95)
GAP = 16  # pixels between avatars


def contact_sheet(avatars: list[Avatar], portrait: Tensor | None = None, size: int = 192, columns: int = 2) -> Tensor:
    """Picture [H, W, 3] in [0, 1] of the avatars, `columns` of them in a row.

    Args:
        portrait: [S, S, 4] straight RGBA that they were drawn for, shown before each.
        size: edge of one view in pixels.
    """
    background = torch.tensor(BACKGROUND)
    camera = orbit(list(AZIMUTHS_DEG), [4.0] * len(AZIMUTHS_DEG), size=size)
    first = []
    if portrait is not None:
        pixels = F.interpolate(portrait.permute(2, 0, 1)[None], (size, size), mode="bilinear", antialias=True)
        first = [over(pixels[0].permute(1, 2, 0), background)]
    cards = [torch.cat([*first, *over(avatar.render(camera), background)], dim=1) for avatar in avatars]
    height, width = cards[0].shape[:2]
    columns = min(columns, len(cards))
    rows = -(-len(cards) // columns)
    sheet = background.expand(rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3).clone()
    for index, card in enumerate(cards):
        top, left = (GAP + (index // columns) * (height + GAP), GAP + (index % columns) * (width + GAP))
        sheet[top : top + height, left : left + width] = card
    return sheet.clamp(0, 1)


def strip(views: Sequence[Tensor], size: int, gap: int = 0) -> Tensor:
    """Straight RGBA views [S, S, 4], each of its own size, as one row [size, W, 3] in [0, 1].

    Args:
        gap: white pixels between views.
    """
    white = torch.ones(size, gap, 3)
    cells = []
    for view in views:
        picture = over(view.cpu(), torch.tensor(BACKGROUND)).permute(2, 0, 1)[None]
        if view.shape[0] != size:
            picture = F.interpolate(picture, (size, size), mode="bicubic", antialias=True)
        cells += [picture[0].permute(1, 2, 0).clamp(0, 1), white]
    return torch.cat(cells[:-1], dim=1)
