"""Contract: a recipe depends on (seed, index) alone; its attributes are balanced, and independent but for what cannot
be; and its caption names every attribute that a picture shows."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.contingency import association, crosstab

from rodin.synth import recipe as recipes
from rodin.synth.body.build import build_avatar, detail_for
from rodin.synth.cameras import camera_poses
from rodin.synth.recipe import AvatarRecipe, make_recipe
from rodin.synth.words.caption import NAMED, make_caption
from rodin.synth.words.paraphrase import paraphrases

SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 5000)
COUNT = 4000

#: What the caption names, traits aside.
CAPTIONED = ("sex", "age", "face_shape", "skin", "eyes", "hair", "hair_color", "fringe", "beard", "glasses",
             "glasses_color", "hat", "hat_color", "top", "top_color", "expression", "freckles", "earrings",
             "lighting")  # fmt: skip

#: The pairs that cannot be independent, and why.
STRUCTURAL = {
    ("sex", "beard"): "only men have beards",
    ("age", "beard"): "no child has a beard",
    ("hair", "fringe"): "a fringe belongs to some hair styles",
    ("hair", "hat"): "no hat fits on the highest hair",
    ("hair", "earrings"): "some hair hides them",
    ("fringe", "hat"): "a hat covers the fringe",
}
HAT, FRINGE, EARRINGS = Fraction(3, 10), Fraction(4, 10), Fraction(35, 100)
NO_HAT, FRINGED, EARS = 5, 4, 8  # of 13 hair styles: no hat fits; may have a fringe; show the ears
WITH_HAT = HAT * Fraction(13 - NO_HAT, 13)
#: Under a hat no fringe: 3 of the 4 styles with a fringe can wear one.
WITH_FRINGE = FRINGE * (Fraction(FRINGED, 13) - HAT * Fraction(3, 13))
BEARDED = Fraction(7, 10) * Fraction(1, 2) * Fraction(2, 3)
GLASSES = Fraction(45, 100)


def shared(words: tuple[str, ...], share: Fraction = Fraction(1)) -> dict[object, Fraction]:
    """Each word as likely as the others, together `share`; the rest is "none"."""
    return dict.fromkeys(words, share / len(words)) | ({} if share == 1 else {"none": 1 - share})


SHARES: dict[str, dict[object, Fraction]] = {
    "sex": shared(("man", "woman")),
    "age": shared(("child", "young", "elderly")),
    "face_shape": shared(("oval", "round", "square", "heart-shaped", "long", "diamond-shaped")),
    "skin": shared(("pale", "light", "tan", "brown", "dark")),
    "eyes": shared(("brown", "hazel", "green", "blue", "grey")),
    "hair": shared(("bald", "buzz cut", "short", "quiff", "mohawk", "curly", "afro", "bob", "long straight",
                    "long wavy", "ponytail", "bun", "braids")),
    "hair_color": {
        **dict.fromkeys(("black", "brown", "red", "blond", "grey", "white"), Fraction(7, 60)),
        **dict.fromkeys(("pink", "blue", "green", "purple"), Fraction(3, 40)),
    },
    "fringe": {True: WITH_FRINGE, False: 1 - WITH_FRINGE},
    "beard": shared(("full beard", "moustache", "chin beard"), BEARDED),
    "glasses": shared(("round glasses", "square glasses", "sunglasses"), GLASSES),
    "glasses_color": shared(("black", "brown", "gold", "silver", "red")),
    "hat": shared(("beanie", "baseball cap", "fedora"), WITH_HAT),
    "hat_color": shared(("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "grey", "black",
                         "brown")),
    "top": shared(("crew-neck sweater", "T-shirt", "V-neck sweater", "turtleneck", "hoodie", "collared shirt")),
    "top_color": shared(("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "grey", "black",
                         "brown")),
    "expression": shared(("neutral", "smiling", "grinning", "frowning", "sad", "surprised")),
    "freckles": {True: Fraction(15, 100), False: Fraction(85, 100)},
    "earrings": {True: EARRINGS * Fraction(EARS, 13), False: 1 - EARRINGS * Fraction(EARS, 13)},
    "lighting": shared(("studio", "soft", "warm", "cool", "side")),
}  # fmt: skip


@given(SEEDS, INDICES)
@settings(max_examples=60, deadline=None)
def test_same_seed_same_recipe(seed: int, index: int) -> None:
    first = make_recipe(seed, index)
    make_recipe(seed, index + 1)
    assert make_recipe(seed, index) == first
    assert make_recipe(seed, index + 1) != first


def test_recipe_is_the_same_in_another_process() -> None:
    code = "from rodin.synth.recipe import make_recipe; print(make_recipe(7, 3))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(make_recipe(7, 3))


def test_importing_the_package_loads_neither_blender_nor_torch() -> None:
    code = "import rodin.synth, sys; print(sorted({'bpy', 'torch', 'skimage'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.fixture(scope="module")
def people() -> list[AvatarRecipe]:
    return [make_recipe(0, index) for index in range(COUNT)]


def column(people: list[AvatarRecipe], name: str) -> list[object]:
    return [getattr(person, name) for person in people]


@pytest.mark.parametrize("name", CAPTIONED)
def test_every_value_has_its_share(people: list[AvatarRecipe], name: str) -> None:
    """Within four standard deviations of what chance leaves: about one false alarm in a hundred sets."""
    counts, shares = Counter(column(people, name)), SHARES[name]
    assert sum(shares.values()) == 1
    assert set(counts) == set(shares)
    for value, share in shares.items():
        spread = float(COUNT * share * (1 - share)) ** 0.5
        assert abs(counts[value] - float(COUNT * share)) < 4 * spread, (value, counts[value], float(COUNT * share))


def test_no_attribute_stands_for_another(people: list[AvatarRecipe]) -> None:
    """Plain Cramer's V, which chance lifts above 0: to 0.055 for the two largest attributes, 13 and 11 values."""
    for a, b in combinations(CAPTIONED, 2):
        strength = association(crosstab(column(people, a), column(people, b)).count, method="cramer")
        assert (strength >= 0.1) == ((a, b) in STRUCTURAL), (a, b, strength)


