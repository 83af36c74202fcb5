"""Attributes as pickers have them, a value each or open: written as a prompt, and read back from one.

What is written is read back as it was, whatever is chosen; see `prompt_of`. What words say and pickers cannot, such as
"not red hair", stays where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rodin.prompts.grammar import understand
from rodin.prompts.understanding import (
    NONE,
    TRAITS,
    VALUES,
    YES,
    Understanding,
    value_in_words,
    values_in_words,
)
from rodin.synth.recipe import CLOTH_COLOURS, DYES, EYE_COLOURS, FRAME_COLOURS, HAIR_COLOURS, SKIN_TONES
from rodin.synth.words.caption import (
    EXPRESSION_PHRASES,
    HAIR_PHRASES,
    LIGHTING_PHRASES,
    mend_articles,
    trait_words,
)

ANY = "any"  # it is there, of whatever kind
_THINGS = ("glasses", "hat", "beard")
_KINDS = ("glasses", "hat")  # of which any may be asked for
_LABELS = {
    "sex": "Sex",
    "age": "Age",
    "skin": "Skin",
    "hair": "Hair",
    "hair_color": "Hair colour",
    "beard": "Beard",
    "eyes": "Eye colour",
    "glasses": "Glasses",
    "glasses_color": "Frame colour",
    "hat": "Hat",
    "hat_color": "Hat colour",
    "top": "Clothes",
    "top_color": "Clothes colour",
    "fringe": "Fringe",
    "freckles": "Freckles",
    "earrings": "Earrings",
    "expression": "Expression",
    "face_shape": "Face shape",
    "lighting": "Light",
}


#: Attributes whose values are colours.
_COLOURS = {
    "skin": SKIN_TONES,
    "hair_color": HAIR_COLOURS,
    "eyes": EYE_COLOURS,
    "glasses_color": FRAME_COLOURS,
    "hat_color": CLOTH_COLOURS,
    "top_color": CLOTH_COLOURS,
}


@dataclass(frozen=True, slots=True)
class Value:
    """What an attribute may be, what people call it, and its #rrggbb where it is a colour."""

    value: str
    label: str
    colour: str | None


@dataclass(frozen=True, slots=True)
class Attribute:
    """What pickers offer.

    Args:
        optional: it may be absent: its last value is NONE.
    """

    name: str
    label: str
    values: tuple[Value, ...]
    optional: bool


def attributes() -> tuple[Attribute, ...]:
    """All attributes that words can ask for, with all their values."""
    found = []
    for name, values in VALUES.items():
        if name in TRAITS and not all(trait_words(name, sign) for sign in (1, -1)):
            continue  # no word says it
        offered = (*((ANY,) if name in _KINDS else ()), *values)
        found.append(
            Attribute(
                name,
                _LABELS.get(name, name.replace("_", " ").capitalize()),
                tuple(Value(value, label_of(name, value), _COLOURS.get(name, {}).get(value)) for value in offered),
                optional=NONE in values,
            )
        )
    return tuple(found)


def label_of(name: str, value: str) -> str:
    """What people call a value of an attribute."""
    if name in TRAITS:
        return trait_words(name, 1 if value == "+" else -1) or value
    if value == NONE:
        return "no" if name in ("fringe", "freckles", "earrings") else "none"
    return value


def values_of(understanding: Understanding) -> dict[str, str | None]:
    """What a prompt settles, by attribute; None of what it leaves open."""
    return {one.name: _settled(one.name, understanding) for one in attributes()}


def _settled(name: str, understanding: Understanding) -> str | None:
    if name not in understanding.named:
        return None
    allowed = understanding.allowed(name)
    if len(allowed) == 1 or name == "beard":  # which is a full one unless something speaks against it
        return allowed[0] if len(allowed) == 1 or name in understanding.asked else None
    return ANY if name in _KINDS and NONE not in allowed else None


def prompt_of(chosen: Mapping[str, str | None], before: Understanding | None = None) -> str:
    """The prompt that asks for the chosen values and leaves the rest open; "" where nothing is chosen.

    `values_of` what is understood of it are these values again. The colour of what is absent is no colour: it is left
    out. That of a hat or of glasses which are open asks for any.

    Args:
        before: what was asked for so far. Where it says something of an attribute and leaves more than one value, which
            is open to pickers, it says so still.
    """
    prompt = _said(chosen)
    if before is None:
        return prompt
    settled = values_of(before)
    for name in before.named:
        if name in settled and chosen.get(name) is None and settled[name] is None:
            prompt = _restricted(prompt, name, before)
    return prompt


