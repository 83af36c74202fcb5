"""Which colours of an avatar an edit by words may move: those that the words name, and those of what is not there yet.

A latent that is moved towards glasses draws glasses, and has a palette of its own whose hair and skin are a little
other too. Nobody asked for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor

from rodin.materials import MATERIALS
from rodin.models.palette import COLOURED_BY
from rodin.prompts.understanding import Understanding
from rodin.synth.recipe import AvatarRecipe


def colours_said(recipe: AvatarRecipe) -> dict[str, str]:
    """By attribute the colours of a recipe, as `PaletteNetwork.palettes` takes them."""
    return {attribute: str(getattr(recipe, attribute)) for attribute in COLOURED_BY}


def may_move(wanted: Understanding, shown: Set[str], strength: float) -> dict[str, float]:
    """The materials whose colours an edit may move, and how far each goes.

    Args:
        wanted: what the edit says.
        shown: the materials that the avatar has; what it puts on takes its colour at once.
        strength: of the edit; a colour does not go beyond what is asked for.
    """
    named = {material for name in wanted.named for material in COLOURED_BY.get(name, ())}
    moved = dict.fromkeys(sorted(named), min(strength, 1.0))
    return moved | {name: 1.0 for name in MATERIALS if name not in shown and strength}


def moved_palette(palette: Tensor, wanted: Tensor, shares: Mapping[str, float]) -> Tensor:
    """A palette [K, 3], some of whose materials go a share of the way to those of another; all others stay."""
    moved = palette.clone()
    for name, share in shares.items():
        row = MATERIALS.index(name)
        moved[row] = palette[row].lerp(wanted[row], share).clamp(0, 1)
    return moved


def edited_palette(
    now: Tensor, drifted: Tensor, wanted: Tensor, said: Understanding, shown: Set[str], strength: float
) -> Tensor:
    """The colours [K, 3] of an avatar after an edit.

    Args:
        now: its colours [K, 3], those among them that a user has chosen.
        drifted: the same, moved as z moves them. Light falls on all colours, so that they all go there.
        wanted: the colours [K, 3] of the avatar that the words describe.
        said: what was understood of the words.
        shown: the materials that the avatar has.
        strength: of the edit.
    """
    return moved_palette(drifted if "lighting" in said.named else now, wanted, may_move(said, shown, strength))
