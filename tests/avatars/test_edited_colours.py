"""An edit by words moves the colours that it names and those of what it puts on; all others stay to the bit."""

import pytest
import torch

from rodin.avatars.edited_colours import may_move, moved_palette
from rodin.materials import MATERIALS
from rodin.prompts.grammar import understand

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
    may = may_move(understand(words), SHOWN)
    assert moved <= may
    assert not stays & may


def test_all_colours_stand_in_the_light() -> None:
    assert may_move(understand("in warm light"), SHOWN) == set(MATERIALS)


def test_other_rows_stay_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    palette, before, after = torch.rand(3, len(MATERIALS), 3, generator=generator)
    moved = moved_palette(palette, before, after, {"hair", "hat"})
    changed = [MATERIALS.index(name) for name in ("hair", "hat")]
    torch.testing.assert_close(moved[changed], (palette + after - before).clamp(0, 1)[changed])
    others = [row for row in range(len(MATERIALS)) if row not in changed]
    assert torch.equal(moved[others], palette[others])
    assert torch.equal(moved_palette(palette, before, after, set()), palette)
