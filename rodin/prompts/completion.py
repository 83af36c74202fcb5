"""A whole avatar from a prompt: what the prompt leaves open is drawn.

The draws are those of the recipe, each attribute from numbers of its own: a word more in the prompt leaves the rest of
the avatar as it was. They differ from the recipe's in two ways, for a person is surprised by what the recipe is not.
Nothing is put on that nobody asked for: no hat, no glasses, no beard. And colours go together as they mostly do: the
old are grey or white, nobody's hair is dyed, red hair comes with light skin. All of that can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rodin.prompts.understanding import NONE, TRAITS, VALUES, YES, Understanding, value_in_words
from rodin.synth.recipe import (
    FRINGE_STYLES,
    GLASSES,
    NATURAL,
    NO_HAT,
    SHOWS_EARS,
    AvatarRecipe,
    Stream,
    Traits,
    generator,
    make_recipe,
)
from rodin.synth.words.caption import make_caption, who

SET = 0x52  # of seeds: that of the draws, no rendered set's
NAMED_TRAIT = 1.5  # standard score of a trait that is asked for
_MARKS = ("fringe", "freckles", "earrings")
_NOT_SAID = (*_MARKS, *TRAITS, "eyes")  # where they are not asked for
_SHORT = ("buzz cut", "short", "quiff", "curly")
_LONG = ("short", "curly", "bob", "long straight", "long wavy", "ponytail", "bun", "braids")


@dataclass(frozen=True, slots=True)
class Completion:
    """What is drawn for a prompt.

    Args:
        understanding: what the prompt says.
        recipe: an avatar of which all of that is true.
    """

    understanding: Understanding
    recipe: AvatarRecipe

    @property
    def drawn(self) -> dict[str, str]:
        """By attribute what the prompt left open and what is there now; of what is not there, nothing."""
        recipe = self.recipe
        found = {name: str(getattr(recipe, name)) for name in VALUES if name not in _NOT_SAID}
        hidden = {f"{name}_color" for name in ("glasses", "hat") if found[name] == NONE}
        hidden |= {"hair_color"} if recipe.hair == "bald" and recipe.beard == NONE else set()
        open_ = {name for name in found if len(self.understanding.allowed(name)) > 1}
        return {name: value for name, value in found.items() if name in open_ - hidden and value != NONE}

    def drawn_line(self) -> str:
        """What was drawn, for reading."""
        return ", ".join(value_in_words(name, value) for name, value in self.drawn.items())

    def line(self) -> str:
        """What was understood, drawn and not read, in one line."""
        understood, *unread = self.understanding.line().split("; not read: ")
        return "; ".join([understood, f"drawn: {self.drawn_line()}", *(f"not read: {words}" for words in unread)])

    def caption(self, *, absences: bool) -> str:
        """The avatar as captions say it.

        A reader of words and pairs of words takes the red of "a red mohawk, wearing a blue hoodie" for the hoodie's
        nearly as soon as for the hair's; so the hair's colour is said once more, and that of the eyes, which hardly
        show, only where it is asked for.

        Args:
            absences: see `make_caption`.
        """
        named = self.understanding.named
        return wording(
            self.recipe, eyes="eyes" in named, absences=absences, hair="hair_color" in self.understanding.asked
        )

    def to_json(self) -> dict[str, object]:
        """It as JSON has it."""
        return {**self.understanding.to_json(), "drawn": self.drawn}


def wording(recipe: AvatarRecipe, *, absences: bool, eyes: bool = False, hair: bool = False) -> str:
    """A recipe as the reader reads it best; see `Completion.caption`.

    Args:
        hair: its colour is asked for: it is said a third time.
    """
    caption = make_caption(recipe, absences=absences, eyes=eyes)
    if recipe.hair != "bald":
        caption += f", {recipe.hair_color} hair"
    if hair:
        caption += f", {recipe.hair_color}-haired {who(recipe)}"
    return caption


def kinds_absent(recipe: AvatarRecipe) -> tuple[str, ...]:
    """What is not there of what nearly half of all avatars have, as all that it might be."""
    return GLASSES if recipe.glasses == NONE else ()


def complete(understanding: Understanding, seed: int) -> Completion:
    """An avatar of which everything that the prompt says is true. The same prompt and seed, the same avatar.

    What the prompt allows is drawn evenly, but for a beard: that is a full one unless something speaks against it.
    """
    base = make_recipe(SET, seed)
    person = _Person(understanding, seed)
    sex = person.choose("sex", base.sex, ("man",) if understanding.asked.get("beard") else None)
    age = person.choose("age", base.age, _plausible_age(understanding))
    skin = person.choose("skin", base.skin, _plausible_skin(understanding))
    hair = person.choose("hair", base.hair, _plausible_hair(understanding, sex, age, skin))
    hair_color = person.choose("hair_color", base.hair_color, _plausible_hair_color(age, skin))
    beard = understanding.allowed("beard")[0] if understanding.asked.get("beard") else NONE
    coloured = {"glasses": "glasses_color", "hat": "hat_color"}
    worn = {
        # Whoever names the colour of a hat asks for a hat.
        name: person.choose(name, getattr(base, name), None if {name, colour} & set(understanding.asked) else (NONE,))
        for name, colour in coloured.items()
    }
    marks = {name: understanding.asked.get(name) == (YES,) for name in _MARKS}
    scores = {
        name: NAMED_TRAIT * (1 if understanding.allowed(name) == ("+",) else -1) if name in understanding.named else 0.0
        for name in TRAITS
    }
    recipe = replace(
        base,
        sex=sex,
        age=age,
        skin=skin,
        hair=hair,
        hair_color=hair_color,
        eyes=person.choose("eyes", base.eyes),
        beard=beard,
        glasses=worn["glasses"],
        glasses_color=person.choose("glasses_color", base.glasses_color),
        hat=worn["hat"],
        hat_color=person.choose("hat_color", base.hat_color),
        top=person.choose("top", base.top),
        top_color=person.choose("top_color", base.top_color),
        expression=person.choose("expression", base.expression, ("neutral", "smiling")),
        face_shape=person.choose("face_shape", base.face_shape),
        lighting=person.choose("lighting", base.lighting, ("studio",)),
        traits=Traits(**scores),
        fringe=marks["fringe"],
        freckles=marks["freckles"],
        earrings=marks["earrings"],
    )
    return Completion(understanding, recipe)


class _Person:
    """The choices of one avatar."""

    def __init__(self, understanding: Understanding, seed: int) -> None:
        self.understanding, self.seed = understanding, seed

    def choose(self, name: str, drawn: str, plausible: tuple[str, ...] | None = None) -> str:
        """The value of an attribute.

        Args:
            drawn: the recipe's, which stands if it may.
            plausible: what goes with the rest, of the values that the prompt leaves; None = all.
        """
        allowed = self.understanding.allowed(name)
        if plausible is None and NONE in allowed and len(allowed) > 1:  # it is there, of whatever kind
            allowed = tuple(value for value in allowed if value != NONE)
        allowed = tuple(value for value in allowed if plausible is None or value in plausible) or allowed
        if drawn in allowed:
            return drawn
        rng: np.random.Generator = generator(SET + 1, self.seed, Stream[name.upper()])
        return allowed[int(rng.integers(len(allowed)))]


def _plausible_age(understanding: Understanding) -> tuple[str, ...] | None:
    """By the hair, where its colour is asked for: white and grey are the old's; dyes and reds the young's."""
    asked = understanding.asked.get("hair_color")
    if asked is None:
        return ("young", "elderly") if understanding.asked.get("beard") else None
    return ("elderly",) if set(asked) <= {"grey", "white"} else ("young", "child")


def _plausible_skin(understanding: Understanding) -> tuple[str, ...] | None:
    asked = set(understanding.asked.get("hair_color", ()))
    if asked and asked <= {"red", "blond"}:
        return ("pale", "light")
    return None


def _plausible_hair(understanding: Understanding, sex: str, age: str, skin: str) -> tuple[str, ...]:
    """Common styles, that leave room for what is asked for."""
    styles = _SHORT if sex == "man" else _LONG
    if sex == "man" and age == "elderly" and "hair_color" not in understanding.asked:
        styles = (*styles, "bald")
    if skin in ("brown", "dark"):
        styles = (*styles, "afro")
    wanted: list[Callable[[str], bool]] = []
    if understanding.asked.get("hat") or understanding.asked.get("hat_color"):
        wanted.append(lambda style: style not in NO_HAT)
    if understanding.asked.get("earrings"):
        wanted.append(lambda style: style in SHOWS_EARS)
    if understanding.asked.get("fringe"):
        styles = FRINGE_STYLES
    return tuple(style for style in styles if all(test(style) for test in wanted)) or styles


def _plausible_hair_color(age: str, skin: str) -> tuple[str, ...]:
    if age == "elderly":
        return ("grey", "white")
    if skin in ("brown", "dark"):
        return ("black",)
    if skin == "tan":
        return ("black", "brown")
    return tuple(colour for colour in NATURAL if colour not in ("grey", "white"))
