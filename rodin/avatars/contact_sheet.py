"""Pictures of several views: contact sheets (front, side and back of each avatar), grids, strips, and cards with
captions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.camera import orbit
from rodin.images import from_bytes, over, resized, to_bytes
from rodin.lettering import wrapped

AZIMUTHS_DEG = (0.0, 60.0, 180.0)
BACKGROUND = (0.93, 0.94, 0.95)
GAP = 16  # pixels between avatars
CARD, INK = (0.97, 0.97, 0.976), (0.235, 0.243, 0.275)  # of captioned cards
PADDING, CORNER, TEXT_SIZE, LEADING = 12, 14, 15, 20  # pixels


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
        first = [over(resized(portrait, size, size), background)]
    cards = [torch.cat([*first, *over(avatar.render(camera), background)], dim=1) for avatar in avatars]
    height, width = cards[0].shape[:2]
    columns = min(columns, len(cards))
    rows = -(-len(cards) // columns)
    sheet = background.expand(rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3).clone()
    for index, card in enumerate(cards):
        top, left = (GAP + (index // columns) * (height + GAP), GAP + (index % columns) * (width + GAP))
        sheet[top : top + height, left : left + width] = card
    return sheet.clamp(0, 1)


def grid(views: Tensor) -> Tensor:
    """Straight RGBA views [V, S, S, 4] as one picture [H, W, 4], wider than high, transparent where no view is left."""
    count, side = views.shape[:2]
    rows = math.isqrt(count)
    columns = -(-count // rows)
    rows = -(-count // columns)
    picture = torch.zeros(rows * side, columns * side, 4)
    for index, view in enumerate(views.cpu()):
        top, left = index // columns * side, index % columns * side
        picture[top : top + side, left : left + side] = view
    return picture


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


def captioned(cards: Sequence[tuple[Sequence[Tensor], str]], size: int, columns: int) -> Tensor:
    """Cards, `columns` of them in a row, each a row of views above its caption: a picture [H, W, 3] in [0, 1].

    Args:
        cards: straight RGBA views [S, S, 4], as many on each card, and words.
        size: edge of a view in pixels.
    """
    font = ImageFont.load_default(size=TEXT_SIZE)
    width = len(cards[0][0]) * size + 2 * PADDING
    texts = [wrapped(caption, font, width - 3 * PADDING) for _, caption in cards]
    height = size + max(map(len, texts)) * LEADING + 2 * PADDING
    columns = min(columns, len(cards))
    rows = -(-len(cards) // columns)
    whole = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", whole, _rgb(BACKGROUND))
    draw = ImageDraw.Draw(sheet)
    for index, ((views, _), lines) in enumerate(zip(cards, texts, strict=True)):
        left, top = GAP + (index % columns) * (width + GAP), GAP + (index // columns) * (height + GAP)
        draw.rounded_rectangle((left, top, left + width - 1, top + height - 1), radius=CORNER, fill=_rgb(CARD))
        for column, view in enumerate(views):
            tile = _image(view).resize((size, size), Image.Resampling.LANCZOS).convert("RGBA")
            sheet.paste(tile, (left + PADDING + column * size, top + PADDING), tile)
        for row, line in enumerate(lines):
            place = (left + 1.5 * PADDING, top + PADDING + size + row * LEADING)
            draw.text(place, line, fill=_rgb(INK), font=font)
    return from_bytes(torch.from_numpy(np.asarray(sheet).copy()))


def _image(view: Tensor) -> Image.Image:
    """A straight view with its colours premultiplied, so that resizing mixes in none of transparent pixels."""
    return Image.fromarray(to_bytes(view).numpy()).convert("RGBa")


def _rgb(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colour)
    return red, green, blue
