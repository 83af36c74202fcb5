"""Contract of rodin.avatars.description: a latent is read as a recipe; what words name changes in it and nothing else,
whether the latent seems to have it already or not.

The latents are made here: each value of an attribute adds a random vector of its own.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.avatars.description import Describer
from rodin.avatars.vocabulary import says_absences, speaks_of_recipes
from rodin.models.phrases import PhraseConfig, PhraseReader
from rodin.prompts.grammar import understand
from rodin.prompts.understanding import VALUES
from rodin.synth.recipe import AvatarRecipe, make_recipe
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import paraphrases
from rodin.train.phrases import learn_reader

SEEN = ("sex", "age", "skin", "hair", "hair_color", "beard", "glasses", "hat", "top_color")
COUNT = 300


def vector_of(name: str, value: str) -> Tensor:
    seed = sum(ord(letter) * 31**place for place, letter in enumerate(f"{name} {value}")) % 2**31
    return torch.randn(512, generator=torch.Generator().manual_seed(seed))


def latent_of(recipe: AvatarRecipe) -> Tensor:
    return F.normalize(torch.stack([vector_of(name, getattr(recipe, name)) for name in SEEN]).sum(dim=0), dim=0)


@pytest.fixture(scope="module")
def reader() -> PhraseReader:
    people = [make_recipe(21, index) for index in range(COUNT)]
    captions = [[make_caption(one), *paraphrases(one, 6)] for one in people]
    return learn_reader(captions, torch.stack([latent_of(one) for one in people]))


@pytest.fixture(scope="module")
def describer(reader: PhraseReader) -> Describer:
    return Describer(reader, absences=True)


def test_a_reader_knows_what_it_learned_from(reader: PhraseReader) -> None:
    assert speaks_of_recipes(reader)
    assert says_absences(reader)
    balls = PhraseReader(PhraseConfig(phrases=("ball", "red", "a red")))
    assert not speaks_of_recipes(balls)
    assert not says_absences(balls)


def test_latents_are_described(describer: Describer) -> None:
    """Of people that the reader never met, nearly all."""
    people = [make_recipe(22, index) for index in range(12)]
    found = [describer.describe(latent_of(one)) for one in people]
    right = [getattr(a, name) == getattr(b, name) for a, b in zip(people, found, strict=True) for name in SEEN]
    assert sum(right) > 0.8 * len(right)


@pytest.mark.parametrize("name", ["sex", "age", "beard"])
def test_the_effect_of_a_value_is_what_it_adds_to_latents(describer: Describer, name: str) -> None:
    recipe = make_recipe(22, 3)
    own = getattr(recipe, name)
    others = torch.stack([vector_of(name, value) for value in VALUES[name] if value != own])
    true = vector_of(name, own) - others.mean(dim=0)
    found = describer.effect(recipe, name)
    assert float(F.cosine_similarity(found, true, dim=0)) > 0.6
    assert abs(float(F.cosine_similarity(found, vector_of("hat", recipe.hat), dim=0))) < 0.2


@pytest.mark.parametrize(
    ("words", "name", "values"),
    [
        ("red hair", "hair_color", {"red"}),
        ("no glasses", "glasses", {"none"}),
        ("remove the beard", "beard", {"none"}),
        ("a full beard", "beard", {"full beard"}),
        ("glasses", "glasses", {"round glasses", "square glasses"}),
        ("make her older", "age", {"elderly"}),
        ("a hat", "hat", {"beanie", "baseball cap", "fedora"}),
    ],
)
def test_what_words_name_changes_and_nothing_else(
    describer: Describer, words: str, name: str, values: set[str]
) -> None:
    for index in range(4):
        recipe = make_recipe(23, index)
        source, target = describer.change(latent_of(recipe), understand(words))
        assert getattr(target, name) in values
        assert getattr(source, name) not in values, "else nothing would be asked for"
        fields = AvatarRecipe.__dataclass_fields__
        assert {field for field in fields if getattr(source, field) != getattr(target, field)} == {name}


def test_hair_that_is_coloured_grows(describer: Describer) -> None:
    bald = next(one for one in (make_recipe(24, index) for index in range(99)) if one.hair == "bald")
    source, target = describer.change(latent_of(bald), understand("red hair"))
    assert (target.hair_color, target.hair == "bald", source.hair == target.hair) == ("red", False, True)


def test_what_is_not_spoken_of_any_more_goes() -> None:
    change = understand("a man").beside(understand("a man with glasses and a hat"))
    assert (change.allowed("glasses"), change.allowed("hat")) == (("none",), ("none",))
    assert "beard" not in change.named
