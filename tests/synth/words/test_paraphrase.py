"""Contract: paraphrases say of an avatar what its recipe says, in many wordings, leaving things out, and nothing else.

What is true of a wording is written down here once more, as words and a condition on the recipe, independently of the
tables that the wordings come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.files import read_json
from rodin.synth.recipe import FACE_SHAPES, SKIN_TONES, AvatarRecipe, Traits, make_recipe
from rodin.synth.words.caption import NAMED, make_caption
from rodin.synth.words.paraphrase import COUNT, paraphrases

EXAMPLES = Path(__file__).parents[3] / "examples" / "avatars"
SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 5000)

#: What is said to be missing; the words behind "no" and "without" claim nothing else.
MISSING = re.compile(
    r"\bno (beard|glasses|hat)\b|\b(clean-shaven|beardless|bare-headed)\b|"
    r"\bwithout ((a beard|glasses|a hat)(, | or )?){1,3}",
    re.IGNORECASE,
)
ABSENCES: dict[str, Callable[[AvatarRecipe], bool]] = {
    "beard|shaven": lambda r: r.beard == "none" and r.sex == "man" and r.age != "child",
    "glasses": lambda r: r.glasses == "none",
    "hat|headed": lambda r: r.hat == "none",
}

CLAIMS: dict[str, Callable[[AvatarRecipe], bool]] = {
    r"\b(man|guy|gentleman|male)\b": lambda r: r.sex == "man" and r.age != "child",
    r"\b(woman|lady|female)\b": lambda r: r.sex == "woman" and r.age != "child",
    r"\bboy\b": lambda r: r.sex == "man" and r.age == "child",
    r"\bgirl\b": lambda r: r.sex == "woman" and r.age == "child",
    r"\b(child|kid)\b": lambda r: r.age == "child",
    r"\bhe\b": lambda r: r.sex == "man",
    r"\bshe\b": lambda r: r.sex == "woman",
    r"\b(young|youthful)\b": lambda r: r.age == "young",
    r"(?<!year-)\b(elderly|old|senior|aged)\b": lambda r: r.age == "elderly",
    r"\b([4-9]|1[01])-year-old": lambda r: r.age == "child",
    r"\b(1[89]|2\d|3[0-5])-year-old|(twenties|thirties)\b": lambda r: r.age == "young",
    r"\b(6[5-9]|[78]\d)-year-old|(sixties|seventies|eighties)\b": lambda r: r.age == "elderly",
    r"\b(black|African) (?!and|eyes)([\w-]+ )?(man|woman|lady|guy|person|girl|boy|male|female|kid|child)\b": lambda r: (
        r.skin == "dark"
    ),
    r"\b(white|European) ([\w-]+ )?(man|woman|lady|guy|person|girl|boy|male|female|kid|child)\b": lambda r: (
        r.skin in ("pale", "light")
    ),
    r"\b(Latin[oa]|Hispanic)\b": lambda r: r.skin == "tan",
    r"\bSouth Asian\b": lambda r: r.skin == "brown",
    r"\bglasses\b": lambda r: r.glasses.endswith(" glasses"),
    r"\b(sunglasses|shades)\b": lambda r: r.glasses == "sunglasses",
    r"\b(round \w*\s?glasses|round \w*\s?frames)": lambda r: r.glasses == "round glasses",
    r"\b(square \w*\s?glasses|square \w*\s?frames)": lambda r: r.glasses == "square glasses",
    r"\bbeard\b": lambda r: r.beard in ("full beard", "chin beard"),
    r"\bchin beard\b|\bbeard on the chin\b": lambda r: r.beard == "chin beard",
    r"\bfull ([\w-]+ ){0,2}beard\b": lambda r: r.beard == "full beard",
    r"\bmou?stache\b": lambda r: r.beard == "moustache",
    r"\bhat\b|\bfedora\b": lambda r: r.hat == "fedora",
    r"\bbeanie|knitted cap\b": lambda r: r.hat == "beanie",
    r"(?<!knitted )\bcap\b": lambda r: r.hat == "baseball cap",
    r"\bearrings\b": lambda r: r.earrings,
    r"\bfreckle": lambda r: r.freckles,
    r"\b(fringe|bangs)\b": lambda r: r.fringe,
    r"\b(bald|hairless|no hair)\b": lambda r: r.hair == "bald",
    r"(?<!hairless )\bhair(ed)?\b(?<!no hair)|\bcurls|\bwaves": lambda r: r.hair != "bald",
    r"\bponytail\b": lambda r: r.hair == "ponytail",
    r"\b(braids|plaits)\b": lambda r: r.hair == "braids",
    r"\bbun\b": lambda r: r.hair == "bun",
    r"\bwaves|wavy\b": lambda r: r.hair == "long wavy",
    r"\bcurl": lambda r: r.hair == "curly",
    r"\bafro\b": lambda r: r.hair == "afro",
    r"\bmohawk\b": lambda r: r.hair == "mohawk",
    r"\bquiff\b": lambda r: r.hair == "quiff",
    r"\bbob\b": lambda r: r.hair == "bob",
    r"\bbuzz cut\b|\bcropped\b|\bvery short\b": lambda r: r.hair == "buzz cut",
    r"(?<!very )\bshort (curly )?([\w-]+ ){0,2}(hair|curls)\b|\bcut short": lambda r: r.hair in ("short", "curly"),
    r"\bstraight( \w[\w-]*)? hair\b": lambda r: r.hair == "long straight",
    r"\blong( straight| wavy)?( \w[\w-]*)? hair\b": lambda r: r.hair in ("long straight", "long wavy"),
    r"\b(jet-black|black|dark)[ -]hair": lambda r: r.hair_color == "black",
    r"\b(brown|chestnut|brunette)[ -]hair": lambda r: r.hair_color == "brown",
    r"\b(copper|orange-red|auburn)[ -]hair": lambda r: r.hair_color == "red",
    r"\b(golden|blonde?)[ -]hair": lambda r: r.hair_color == "blond",
    r"\bwhite[ -]hair": lambda r: r.hair_color == "white",
    r"\b(gr[ae]y|silver)[ -]hair": lambda r: r.hair_color == "grey",
    r"(?<!-)\bred[ -]hair": lambda r: r.hair_color == "red",
    r"\bpink(-dyed)?[ -]hair": lambda r: r.hair_color == "pink",
    r"\bblue(-dyed)?[ -]hair": lambda r: r.hair_color == "blue",
    r"\bgreen(-dyed)?[ -]hair": lambda r: r.hair_color == "green",
    r"\b(purple|violet|purple-dyed)[ -]hair": lambda r: r.hair_color == "purple",
    r"\b(big|large)( wide| broad)? nose": lambda r: r.traits.nose_length >= NAMED,
    r"\b(small|little|short)( narrow| wide)? nose": lambda r: r.traits.nose_length <= -NAMED,
    r"\b(wide|broad) nose": lambda r: r.traits.nose_width >= NAMED,
    r"\b(narrow|thin) nose": lambda r: r.traits.nose_width <= -NAMED,
    r"\b(full|plump) lips": lambda r: r.traits.lip_fullness >= NAMED,
    r"\b(large|big)( dark)?( brown| amber| hazel| green| blue| gr[ae]y)? eyes": lambda r: r.traits.eye_size >= NAMED,
    r"\beyes?\b|\beyed\b": lambda r: r.glasses != "sunglasses",
    r"\b(hood|hooded|hoodie)\b": lambda r: r.top == "hoodie",
    r"\b(T-shirt|tee)\b": lambda r: r.top == "T-shirt",
    r"(?<!T-)\bshirt\b": lambda r: r.top == "collared shirt",
    r"\b(jumper|pullover|sweater)\b": lambda r: "sweater" in r.top or r.top == "turtleneck",
    r"\bV-neck\b": lambda r: r.top == "V-neck sweater",
    r"\b(violet|purple) (tee|T-shirt|hoodie)": lambda r: r.top_color == "purple",
    r"\b(blue|royal blue) (tee|T-shirt|hoodie)": lambda r: r.top_color == "blue",
    r"\b(smiling|smiles|smile)\b": lambda r: r.expression == "smiling",
    r"\bgrin": lambda r: r.expression == "grinning",
    r"\bfrown": lambda r: r.expression == "frowning",
    r"\b(sad|unhappy)\b": lambda r: r.expression == "sad",
    r"\b(surprised|amazed)\b": lambda r: r.expression == "surprised",
    r"\b(calm|neutral|blank)\b": lambda r: r.expression == "neutral",
    **{rf"(?<!-)\b{shape} face\b": lambda r, shape=shape: r.face_shape == shape for shape in FACE_SHAPES},
    **{rf"(?<!dark[ -])(?<!deep[ -])(?<!very )\b{skin}[- ](skin|complexion)": lambda r, skin=skin: r.skin == skin
       for skin in SKIN_TONES},
    r"\b(fair|very light)[ -](skin|complexion)": lambda r: r.skin == "pale",
    r"\b(olive|tanned)[ -](skin|complexion)": lambda r: r.skin == "tan",
    r"\b(dark|deep) brown (skin|complexion)": lambda r: r.skin == "dark",
    r"\bin (studio light|a studio)\b": lambda r: r.lighting == "studio",
    r"\bin (soft|flat) light\b": lambda r: r.lighting == "soft",
    r"\bin warm light\b|\bevening sun\b": lambda r: r.lighting == "warm",
    r"\bin (cool|cold) light\b": lambda r: r.lighting == "cool",
    r"\bfrom the side\b|\bside light\b": lambda r: r.lighting == "side",
}  # fmt: skip
COMPILED = [(re.compile(words, re.IGNORECASE), true_of) for words, true_of in CLAIMS.items()]


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return [text for index in range(400) for text in paraphrases(make_recipe(1, index))]


@given(SEEDS, INDICES)
@settings(max_examples=150, deadline=None)
def test_nothing_false_is_said(seed: int, index: int) -> None:
    recipe = make_recipe(seed, index)
    for text in paraphrases(recipe):
        missing = " ".join(found[0] for found in MISSING.finditer(text))
        assert not [words for words, true_of in ABSENCES.items() if re.search(words, missing) and not true_of(recipe)]
        text = MISSING.sub("", text)
        assert not [words for words, true_of in COMPILED if words.search(text) and not true_of(recipe)], text


def test_every_claim_is_made_somewhere(corpus: list[str]) -> None:
    """Else the test above could not fail: all wordings that it looks for occur."""
    assert [words for words in CLAIMS if not re.search(words, "\n".join(corpus), re.IGNORECASE)] == []


@given(SEEDS, INDICES)
@settings(max_examples=200, deadline=None)
def test_english(seed: int, index: int) -> None:
    """Articles fit, nothing of the recipe's own notation is left, and lists end as lists do."""
    for text in paraphrases(make_recipe(seed, index)):
        assert not re.search(
            r"\b[Aa] [aeiou]|\b[Aa]n (?!8|11|18)[^aeiou]|  |_|[{}]|\bnone\b|, ,|^[ ,]|[ ,]$|\ba a\b", text
        ), text
        assert text.endswith(".") == bool(re.match("(This|The) ", text)), text


