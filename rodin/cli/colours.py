"""The colours that `rodin recolour` is given: a flag a material, in the order of `rodin.materials.MATERIALS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

Colour = Annotated[str | None, tyro.conf.arg(metavar="COLOUR", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """What becomes of the materials, each a CSS name such as navy, or #rgb, or #rrggbb. Those not named stay.

    Args:
        skin: Skin.
        lips: Lips.
        hair: Hair, with brows, beard and the tint of the scalp.
        lash: Lashes.
        iris: The coloured part of the eyes.
        eye_white: The white part of the eyes.
        mouth: Inside of the mouth: teeth and tongue.
        top: Clothes.
        hat: Hat.
        frame: Frame of the glasses.
        lens: Lenses of the glasses.
        jewellery: Jewellery.
        other: Whatever else there is.
    """

    skin: Colour = None
    lips: Colour = None
    hair: Colour = None
    lash: Colour = None
    iris: Colour = None
    eye_white: Colour = None
    mouth: Colour = None
    top: Colour = None
    hat: Colour = None
    frame: Colour = None
    lens: Colour = None
    jewellery: Colour = None
    other: Colour = None
