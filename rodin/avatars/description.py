"""An avatar as a recipe: what its latent says, and what words would change of it.

The reader of phrases says which mean latent avatars have of which a caption is true. Turned round, the caption whose
mean latent is nearest to an avatar's describes that avatar. An edit compares two captions that differ in what the words
name and in nothing else, so that nothing else moves.

Symbols: D = 512 numbers of z.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.models.phrases import PhraseReader
from rodin.prompts.completion import NAMED_TRAIT, wording
from rodin.prompts.understanding import NONE, TRAITS, VALUES, YES, Understanding
from rodin.synth.recipe import AvatarRecipe, make_recipe

ROUNDS = 3  # over the attributes, after which hardly a value changes
#: In this order: the later ones are more easily mistaken where the earlier ones are wrong.
_READ = (
    *("sex", "age", "skin", "hair", "hair_color", "beard", "glasses", "hat", "top_color", "top", "fringe"),
    *("expression", "face_shape"),
)


class Describer:
    """Recipes of latents.

    Args:
        reader: what the prior reads captions by.
        absences: whether these say what is not there, see `rodin.synth.words.caption.make_caption`.
    """

    def __init__(self, reader: PhraseReader, *, absences: bool) -> None:
        self._reader, self._absences = reader, absences

    def caption(self, recipe: AvatarRecipe) -> str:
        """A recipe in the words that the reader reads best."""
        return wording(recipe, absences=self._absences)

    def describe(self, latent: Tensor) -> AvatarRecipe:
        """The recipe whose caption has the mean latent nearest to z [D]: attribute by attribute, a few times over."""
        recipe = _neutral()
        for _ in range(ROUNDS):
            before = recipe
            for name in _READ:
                recipe = self._nearest(latent, [_with(recipe, name, value) for value in VALUES[name]])
            if recipe == before:
                break
        return recipe

    def change(self, latent: Tensor, understanding: Understanding) -> tuple[AvatarRecipe, AvatarRecipe]:
        """The avatar of z [D] without and with what words ask for: two recipes that differ in that alone.

        What the avatar seems to have already is asked for all the same: it stands in the first as the likeliest of what
        is not asked for.
        """
        source = self.describe(latent)
        if "hair_color" in understanding.named and source.hair == "bald" and "beard" not in understanding.named:
            source = replace(source, hair="short")  # there is none that could have a colour
        target = source
        for name in understanding.named:
            allowed = understanding.allowed(name)
            others = [value for value in VALUES[name] if value not in allowed]
            if not others:
                continue
            wanted = [value for value in allowed if value != NONE or len(allowed) == 1]
            if name not in TRAITS:
                source = self._nearest(latent, [_with(source, name, value) for value in others])
            target = _with(target, name, wanted[0] if name == "beard" else self._best(latent, target, name, wanted))
            target = _also(name, understanding, target)
        return source, target

    def effect(self, recipe: AvatarRecipe, name: str) -> Tensor:
        """[D] what a recipe's value of an attribute does to z: from the mean latent of all who have another value, and
        are alike in all else, to its own."""
        own = getattr(recipe, name)
        others = [_with(recipe, name, value) for value in VALUES[name] if value != own]
        here, *there = self._reader.read([self.caption(one) for one in (recipe, *others)]).pooled
        return here - torch.stack(there).mean(dim=0)

    def _best(self, latent: Tensor, recipe: AvatarRecipe, name: str, values: list[str]) -> str:
        """The value that is nearest to what the avatar has."""
        nearest = self._nearest(latent, [_with(recipe, name, value) for value in values])
        return next(value for value in values if _with(recipe, name, value) == nearest)

    def _nearest(self, latent: Tensor, recipes: list[AvatarRecipe]) -> AvatarRecipe:
        means = self._reader.read([self.caption(recipe) for recipe in recipes]).pooled
        return recipes[int(F.cosine_similarity(means, latent.to(means)[None], dim=1).argmax())]


def _also(name: str, understanding: Understanding, target: AvatarRecipe) -> AvatarRecipe:
    """A colour that is named makes its thing: whoever asks for black frames has glasses then."""
    thing = name.removesuffix("_color")
    makes = thing in ("hat", "glasses") and thing != name and thing not in understanding.named
    return _with(target, thing, VALUES[thing][0]) if makes and getattr(target, thing) == NONE else target


def _neutral() -> AvatarRecipe:
    """A recipe to begin with."""
    base = make_recipe(0, 0)
    return replace(
        base,
        sex="man",
        age="young",
        skin="light",
        hair="short",
        hair_color="brown",
        fringe=False,
        beard=NONE,
        glasses=NONE,
        glasses_color="black",
        hat=NONE,
        top="T-shirt",
        top_color="grey",
        expression="neutral",
        freckles=False,
        earrings=False,
        lighting="studio",
        traits=replace(base.traits, **dict.fromkeys(TRAITS, 0.0)),
    )


def _with(recipe: AvatarRecipe, name: str, value: str) -> AvatarRecipe:
    """A recipe with another value of one attribute."""
    if name in TRAITS:
        score = NAMED_TRAIT if value == "+" else -NAMED_TRAIT
        return replace(recipe, traits=replace(recipe.traits, **{name: score}))
    changed: dict[str, Any] = {name: value == YES if name in ("fringe", "freckles", "earrings") else value}
    return replace(recipe, **changed)
