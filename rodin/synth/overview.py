"""The contact sheet: each subject from the front, the side and the back, with its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rodin.files import read_json
from rodin.lettering import wrapped
from rodin.storage import Place, at_hand, written

MOST = 24
COLUMNS = 3
TILE = 176
BACKGROUND, CARD, INK = (233, 234, 238), (247, 247, 249), (60, 62, 70)
_GAP, _PAD, _LINES, _LEADING = 18, 12, 4, 17


def _azimuth(frame: dict[str, Any]) -> float:
    """Azimuth in radians of a frame's camera around the avatar."""
    pose = np.array(frame["transform_matrix"])
    return math.atan2(pose[0, 3], pose[2, 3])


def _view_near(frames: list[dict[str, Any]], azimuth: float) -> dict[str, Any]:
    """The frame whose camera is nearest to an azimuth at eye level."""

    def miss(frame: dict[str, Any]) -> float:
        pose = np.array(frame["transform_matrix"])
        turn = abs((_azimuth(frame) - azimuth + math.pi) % (2 * math.pi) - math.pi)
        return turn + abs(math.asin(pose[1, 3] / np.linalg.norm(pose[:3, 3])) - 0.1)

    return min(frames, key=miss)


def _card(folder: Path) -> Image.Image:
    """Three views of one subject and its caption."""
    record = read_json(folder / "transforms.json")
    frames = record["frames"]
    chosen = [frames[record["frontal"]], _view_near(frames, 0.4 * math.pi), _view_near(frames, math.pi)]
    width, height = 3 * TILE + 2 * _PAD, TILE + _LINES * _LEADING + 2 * _PAD
    card = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), radius=14, fill=CARD)
    for column, frame in enumerate(chosen):
        with Image.open(folder / frame["file_path"]) as image:
            # Premultiplied while resizing, or invisible colour would bleed into the edges. The border is always empty.
            edge = 0.045 * image.width
            box = (edge, edge, image.width - edge, image.height - edge)
            premultiplied = image.convert("RGBA").convert("RGBa")
            tile = premultiplied.resize((TILE, TILE), Image.Resampling.LANCZOS, box=box).convert("RGBA")
        card.paste(tile, (_PAD + column * TILE, _PAD), tile)
    font = ImageFont.load_default(size=14)
    room = width - 2 * _PAD - 12
    for row, line in enumerate(wrapped(record["caption"], font, room)[:_LINES]):
        draw.text((_PAD + 6, _PAD + TILE + 2 + row * _LEADING), line, fill=INK, font=font)
    return card


def write_overview(folders: Sequence[Place], path: Place) -> None:
    """Draw up to `MOST` subjects, spread over the set, into one PNG."""
    shown = [folders[i] for i in sorted({round(k) for k in np.linspace(0, len(folders) - 1, min(MOST, len(folders)))})]
    cards = []
    for place in shown:
        with at_hand(place) as folder:
            cards.append(_card(folder))
    columns = min(COLUMNS, len(cards))
    rows = -(-len(cards) // columns)
    width, height = cards[0].size
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP), BACKGROUND)
    for number, card in enumerate(cards):
        row, column = divmod(number, columns)
        sheet.paste(card, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
    with written(path) as temporary:
        sheet.save(temporary, optimize=True)
