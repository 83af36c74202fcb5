"""Contract: a recipe depends on (seed, index) alone, and its caption names every attribute that a picture shows."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.synth import recipe as recipes
from rodin.synth.caption import NAMED, make_caption
from rodin.synth.recipe import AvatarRecipe, make_recipe

SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 5000)


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


def _has(caption: str, words: str) -> bool:
    return re.search(rf"\b{re.escape(words)}\b", caption) is not None


@given(SEEDS, INDICES)
@settings(max_examples=300, deadline=None)
def test_caption_names_what_is_visible(seed: int, index: int) -> None:
    recipe = make_recipe(seed, index)
    caption = make_caption(recipe)
    for words in (
        recipe.sex,
        recipe.age,
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
        assert _has(caption, recipe.hair.split()[-1]) or recipe.hair in ("side-parted", "short"), caption
    assert recipe.fringe == ("fringe" in caption)
    assert (recipe.glasses == "none") or f"{recipe.glasses_color} {recipe.glasses}" in caption
    assert (recipe.glasses == "sunglasses") or f"{recipe.eyes} eyes" in caption
    assert (recipe.hat == "none") or f"{recipe.hat_color} {recipe.hat}" in caption
    assert (recipe.beard == "none") or recipe.beard in caption
    assert recipe.freckles == ("freckles" in caption)
    assert recipe.earrings == ("earrings" in caption)
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
    assert recipe.beard == "none" or recipe.sex == "man"
    assert not recipe.fringe or recipe.hair in recipes.FRINGE_STYLES
    assert not recipe.earrings or recipe.hair in recipes.SHOWS_EARS
    assert all(abs(score) <= 2.0 for score in dataclasses.astuple(recipe.traits))


def test_a_set_is_diverse() -> None:
    people = [make_recipe(0, index) for index in range(400)]

    def seen(name: str) -> set[object]:
        return {getattr(person, name) for person in people}

    assert seen("face_shape") == set(recipes.FACE_SHAPES)
    assert seen("skin") == set(recipes.SKIN_TONES)
    assert seen("hair") == set(recipes.MALE_HAIR) | set(recipes.FEMALE_HAIR)
    assert seen("expression") == set(recipes.EXPRESSIONS)
    assert seen("top") == set(recipes.TOPS)
    assert seen("hat") == {"none", *recipes.HATS}
    assert seen("glasses") == {"none", *recipes.GLASSES}
    assert len({make_caption(person) for person in people}) == len(people)


def test_attributes_are_plain_words_and_numbers() -> None:
    attributes = make_recipe(0, 0).attributes()
    assert all(isinstance(value, (str, float, bool)) for value in attributes.values())
    fields = set(AvatarRecipe.__dataclass_fields__) - {"seed", "index", "traits"}
    assert fields < set(attributes)