@given(SEEDS, INDICES, st.integers(1, COUNT))
@settings(max_examples=50, deadline=None)
def test_they_depend_on_seed_and_index_alone(seed: int, index: int, count: int) -> None:
    recipe = make_recipe(seed, index)
    some = paraphrases(recipe, count)
    assert some == paraphrases(recipe)[:count]
    assert len(set(some)) == count
    assert some != paraphrases(make_recipe(seed, index + 1), count)


def test_there_are_many() -> None:
    assert len(paraphrases(make_recipe(1, 1))) == COUNT >= 20


def test_words_kept_for_judging_models(corpus: list[str]) -> None:
    for words in ("ginger", "goatee", "spectacles", "elderly gentleman"):
        assert not any(words in text.lower() for text in corpus), words


def test_children_are_called_children() -> None:
    """Never man or woman, nor young or old, whatever else is said."""
    children = [recipe for recipe in (make_recipe(5, index) for index in range(300)) if recipe.age == "child"]
    texts = [text for recipe in children for text in (make_caption(recipe), *paraphrases(recipe))]
    grown = r"(?<!year-)\b(man|woman|guy|gentleman|male|female|lady|young|youthful|old|elderly|adult)\b"
    assert not [text for text in texts if re.search(grown, text, re.IGNORECASE)]
    assert sum(bool(re.search(r"\b(boy|girl)\b", text)) for text in texts) > 0.7 * len(texts)


