"""The materials of an avatar: what a point is made of, whatever its colour. Material maps, palettes and recolouring all
name them, in this order."""

from __future__ import annotations

#: hair: scalp tint, brows and beard too. mouth: its inside, teeth and tongue. top: the clothes.
MATERIALS = (
    "skin",
    "lips",
    "hair",
    "lash",
    "iris",
    "eye_white",
    "mouth",
    "top",
    "hat",
    "frame",
    "lens",
    "jewellery",
    "other",
)
