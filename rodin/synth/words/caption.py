"""The caption: one English phrase that names every attribute of a recipe that a picture shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rodin.synth.recipe import SHOWS_EARS, AvatarRecipe

#: Beyond this standard score a trait is visible enough to be named.
NAMED = 1.1

#: Styles hidden by a hat down to what hangs out of it keep their name; these are named as a whole.
HAIR_PHRASES = {
    "bald": "a bald head",
    "buzz cut": "a {colour} buzz cut",
    "short": "short {colour} hair",
    "quiff": "a {colour} quiff",
    "curly": "short curly {colour} hair",
    "afro": "a {colour} afro",
    "mohawk": "a {colour} mohawk",
    "bob": "a {colour} bob",
    "long straight": "long straight {colour} hair",
    "long wavy": "long wavy {colour} hair",
    "ponytail": "{colour} hair in a ponytail",
    "bun": "{colour} hair in a bun",
    "braids": "{colour} hair in two braids",
}
EXPRESSION_PHRASES = {
    "neutral": "with a neutral expression",
    "smiling": "smiling",
    "grinning": "grinning broadly",
    "frowning": "frowning",
    "sad": "looking sad",
    "surprised": "looking surprised",
}
#: By the signs of length and width, each 0 where it is not worth a word.
_NOSE_PHRASES = {
    (-1, -1): "a small narrow nose",
    (-1, 0): "a small nose",
    (-1, 1): "a short wide nose",
    (0, -1): "a narrow nose",
    (0, 1): "a wide nose",
    (1, -1): "a long narrow nose",
    (1, 0): "a big nose",
    (1, 1): "a big wide nose",
}
_TRAIT_PHRASES = {
    "lip_fullness": ("thin lips", "full lips"),
    "eye_size": ("small eyes", "large eyes"),
    "brow_thickness": ("thin eyebrows", "thick eyebrows"),
    "ear_size": ("small ears", "big ears"),
    "cheek_fullness": ("hollow cheeks", "chubby cheeks"),
    "neck_width": ("a slender neck", "a thick neck"),
}
#: Hair that hangs beside the neck, whose width then does not show.
_COVERS_NECK = ("bob", "long straight", "long wavy")
LIGHTING_PHRASES = {
    "studio": "in studio light",
    "soft": "in soft light",
    "warm": "in warm light",
    "cool": "in cool light",
    "side": "lit from the side",
}


def who(recipe: AvatarRecipe) -> str:
    """Age and sex in words."""
    child = {"man": "boy", "woman": "girl"}[recipe.sex]
    return child if recipe.age == "child" else f"{recipe.age} {recipe.sex}"


def mend_articles(text: str) -> str:
    """'an' before every vowel that 'a' stands before, and before eight and eighty, eleven and eighteen; no word in use
    is spelt and spoken differently."""
    return re.sub(r"\b([Aa]) (?=[aeiou]|8\d?\b|11\b|18\b)", r"\1n ", text)


def trait_phrases(recipe: AvatarRecipe) -> list[str]:
    """The traits that show and are far enough from the mean to be named, in a fixed order."""
    traits, hidden = recipe.traits, _hidden_traits(recipe)
    nose = _NOSE_PHRASES.get((_sign(traits.nose_length), _sign(traits.nose_width)))
    phrases = [nose] if nose else []
    for name, (low, high) in _TRAIT_PHRASES.items():
        if name not in hidden and (sign := _sign(getattr(traits, name))):
            phrases.append(high if sign > 0 else low)
    return phrases


def trait_words(name: str, sign: int) -> str:
    """A trait in words, beyond `NAMED` on the side of a sign; "" where no word names it."""
    if name in _TRAIT_PHRASES:
        return _TRAIT_PHRASES[name][sign > 0]
    return _NOSE_PHRASES.get({"nose_length": (sign, 0), "nose_width": (0, sign)}.get(name, (0, 0)), "")


def eye_size(traits: Sequence[str]) -> str:
    """The one of the trait phrases that is of the eyes, or ""; it is said in one phrase with their colour."""
    return next((phrase for phrase in traits if phrase.endswith(" eyes")), "")


def _sign(score: float) -> int:
    """-1 or 1 where a standard score is worth a word, else 0."""
    return 0 if abs(score) < NAMED else 1 if score > 0 else -1


def _hair_phrase(recipe: AvatarRecipe) -> str:
    """The hair in words, with its fringe."""
    dyed = recipe.hair_color in ("pink", "blue", "green", "purple")
    colour = f"{recipe.hair_color}-dyed" if dyed else recipe.hair_color
    return HAIR_PHRASES[recipe.hair].format(colour=colour) + (" with a fringe" if recipe.fringe else "")


def _hidden_traits(recipe: AvatarRecipe) -> frozenset[str]:
    """Traits that hair, clothes or glasses cover, which the caption therefore leaves out."""
    hidden: set[str] = set()
    if recipe.hair not in SHOWS_EARS or recipe.hat == "beanie":
        hidden.add("ear_size")
    if recipe.glasses == "sunglasses":
        hidden |= {"eye_size"}
    if recipe.fringe:
        hidden.add("brow_thickness")
    if recipe.top in ("turtleneck", "hoodie") or recipe.hair in _COVERS_NECK:
        hidden.add("neck_width")
    # A round face with hollow cheeks would be two words for opposite things; the shape's name stands.
    if recipe.face_shape == "round" and recipe.traits.cheek_fullness < 0:
        hidden.add("cheek_fullness")
    if recipe.beard == "full beard":
        hidden.add("cheek_fullness")
    return frozenset(hidden)


def make_caption(recipe: AvatarRecipe, *, absences: bool = True, eyes: bool = True) -> str:
    """One phrase that names every visible attribute of the avatar.

    Args:
        absences: say of beard, glasses and hat that they are not there, where a grown man has no beard and anybody no
            glasses or hat. Captions did not up to version 1 of the words, and a model that learned from those reads
            such phrases as what they deny.
        eyes: say their colour, where they show.
    """
    traits = trait_phrases(recipe)
    size = eye_size(traits)
    items = [_hair_phrase(recipe)]
    if eyes and recipe.glasses != "sunglasses":
        items.append(f"{size.removesuffix('eyes')}{recipe.eyes} eyes")
    items += [phrase for phrase in traits if phrase != size or not eyes]
    if recipe.freckles:
        items.append("freckles")
    if recipe.beard != "none":
        items.append(f"a {recipe.hair_color} {recipe.beard}")
    elif absences and recipe.sex == "man" and recipe.age != "child":
        items.append("no beard")
    if recipe.glasses != "none":
        items.append(f"{recipe.glasses_color} {recipe.glasses}")
    elif absences:
        items.append("no glasses")
    if recipe.earrings:
        items.append("earrings")
    wearing = f"wearing a {recipe.top_color} {recipe.top}"
    if recipe.hat != "none":
        wearing += f" and a {recipe.hat_color} {recipe.hat}"
    elif absences:
        wearing += " and no hat"
    subject = f"a {who(recipe)} with a {recipe.face_shape} face, {recipe.skin} skin, {', '.join(items)}"
    lit = LIGHTING_PHRASES[recipe.lighting]
    return mend_articles(f"{subject}, {wearing}, {EXPRESSION_PHRASES[recipe.expression]}, {lit}")