def test_absences_ages_and_people_are_said_often_enough_to_be_learned(corpus: list[str]) -> None:
    """Of 24 paraphrases of a subject at least one in a hundred has each: hundreds of a set of some thousand."""
    for words in ("no beard", "no glasses", "no hat", "without (glasses|a beard|a hat)", "clean-shaven", "bare-headed",
                  "year-old", "in (his|her|their) (twenties|sixties|seventies)", "(black|white) (wo)?man"):  # fmt: skip
        assert sum(bool(re.search(words, text)) for text in corpus) > 0.002 * len(corpus), words
    assert sum(bool(MISSING.search(text)) for text in corpus) > 0.2 * len(corpus)


def test_wordings_vary(corpus: list[str]) -> None:
    """Attributes are left out and named in good measure; patterns and lengths differ."""

    def share(words: str) -> float:
        return sum(bool(re.search(words, text)) for text in corpus) / len(corpus)

    assert len(set(corpus)) > 0.95 * len(corpus)
    assert 0.7 < share(r"\b(man|guy|gentleman|male|woman|lady|female|boy|girl)\b") < 0.95
    assert 0.15 < share(r"\b(light|studio|evening sun|from the side)$|\b(light|studio|sun|side)[,.]") < 0.35
    assert 0.3 < share(r" skin\b|complexion|-skinned") < 0.7
    for words in (r"\.$", "^with ", "^(a|an) ", "portrait|picture|avatar|bust", " who ", "^This is"):
        assert 0.02 < share(words) < 0.8, words
    lengths = sorted(len(text.split()) for text in corpus)
    assert lengths[len(lengths) // 10] <= 8
    assert lengths[-len(lengths) // 10] >= 24


def recorded(document: dict[str, Any]) -> AvatarRecipe:
    """The recipe that a transforms.json keeps, whatever version drew it."""
    found = dict(document["attributes"])
    traits = Traits(**{name: found.pop(name) for name in Traits.__dataclass_fields__})
    return AvatarRecipe(seed=document["seed"], index=document["index"], traits=traits, **found)


def test_the_examples_say_what_their_recipes_say() -> None:
    """They are data like any other, whatever recipe they were rendered with."""
    found = sorted(EXAMPLES.glob("*/transforms.json"))
    assert len(found) == 40
    for path in found:
        document = read_json(path)
        recipe = recorded(document)
        assert recipe.attributes() == document["attributes"]
        assert len(document["captions"]) == COUNT
        for text in (document["caption"], *document["captions"]):
            missing = " ".join(found[0] for found in MISSING.finditer(text))
        assert not [words for words, true_of in ABSENCES.items() if re.search(words, missing) and not true_of(recipe)]
        text = MISSING.sub("", text)
        assert not [words for words, true_of in COMPILED if words.search(text) and not true_of(recipe)], text
