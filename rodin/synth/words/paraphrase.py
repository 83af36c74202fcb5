"""The caption in other words: what people who never saw a caption may write of the same avatar.

A paraphrase draws some of the recipe's attributes, a synonym for each, an order and a sentence pattern. It says nothing
that the caption does not say, and nothing of what it leaves out. Some everyday words (spectacles, elderly of a
gentleman, ginger, goatee) are kept out on purpose: what a model makes of them shows whether it takes wordings that it
never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rodin.synth.recipe import AvatarRecipe, Stream
from rodin.synth.words.caption import eye_size, mend_articles, trait_phrases, who
from rodin.synth.words.synonyms import (
    ABSENCES,
    AGES,
    BEARDS,
    CLOTH_COLOURS,
    DECADES,
    EXPRESSIONS,
    EYE_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HATS,
    LIGHTINGS,
    NOUNS,
    PEOPLE,
    SKINS,
    STYLES,
    TOPS,
    TRAITS,
    YEARS,
)

COUNT = 24  # paraphrases of one subject

SEX_SHARE = 0.85  # of paraphrases that name the sex: nearly every description does

ABSENCE_SHARE = 0.3  # of what is not there that is said to be missing

YEARS_SHARE = 0.3  # of ages that are said in years or decades

PEOPLE_SHARE = 0.3  # of skins said by an adjective that is of people: a black woman

LIGHTING_SHARE = 0.25  # of paraphrases that name the lighting: few descriptions do

#: The attributes by which avatars drawn from words are judged.
JUDGED = ("hair_color", "hair", "skin", "beard", "glasses", "sex", "age", "top_color")

_CHEEKS = ("chubby cheeks", "hollow cheeks")

_MANY_STYLES = "long hair"  # may be straight or wavy
_MANY_GLASSES = "glasses"  # may be round or square

_ADJECTIVE, _NOUN, _PARTICIPLE, _VERB = range(4)


@dataclass(frozen=True, slots=True)
class _Draws:
    """What is left to chance."""

    rng: np.random.Generator

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def synonym(self, table: Mapping[str, tuple[str, ...]], word: str) -> str:
        return self.pick(table.get(word, (word,)))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def shuffled(self, items: Sequence[str]) -> list[str]:
        return [items[int(k)] for k in self.rng.permutation(len(items))]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """The attributes that one paraphrase names, in words.

    Args:
        noun: who it is, without article: "young red-haired woman", or "person" where no sex is named.
        pronoun: "he", "she", or "" where the sex is left out.
        features: what the avatar has, as noun phrases with their articles.
        clothes: what it wears, as noun phrases with their articles.
        lacks: what is not there, as nouns without article.
        age: "in her sixties", or "" where the age is left out or said by the noun.
        expression: the recipe's, or "" where it is left out or said by the noun.
        lighting: how it is lit, in words, or "" where that is left out.
        named: see `Description`.
    """

    noun: str
    pronoun: str
    features: list[str]
    clothes: list[str]
    lacks: list[str]
    age: str
    expression: str
    lighting: str
    named: dict[str, str]


@dataclass(frozen=True, slots=True)
class Description:
    """A paraphrase.

    Args:
        text: it.
        named: what it says of `JUDGED` and nobody could take otherwise, as the recipe's words.
    """

    text: str
    named: dict[str, str]


def paraphrases(recipe: AvatarRecipe, count: int = COUNT) -> list[str]:
    """`count` different descriptions of the avatar, each of at least two attributes and at most all.

    A larger count begins with the same ones as a smaller.
    """
    return [description.text for description in descriptions(recipe, count)]


def descriptions(recipe: AvatarRecipe, count: int = COUNT) -> list[Description]:
    """The paraphrases with what they name."""
    rng = recipe.generator(Stream.WORDS)
    found: dict[str, dict[str, str]] = {}  # in the order in which they were found
    while len(found) < count:
        draws = _Draws(rng.spawn(1)[0])  # each has numbers of its own, so that a draw more in one leaves the others
        words = _choose_words(recipe, draws)
        pattern = _PATTERNS[int(draws.rng.integers(len(_PATTERNS)))]
        found.setdefault(mend_articles(pattern(words, draws)), words.named)
    return [Description(text, named) for text, named in found.items()]


# ---- attributes in words


def _choose_words(recipe: AvatarRecipe, draws: _Draws) -> _Words:
    """Leave attributes out, and find words for the others."""
    features, clothes = _features(recipe, draws), _clothes(recipe, draws)
    optional = ["age", "expression", *features, *clothes]
    sex = recipe.sex if draws.chance(SEX_SHARE) else ""
    fewest = 1 if sex else 2
    kept = draws.shuffled(optional)[: int(draws.rng.integers(fewest, len(optional) + 1))]
    absences = [name for name in _absences(recipe) if draws.chance(ABSENCE_SHARE)]
    adjectives = _adjectives(recipe, draws, sex)
    said = next((name for name in draws.shuffled(list(adjectives)) if name in kept and draws.chance(0.15)), "")
    adjective = adjectives.get(said, "") if said == "skin" else adjectives.get(said, "").replace(" ", "-")
    kept = [name for name in kept if name != said]
    # No child is a man or a woman: where its sex is said, so is its age.
    child = recipe.age == "child" and (sex != "" or "age" in kept)
    kind = ("child" if sex == "" else who(recipe)) if child else sex
    noun = draws.pick(NOUNS[kind])
    age, decade = _age(recipe, draws, sex) if "age" in kept else ("", "")
    if child and not age[:1].isdigit():
        age = ""  # the noun says it
    if (age, noun) == ("elderly", "gentleman"):
        age = "old"
    if not (sex or age or decade or adjective or child) and draws.chance(0.5):
        noun = "avatar"
    bare = ""
    if (bares := [name for name in absences if ABSENCES[name]]) and not adjective and draws.chance(0.4):
        bare = draws.pick(ABSENCES[bares[0]])
        absences.remove(bares[0])
    adjectival = adjective or bare
    described = (adjectival, age, noun) if said == "expression" or bare else (age, adjectival, noun)
    if "freckles" in kept and features["freckles"] != "freckles" and {"face", *_CHEEKS} & set(kept):
        features["freckles"] = "freckles"  # no second phrase of the face or the cheeks
    phrases = {name: phrase for name, phrase in (features | clothes).items() if name in kept}
    named = {"sex"} if sex else set()
    named |= {"age"} if age or decade or child else set()
    named |= {"hair_color"} if said == "hair" and recipe.hair != "bald" else {said} & {"hair", "skin"}
    if adjective in ("white", "European"):
        named -= {"skin"}  # which is pale or light
    named |= ({*absences} | ({bares[0]} if bare else set())) & {"beard", "glasses"}
    named |= _named(recipe, phrases)
    return _Words(
        noun=" ".join(filter(None, described)),
        pronoun={"man": "he", "woman": "she", "": ""}[sex],
        features=[features[name] for name in kept if name in features],
        clothes=[clothes[name] for name in kept if name in clothes],
        lacks=draws.shuffled(absences),
        age=decade,
        expression=recipe.expression if "expression" in kept else "",
        lighting=draws.synonym(LIGHTINGS, recipe.lighting) if draws.chance(LIGHTING_SHARE) else "",
        named={name: str(getattr(recipe, name)) for name in JUDGED if name in named},
    )


def _absences(recipe: AvatarRecipe) -> list[str]:
    """What is not there and might be: only grown men have beards."""
    bearded = recipe.sex == "man" and recipe.age != "child"
    return [name for name in ABSENCES if getattr(recipe, name) == "none" and (name != "beard" or bearded)]


def _age(recipe: AvatarRecipe, draws: _Draws, sex: str) -> tuple[str, str]:
    """The age as an adjective, and as a decade behind the noun; one of them is ""."""
    if draws.chance(YEARS_SHARE):
        if recipe.age in DECADES and draws.chance(0.5):
            whose = {"man": "his", "woman": "her", "": "their"}[sex]
            return "", f"in {whose} {draws.pick(DECADES[recipe.age])}"
        return f"{draws.rng.integers(*YEARS[recipe.age])}-year-old", ""
    return draws.synonym(AGES, recipe.age), ""


def _named(recipe: AvatarRecipe, phrases: Mapping[str, str]) -> set[str]:
    """The attributes that phrases, by what they are of, leave no doubt about."""
    named = {"skin", "beard"} & set(phrases)
    hair, hair_colored = _without_color(phrases.get("hair", ""), HAIR_COLOURS, recipe.hair_color)
    if hair in {form.format(c="") for form in STYLES[recipe.hair]} - {_MANY_STYLES}:
        named.add("hair")
    if hair_colored:
        named.add("hair_color")
    if phrases.get("glasses", _MANY_GLASSES) != _MANY_GLASSES:
        named.add("glasses")
    if _without_color(phrases.get("top", ""), CLOTH_COLOURS, recipe.top_color)[1]:
        named.add("top_color")
    return named


def _without_color(phrase: str, colours: Mapping[str, tuple[str, ...]], colour: str) -> tuple[str, bool]:
    """A phrase without its fringe and the words for a colour, and whether it had such words."""
    bare = re.sub(" with (a fringe|bangs)$", "", phrase)
    for word in sorted(colours.get(colour, (colour,)), key=len, reverse=True):  # "dark brown" before "brown"
        shorter = re.sub(rf"(?<![\w-]){re.escape(word)} ", "", bare)
        if shorter != bare:
            return shorter, True
    return bare, False


def _features(recipe: AvatarRecipe, draws: _Draws) -> dict[str, str]:
    """What shows of head and face, by name."""
    traits = trait_phrases(recipe)
    eyes = eye_size(traits)
    skin = draws.synonym(SKINS, recipe.skin)
    features = {
        "face": f"a {recipe.face_shape} face",
        "skin": draws.pick((f"{skin} skin", f"{skin} skin", f"a {skin} complexion")),
        "hair": _hair(recipe, draws),
    }
    if recipe.glasses != "sunglasses":
        colour = draws.synonym(EYE_COLOURS, recipe.eyes)
        size = draws.synonym(TRAITS, eyes).removesuffix(" eyes")
        features["eyes"] = draws.pick([f"{colour} eyes", *([f"{size} {colour} eyes", f"{size} eyes"] if size else [])])
    features |= {phrase: draws.synonym(TRAITS, phrase) for phrase in traits if phrase != eyes}
    if recipe.freckles:
        cheeks = () if recipe.beard == "full beard" else ("freckled cheeks",)
        features["freckles"] = draws.pick(("freckles", "a freckled face", *cheeks))
    if recipe.beard != "none":
        features["beard"] = _coloured(BEARDS[recipe.beard], HAIR_COLOURS, recipe.hair_color, draws)
    if recipe.glasses != "none":
        glasses = _coloured(GLASSES[recipe.glasses], {}, recipe.glasses_color, draws)
        features["glasses"] = "glasses" if recipe.glasses != "sunglasses" and draws.chance(0.3) else glasses
    if recipe.earrings:
        features["earrings"] = draws.pick(("earrings", "a pair of earrings"))
    return features


def _clothes(recipe: AvatarRecipe, draws: _Draws) -> dict[str, str]:
    """What is worn, by name."""
    top = f"a {{c}}{draws.synonym(TOPS, recipe.top)}"
    clothes = {"top": _coloured((top,), CLOTH_COLOURS, recipe.top_color, draws)}
    if recipe.hat != "none":
        hat = f"a {{c}}{draws.synonym(HATS, recipe.hat)}"
        clothes["hat"] = _coloured((hat,), CLOTH_COLOURS, recipe.hat_color, draws)
    return clothes


def _hair(recipe: AvatarRecipe, draws: _Draws) -> str:
    """Colour and style, or one of them, and perhaps the fringe."""
    styles = STYLES[recipe.hair]
    if recipe.hair != "bald" and draws.chance(0.2):
        return f"{draws.synonym(HAIR_COLOURS, recipe.hair_color)} hair"
    hair = _coloured(styles, HAIR_COLOURS, recipe.hair_color, draws)
    return hair + (draws.pick((" with a fringe", " with bangs", "")) if recipe.fringe else "")


def _coloured(forms: Sequence[str], colours: Mapping[str, tuple[str, ...]], colour: str, draws: _Draws) -> str:
    """One of the forms, its "{c}" filled with a word for the colour, or left out."""
    word = f"{draws.synonym(colours, colour)} " if draws.chance(0.75) else ""
    return draws.pick(forms).format(c=word)


def _adjectives(recipe: AvatarRecipe, draws: _Draws, sex: str) -> dict[str, str]:
    """The attributes that an adjective before the noun can say, by name."""
    colour = draws.synonym(HAIR_COLOURS, recipe.hair_color).removesuffix("-dyed")
    hair = "bald" if recipe.hair == "bald" else f"{colour}-haired"
    adjectives = {"hair": hair, "skin": f"{recipe.skin}-skinned"}
    if draws.chance(PEOPLE_SHARE):
        words = PEOPLE[recipe.skin]
        adjectives["skin"] = draws.pick(words.get(recipe.sex if sex else "", words[""]))
    if recipe.glasses != "sunglasses":
        adjectives["eyes"] = f"{recipe.eyes}-eyed"
    if recipe.freckles:
        adjectives["freckles"] = "freckled"
    adjectives["expression"] = draws.pick(EXPRESSIONS[recipe.expression][_ADJECTIVE])
    return adjectives


# ---- sentence patterns


def _join(items: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _either(nouns: Sequence[str]) -> str:
    """'a beard, glasses or a hat'."""
    items = [noun if noun == "glasses" else f"a {noun}" for noun in nouns]
    return " or ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _bare(phrase: str) -> str:
    """A noun phrase without its article."""
    return phrase.removeprefix("a ")


def _qualifiers(words: _Words, draws: _Draws) -> list[str]:
    """What follows the noun: "with ...", "wearing ...", "smiling"."""
    features, result = list(words.features), []
    if words.age:
        result.append(words.age)
    without = draws.chance(0.5)
    if not without:
        features += [f"no {noun}" for noun in words.lacks]
    forms = EXPRESSIONS.get(words.expression)
    if forms and draws.chance(0.5):
        features.append(draws.pick(forms[_NOUN]))
        forms = None
    if features:
        result.append(f"with {_join(features)}")
    if words.lacks and without:
        result.append(f"without {_either(words.lacks)}")
    if words.clothes:
        result.append(f"{draws.pick(('wearing', 'wearing', 'in'))} {_join(words.clothes)}")
    if forms:
        result.append(draws.pick(forms[_PARTICIPLE]))
    if words.lighting:
        result.append(words.lighting)
    return result


def _clauses(words: _Words, draws: _Draws) -> list[str]:
    """What the noun does: "has ...", "wears ...", "smiles"."""
    result = []
    if words.age:
        result.append(f"is {words.age}")
    features = [*words.features, *(f"no {noun}" for noun in words.lacks)]
    if features:
        result.append(f"has {_join(features)}")
    if words.clothes:
        result.append(f"{draws.pick(('wears', 'is wearing', 'is dressed in'))} {_join(words.clothes)}")
    if words.expression:
        result.append(draws.pick(EXPRESSIONS[words.expression][_VERB]))
    if words.lighting:
        result.append(f"is seen {words.lighting}")
    return result


def _qualified(noun: str, qualifiers: Sequence[str]) -> str:
    """The noun and what follows it; only a participle wants a comma right behind the noun."""
    if not qualifiers:
        return f"a {noun}"
    link = " " if qualifiers[0].startswith(("with", "wearing ", "in ", "lit ")) else ", "
    return f"a {noun}{link}{', '.join(qualifiers)}"


def _sentence_case(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _phrase(words: _Words, draws: _Draws) -> str:
    """A young woman with red hair, wearing a blue shirt, smiling."""
    return _qualified(words.noun, _qualifiers(words, draws))


def _bare_phrase(words: _Words, draws: _Draws) -> str:
    """Young woman with red hair, in a blue shirt."""
    return _bare(_phrase(words, draws))


def _portrait(words: _Words, draws: _Draws) -> str:
    """A portrait of a young woman with red hair."""
    kinds = ("a portrait of ", "portrait of ", "a picture of ", "an avatar of ", "a 3D avatar of ", "a bust of ")
    return ("" if words.noun == "avatar" else draws.pick(kinds)) + _phrase(words, draws)


def _list(words: _Words, draws: _Draws) -> str:
    """Young woman, red hair, blue shirt, smiling."""
    items = [_bare(phrase) for phrase in (*words.features, *words.clothes, *(f"no {noun}" for noun in words.lacks))]
    if words.age:
        items.append(words.age)
    if words.expression:
        forms = EXPRESSIONS[words.expression]
        items.append(_bare(draws.pick((*forms[_NOUN], *forms[_PARTICIPLE]))))
    if words.lighting:
        items.append(words.lighting)
    items = draws.shuffled(items)
    items.insert(0 if draws.chance(0.7) else len(items), words.noun)
    return ", ".join(items)


def _inverted(words: _Words, draws: _Draws) -> str:
    """Wearing a blue shirt, a young woman with red hair."""
    qualifiers = draws.shuffled(_qualifiers(words, draws))
    return ", ".join([*qualifiers[:1], _qualified(words.noun, qualifiers[1:])])


def _sentence(words: _Words, draws: _Draws) -> str:
    """This young woman has red hair and is smiling."""
    clauses = _clauses(words, draws)
    return _sentence_case(
        f"{draws.pick(('this', 'the'))} {words.noun} {_join(clauses)}" if clauses else f"this is a {words.noun}"
    )


def _sentences(words: _Words, draws: _Draws) -> str:
    """This is a young woman. She has red hair. She wears a blue shirt and looks sad."""
    clauses = _clauses(words, draws)
    subject = words.pronoun or f"this {words.noun.split()[-1]}"
    cut = int(draws.rng.integers(len(clauses))) if clauses else 0
    said = [f"{subject} {_join(group)}" for group in (clauses[:cut], clauses[cut:]) if group]
    return " ".join(_sentence_case(text) for text in [f"this is a {words.noun}", *said])


def _relative(words: _Words, draws: _Draws) -> str:
    """A young woman who has red hair and wears a blue shirt."""
    clauses = _clauses(words, draws)
    return f"a {words.noun}" + (f" who {_join(clauses)}" if clauses else "")


_PATTERNS = (_phrase, _phrase, _bare_phrase, _portrait, _list, _list, _inverted, _sentence, _sentences, _relative)