def _restricted(prompt: str, name: str, before: Understanding) -> str:
    """A prompt with words that allow of an attribute what was allowed before, if any do that and nothing else."""
    told = before.words.get(name, "")
    if name in before.asked:
        phrases = [values_in_words(name, before.asked[name]), told, value_in_words(name, told)]
    else:
        denied = values_in_words(name, before.denied[name])
        phrases = [f"not {denied}", f"no {denied}", f"not {told}"]
    now = understand(prompt)
    for phrase in filter(None, phrases):
        longer = f"{prompt}, {phrase}" if prompt else phrase
        found = understand(longer)
        same = all(found.allowed(one) == now.allowed(one) for one in VALUES if one != name)
        if same and set(found.allowed(name)) == set(before.allowed(name)) and not found.unread:
            return longer
    return prompt


def _said(chosen: Mapping[str, str | None]) -> str:
    """The chosen values as a prompt."""
    picked = {name: value for name, value in chosen.items() if value is not None}
    for thing in ("glasses", "hat"):
        if picked.get(thing) == NONE:
            picked.pop(f"{thing}_color", None)
    if not picked:
        return ""
    has, without = _features(picked)
    who = _who(picked)
    parts = [f"{who} with {', '.join(has)}" if has else who]
    worn = _worn(picked)
    if worn:
        parts.append(f"wearing {' and '.join(worn)}")
    parts += [f"no {thing}" for thing in without]
    if "expression" in picked:
        parts.append(EXPRESSION_PHRASES[picked["expression"]])
    if "lighting" in picked:
        parts.append(LIGHTING_PHRASES[picked["lighting"]])
    return mend_articles(", ".join(parts))


def _who(picked: Mapping[str, str]) -> str:
    sex, age = picked.get("sex"), picked.get("age")
    if age == "child":
        return {"man": "a boy", "woman": "a girl", None: "a child"}[sex]
    return f"a {age} {sex or 'person'}" if age else f"a {sex or 'person'}"


def _features(picked: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What the person has, and what not, in words."""
    has, without = [], []
    if "face_shape" in picked:
        has.append(f"a {picked['face_shape']} face")
    if "skin" in picked:
        has.append(f"{picked['skin']} skin")
    has += _hair(picked)
    if "eyes" in picked:
        has.append(f"{picked['eyes']} eyes")
    for name in TRAITS:
        if name in picked:
            has.append(trait_words(name, 1 if picked[name] == "+" else -1))
    beard = picked.get("beard")
    if beard not in (None, NONE):
        has.append(f"a {beard}")
    if picked.get("glasses", NONE) != NONE or "glasses_color" in picked:
        kind = picked.get("glasses", ANY)
        has.append(f"{picked.get('glasses_color', '')} {'glasses' if kind == ANY else kind}".strip())
    for mark in ("freckles", "earrings"):
        if picked.get(mark) == YES:
            has.append(mark)
    for thing in ("fringe", "freckles", "earrings", *_THINGS):
        if picked.get(thing) == NONE:
            without.append(thing)
    return has, without


def _hair(picked: Mapping[str, str]) -> list[str]:
    colour = picked.get("hair_color", "")
    said = f"{colour}-dyed" if colour in DYES else colour
    found = []
    style = picked.get("hair")
    if style == "bald":
        found.append(HAIR_PHRASES[style])
        if colour:
            found.append(f"{said} hair")
    elif style is not None:
        found.append(" ".join(HAIR_PHRASES[style].format(colour=said).split()))
    elif colour:
        found.append(f"{said} hair")
    if picked.get("fringe") == YES:
        found.append("a fringe")
    return found


def _worn(picked: Mapping[str, str]) -> list[str]:
    found = []
    if "top" in picked or "top_color" in picked:
        found.append(f"a {picked.get('top_color', '')} {picked.get('top', 'top')}")
    if picked.get("hat", NONE) != NONE or "hat_color" in picked:
        kind = picked.get("hat", ANY)
        found.append(f"a {picked.get('hat_color', '')} {'hat' if kind == ANY else kind}")
    return [" ".join(one.split()) for one in found]