def test_traits_are_independent_of_everything(people: list[AvatarRecipe]) -> None:
    traits = np.array([dataclasses.astuple(person.traits) for person in people])  # [people, traits]
    assert np.abs(traits.mean(axis=0)).max() < 4 / COUNT**0.5
    assert np.abs(traits.std(axis=0) - 0.94).max() < 0.05  # of a normal variable clipped at 2
    assert np.abs(np.corrcoef(traits.T) - np.eye(traits.shape[1])).max() < 0.07
    for name in CAPTIONED:
        for value, share in SHARES[name].items():
            chosen = np.array([found == value for found in column(people, name)])
            off = np.abs(traits[chosen].mean(axis=0)).max()
            assert off < 4.5 / float(COUNT * share) ** 0.5, (name, value, off)


def test_the_caption_has_many_attributes(people: list[AvatarRecipe]) -> None:
    """Of each attribute there is somebody whose caption changes with it alone."""
    assert len(CAPTIONED) >= 14
    for name in CAPTIONED:
        changed = False
        for person in people[:200]:
            other = next(value for value in SHARES[name] if value != getattr(person, name))
            altered = dataclasses.replace(person, **{name: other})  # type: ignore[arg-type]
            changed = changed or make_caption(altered) != make_caption(person)
        assert changed, name


def test_captions_keep_the_words_for_judging_models(people: list[AvatarRecipe]) -> None:
    for words in ("ginger", "goatee", "spectacles", "elderly gentleman"):
        assert not any(words in make_caption(person) for person in people), words


def _has(caption: str, words: str) -> bool:
    return re.search(rf"\b{re.escape(words)}\b", caption) is not None


