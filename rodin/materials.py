"""The materials of an avatar: what a point is made of, whatever its colour. Material maps, palettes and recolouring all
name them, in this order."""

from __future__ import annotations

#: In hair are the scalp's tint, brows and beard too; in mouth its inside, teeth and tongue; top is the clothes.
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
