"""What a prompt asks for, what it denies and what of it was not read, in the recipe's attributes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rodin.synth import recipe
from rodin.synth.words.caption import trait_words

YES, NONE = "yes", "none"
TRAITS = tuple(recipe.Traits.__dataclass_fields__)
#: All values of each attribute that can be asked for; marks are there or not.
VALUES: dict[str, tuple[str, ...]] = {
    "sex": recipe.SEXES,
    "age": recipe.AGES,
    "skin": tuple(recipe.SKIN_TONES),
    "hair": recipe.HAIR,
    "hair_color": tuple(recipe.HAIR_COLOURS),
    "beard": (*recipe.BEARDS, NONE),
    "eyes": tuple(recipe.EYE_COLOURS),
    "glasses": (*recipe.GLASSES, NONE),
    "glasses_color": tuple(recipe.FRAME_COLOURS),
    "hat": (*recipe.HATS, NONE),
    "hat_color": tuple(recipe.CLOTH_COLOURS),
    "top": recipe.TOPS,
    "top_color": tuple(recipe.CLOTH_COLOURS),
    "fringe": (YES, NONE),
    "freckles": (YES, NONE),
    "earrings": (YES, NONE),
    "expression": recipe.EXPRESSIONS,
    "face_shape": recipe.FACE_SHAPES,
    "lighting": recipe.LIGHTINGS,
    **dict.fromkeys(TRAITS, ("+", "-")),
}
#: How values of an attribute are said that are no nouns by themselves.
_NAMES = {"hair_color": "{} hair", "skin": "{} skin", "eyes": "{} eyes", "glasses_color": "{} glasses",
          "hat_color": "{} hat", "top_color": "{} top", "face_shape": "{} face", "lighting": "{} light"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Understanding:
    """What was understood of a prompt.

    Args:
        prompt: the words.
        asked: by attribute the values that it allows, the likeliest first.
        denied: by attribute the values that it rules out.
        words: by attribute the words that said so.
        unread: words that say nothing of the recipe's attributes, in their order.
    """

    prompt: str
    asked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    denied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The attributes of which it says anything, in the order of `VALUES`."""
        return tuple(name for name in VALUES if name in self.asked or name in self.denied)

    def allowed(self, name: str) -> tuple[str, ...]:
        """The values of an attribute that the prompt leaves. What is denied, and nothing asked in its place, is not
        there at all: nobody who says "no round glasses" waits for square ones."""
        if name in self.asked:
            return self.asked[name]
        denied = self.denied.get(name, ())
        if denied and NONE in VALUES[name] and NONE not in denied:
            return (NONE,)
        return tuple(value for value in VALUES[name] if value not in denied)

    def beside(self, before: Understanding) -> Understanding:
        """It as a change of what another prompt says: what is there before and is not spoken of any more goes."""
        gone = {
            name: tuple(value for value in VALUES[name] if value != NONE)
            for name in before.asked
            if name not in self.named and NONE in VALUES[name] and before.asked[name] != (NONE,)
        }
        return replace(self, denied={**self.denied, **gone})

    def line(self) -> str:
        """What was understood and what was not read, in one line."""
        said = [text for name in self.named if (text := self._said(name))]
        unread = f"not read: {', '.join(self.unread)}" if self.unread else ""
        if not said:
            return "; ".join(filter(None, ("nothing understood (prompts are English)", unread)))
        return "; ".join(filter(None, (f"understood: {', '.join(said)}", unread)))

    def _said(self, name: str) -> str:
        """What is said of one attribute, and in brackets the words that say it if they are others."""
        values = self.allowed(name)
        if name == "age" and name in self.asked and name not in self.words:
            return ""  # grown up, which man and woman say
        if name in ("hat", "glasses") and f"{name}_color" in self.asked and len(values) > 1:
            return ""  # said with its colour
        if values == (NONE,) or name in self.asked:
            text = values_in_words(name, values)
        else:
            text = f"not {values_in_words(name, self.denied[name])}"
        words = self.words.get(name, "")
        return text if not words or set(words.split()) & set(text.split()) else f"{text} ({words})"

    def to_json(self) -> dict[str, object]:
        """It as JSON has it."""
        return {
            "asked": {name: list(values) for name, values in self.asked.items()},
            "denied": {name: list(values) for name, values in self.denied.items()},
            "words": dict(self.words),
            "not_read": list(self.unread),
        }


def _thing(name: str) -> str:
    """An attribute that is there or not, in words."""
    return "a fringe" if name == "fringe" else name


def value_in_words(name: str, value: str) -> str:
    """A value of an attribute for reading."""
    return _NAMES.get(name, "{}").format(value)


def values_in_words(name: str, values: tuple[str, ...]) -> str:
    """Values of an attribute for reading, any of which may be."""
    if values == (NONE,):
        return f"no {_thing(name)}"
    if name in TRAITS:
        return trait_words(name, 1 if values == ("+",) else -1) or name.replace("_", " ")
    if set(values) == set(VALUES[name]) - {NONE}:
        return _thing(name)
    if name == "beard":  # a beard may be either of two, and is a full one unless something speaks against it
        return values[0]
    return value_in_words(name, " or ".join(values))
