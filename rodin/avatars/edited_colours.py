"""Which colours of an avatar an edit by words may move: those that the words name, and those of what is not there yet.

A latent that is moved towards glasses draws glasses, and has a palette of its own whose hair and skin are a little
other too. Nobody asked for that.
"""

from __future__ import annotations

from collections.abc import Set

from torch import Tensor

from rodin.materials import MATERIALS
from rodin.prompts.understanding import Understanding

#: The materials whose colours an attribute of the recipe says.
_COLOURS_OF = {
    "skin": ("skin", "lips"),
    "hair_color": ("hair",),
    "eyes": ("iris",),
    "glasses_color": ("frame",),
    "hat_color": ("hat",),
    "top_color": ("top",),
    "lighting": MATERIALS,
}


def may_move(wanted: Understanding, shown: Set[str]) -> set[str]:
    """The materials whose colours an edit may move.

    Args:
        wanted: what the edit says.
        shown: the materials that the avatar has.
    """
    named = {material for name in wanted.named for material in _COLOURS_OF.get(name, ())}
    return named | (set(MATERIALS) - shown)


def moved_palette(palette: Tensor, before: Tensor, after: Tensor, materials: Set[str]) -> Tensor:
    """A palette [K, 3], some of whose materials are moved as those of a latent move from `before` to `after`."""
    rows = [MATERIALS.index(name) for name in sorted(materials)]
    moved = palette.clone()
    moved[rows] = (palette[rows] + after[rows] - before[rows]).clamp(0, 1)
    return moved
