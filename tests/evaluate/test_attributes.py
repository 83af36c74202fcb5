"""Contract: classifiers learn what pictures show and nothing where they show nothing, and only what a caption says
counts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rodin.camera import orbit
from rodin.evaluate.attributes import Reading, judge, learn_classifiers, mentioned, total, usable_attributes
from rodin.evaluate.real import RealSet

COLOURS = {"red": (0.9, 0.1, 0.1), "green": (0.1, 0.8, 0.1), "blue": (0.1, 0.1, 0.9)}


def toys(count: int, seed: int) -> RealSet:
    """Squares of three colours on a transparent ground, two views each; `luck` is drawn apart from the picture."""
    generator = torch.Generator().manual_seed(seed)
    images, attributes = [], []
    for _ in range(count):
        colour = list(COLOURS)[int(torch.randint(3, (), generator=generator))]
        image = torch.zeros(2, 24, 24, 4)
        for view in image:
            left, top = torch.randint(2, 6, (2,), generator=generator).tolist()
            view[top : top + 16, left : left + 16, :3] = torch.tensor(COLOURS[colour])
            view[top : top + 16, left : left + 16, 3] = 1.0
        image += 0.05 * torch.randn(image.shape, generator=generator)
        images.append(image.clamp(0, 1))
        luck = bool(torch.rand((), generator=generator) < 0.5)
        attributes.append({"colour": colour, "luck": luck, "size": 16.0, "kind": "square"})
    cameras = [orbit([0.0, 10.0], [0.0, 0.0], size=24)] * count
    captions = [f"a {one['colour']} square" + (" of luck" if one["luck"] else "") for one in attributes]
    return RealSet([Path(f"toy{k}") for k in range(count)], torch.stack(images), cameras, captions, attributes)


def test_what_can_be_learned_is_told_from_what_cannot() -> None:
    usable, skipped = usable_attributes(toys(20, 0).attributes)
    assert usable == ["colour", "luck"]
    assert set(skipped) == {"size", "kind"}
    assert usable_attributes([{"name": f"n{k}"} for k in range(4)])[1] == {"name": "4 values among 4 subjects"}
    assert usable_attributes([{"a": "x"}, {"a": "y"}, {}])[0] == []
    assert usable_attributes([]) == ([], {})


def test_a_separable_attribute_is_learned_and_noise_is_not() -> None:
    training, held_out = toys(40, 0), toys(60, 1)
    colour, luck = learn_classifiers(training, ["colour", "luck"])
    seen = judge(colour, held_out.images, held_out.attributes, None)
    assert seen.accuracy == 1.0
    assert seen.chance < 0.5
    guessed = judge(luck, held_out.images, held_out.attributes, None)
    assert abs(guessed.accuracy - 0.5) < 0.2  # 3 standard deviations of 60 coins
    assert colour.commonest in COLOURS


def test_pictures_of_another_size_and_number_of_views_are_read() -> None:
    colour = learn_classifiers(toys(40, 0), ["colour"])[0]
    held_out = toys(10, 1)
    larger = held_out.images[:, :1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert judge(colour, larger, held_out.attributes, None).accuracy == 1.0


def test_only_what_the_caption_says_counts() -> None:
    held_out = toys(30, 1)
    colour, luck = learn_classifiers(toys(40, 0), ["colour", "luck"])
    reading = judge(luck, held_out.images, held_out.attributes, held_out.captions)
    assert reading.count == sum(one["luck"] for one in held_out.attributes)
    silent = [caption.replace("blue ", "") for caption in held_out.captions]
    reading = judge(colour, held_out.images, held_out.attributes, silent)
    assert reading.count == sum(one["colour"] != "blue" for one in held_out.attributes)
    assert reading.right == reading.count


@pytest.mark.parametrize(
    ("caption", "name", "value", "expected"),
    [
        ("an old man with a full beard", "beard", "full beard", True),
        ("an old man with a full beard", "beard", "beard", True),
        ("a woman", "sex", "man", False),  # words, not letters
        ("a woman with freckles", "freckles", True, True),
        ("a woman with freckles", "freckles", False, False),
        ("a woman wearing a T-shirt", "top", "t-shirt", True),
        ("a woman with long hair", "long_hair", True, True),
        ("a woman", "glasses", "none", False),
    ],
)
def test_mentioned(caption: str, name: str, value: object, expected: bool) -> None:
    assert mentioned(caption, name, value) is expected


def test_totals_are_over_readings() -> None:
    both = total([Reading(4, 3, 1), Reading(6, 2, 2)])
    assert (both.accuracy, both.chance) == (0.5, 0.3)
    assert total([]).accuracy != total([]).accuracy  # NaN: nothing was counted


def test_the_fit_is_deterministic() -> None:
    one, other = (learn_classifiers(toys(12, 0), ["colour"])[0].weight for _ in range(2))
    assert isinstance(one, Tensor)
    assert torch.equal(one, other)
