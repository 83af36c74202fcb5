"""Text that is set into pictures."""

from __future__ import annotations

from PIL import ImageFont


def wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, room: float) -> list[str]:
    """Lines no wider than `room` pixels, but for a word that is wider by itself."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
