"""What one sees of an avatar while it is drawn: a step after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Stage = Literal["base", "upsampling", "inversion"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has been made.

    Args:
        stage: whose: the base model's, the upsampler's, or of the descent towards a portrait.
        clean: [B, 3, C, h, w] the base model's x_0 so far, of the avatars that are drawn together; None elsewhere.
            `RodinPipeline.preview` makes pictures of it.
        palettes: [K, 3] of each of these avatars; None of planes that carry their own colours.
    """

    stage: Stage
    clean: Tensor | None = None
    palettes: Sequence[Tensor | None] = ()


#: Called after each step. What it raises ends the drawing between two steps.
Callback = Callable[[Step], None]
