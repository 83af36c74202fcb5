"""An edit by words moves the colours that it names and those of what it puts on; all others stay to the bit."""

import pytest
import torch

from rodin.avatars.edited_colours import colours_said, edited_palette, may_move, moved_palette
from rodin.materials import MATERIALS
from rodin.prompts.grammar import understand
from rodin.synth.recipe import make_recipe

SHOWN = {"skin", "lips", "hair", "iris", "eye_white", "top"}


@pytest.mark.parametrize(
    ("words", "moved", "stays"),
    [
        ("with round glasses", {"frame", "lens"}, SHOWN),
        ("a red fedora", {"hat"}, SHOWN),
        ("a full beard", set(), SHOWN),
        ("a mohawk", set(), SHOWN),
        ("green hair and a smile", {"hair"}, SHOWN - {"hair"}),
        ("a dark-skinned old woman", {"skin", "lips"}, {"hair", "top", "iris"}),
        ("in a yellow hoodie", {"top"}, {"hair", "skin"}),
        ("blue eyes and no beard", {"iris"}, {"hair", "skin", "top"}),
    ],
)
def test_only_what_words_name_and_what_was_not_there_may_move(words: str, moved: set[str], stays: set[str]) -> None:
    may = may_move(understand(words), SHOWN, 1.25)
    assert moved <= set(may)
    assert not stays & set(may)
    assert max(may.values()) <= 1, "a colour does not go beyond what is asked for"
    assert not any(may_move(understand(words), SHOWN, 0.0).values()), "no strength, no change"


def test_half_an_edit_goes_half_way_and_what_is_put_on_has_its_colour() -> None:
    may = may_move(understand("green hair and a fedora"), SHOWN, 0.5)
    assert (may["hair"], may["hat"]) == (0.5, 1.0)


def test_light_falls_on_the_colours_that_a_user_chose() -> None:
    generator = torch.Generator().manual_seed(0)
    chosen, drifted, wanted = torch.rand(3, len(MATERIALS), 3, generator=generator)
    hair, hat, top = (MATERIALS.index(name) for name in ("hair", "hat", "top"))
    lit = edited_palette(chosen, drifted, wanted, understand("in warm light"), SHOWN, 1.0)
    torch.testing.assert_close(lit[[hair, top]], drifted[[hair, top]])
    both = edited_palette(chosen, drifted, wanted, understand("green hair in warm light"), SHOWN, 1.0)
    torch.testing.assert_close(both[hair], wanted[hair])
    torch.testing.assert_close(both[top], drifted[top])
    hatted = edited_palette(chosen, drifted, wanted, understand("a red fedora"), SHOWN, 1.0)
    torch.testing.assert_close(hatted[hat], wanted[hat])
    assert torch.equal(hatted[[hair, top]], chosen[[hair, top]]), "no other word moves what it does not name"


def test_other_rows_stay_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    palette, wanted = torch.rand(2, len(MATERIALS), 3, generator=generator)
    moved = moved_palette(palette, wanted, {"hair": 0.25, "hat": 1.0})
    hair, hat = (MATERIALS.index(name) for name in ("hair", "hat"))
    torch.testing.assert_close(moved[hair], 0.75 * palette[hair] + 0.25 * wanted[hair])
    torch.testing.assert_close(moved[hat], wanted[hat])
    others = [row for row in range(len(MATERIALS)) if row not in (hair, hat)]
    assert torch.equal(moved[others], palette[others])
    assert torch.equal(moved_palette(palette, wanted, {}), palette)


def test_a_recipe_says_its_colours() -> None:
    recipe = make_recipe(0, 3)
    said = colours_said(recipe)
    assert said["hair_color"] == recipe.hair_color
    assert said["skin"] == recipe.skin
    assert set(said) == {"skin", "hair_color", "eyes", "glasses_color", "hat_color", "top_color"}