@given(SEEDS, INDICES)
@settings(max_examples=300, deadline=None)
def test_caption_names_what_is_visible(seed: int, index: int) -> None:
    recipe = make_recipe(seed, index)
    caption = make_caption(recipe)
    child = {"man": "boy", "woman": "girl"}[recipe.sex]
    grown = recipe.age != "child"
    assert _has(caption, f"{recipe.age} {recipe.sex}" if grown else child), caption
    assert not _has(caption, child if grown else recipe.sex), caption
    assert not grown or not re.search(r"\b(boy|girl|child)\b", caption), caption
    for words in (
        f"{recipe.face_shape} face",
        f"{recipe.skin} skin",
        recipe.top_color,
        recipe.top,
    ):
        assert _has(caption, words), (words, caption)
    if recipe.hair == "bald":
        assert "bald" in caption
    else:
        assert recipe.hair_color in caption, caption
        assert _has(caption, recipe.hair.split()[-1]), caption
    assert recipe.fringe == ("fringe" in caption)
    assert (recipe.glasses == "none") or f"{recipe.glasses_color} {recipe.glasses}" in caption
    assert (recipe.glasses == "sunglasses") or f"{recipe.eyes} eyes" in caption
    assert (recipe.hat == "none") or f"{recipe.hat_color} {recipe.hat}" in caption
    assert (recipe.beard == "none") or recipe.beard in caption
    assert recipe.freckles == ("freckles" in caption)
    assert recipe.earrings == ("earrings" in caption)
    light = "lit from the side" if recipe.lighting == "side" else f"in {recipe.lighting} light"
    assert caption.endswith(light)
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  |none|_", caption), caption


@given(SEEDS, INDICES)
@settings(max_examples=200, deadline=None)
def test_visible_extremes_are_named(seed: int, index: int) -> None:
    recipe = make_recipe(seed, index)
    caption = make_caption(recipe)
    traits = recipe.traits
    assert bool(re.search(r"\b(big|long)( \w+)? nose", caption)) == (traits.nose_length >= NAMED)
    assert bool(re.search(r"\b(small|short)( \w+)? nose", caption)) == (traits.nose_length <= -NAMED)
    assert ("wide nose" in caption) == (traits.nose_width >= NAMED)
    assert caption.count(" nose") <= 1
    assert ("full lips" in caption) == (traits.lip_fullness >= NAMED)
    assert ("thin lips" in caption) == (traits.lip_fullness <= -NAMED)
    if not recipe.fringe:
        assert ("thick eyebrows" in caption) == (traits.brow_thickness >= NAMED)


@given(SEEDS, INDICES)
@settings(max_examples=200, deadline=None)
def test_recipes_contradict_nothing(seed: int, index: int) -> None:
    recipe = make_recipe(seed, index)
    assert recipe.hat == "none" or recipe.hair not in recipes.NO_HAT
    assert recipe.beard == "none" or (recipe.sex == "man" and recipe.age != "child")
    assert not (recipe.fringe and recipe.hat != "none")
    assert not recipe.fringe or recipe.hair in recipes.FRINGE_STYLES
    assert not recipe.earrings or recipe.hair in recipes.SHOWS_EARS
    assert all(abs(score) <= 2.0 for score in dataclasses.astuple(recipe.traits))


def test_nobody_shares_a_caption(people: list[AvatarRecipe]) -> None:
    assert len({make_caption(person) for person in people}) == len(people)


def test_attributes_are_plain_words_and_numbers() -> None:
    attributes = make_recipe(0, 0).attributes()
    assert all(isinstance(value, (str, float, bool)) for value in attributes.values())
    fields = set(AvatarRecipe.__dataclass_fields__) - {"seed", "index", "traits"}
    assert fields < set(attributes)


def test_no_two_streams_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever draws for a subject, in a whole build with freckles and words, asks for numbers that nobody else has."""
    asked: list[tuple[int, ...]] = []
    make = np.random.default_rng

    def noted(seed: list[int]) -> np.random.Generator:
        asked.append(tuple(seed))
        return make(seed)

    recipe = dataclasses.replace(make_recipe(5, 3), freckles=True)
    monkeypatch.setattr(np.random, "default_rng", noted)
    make_recipe(5, 3)
    build_avatar(recipe, detail=detail_for(64))
    paraphrases(recipe, 2)
    camera_poses(5, 3, 4, 64)
    assert len(asked) == len(set(asked)) >= 5, asked
