"""Contract of rodin.prompts.grammar: a prompt is read as a person means it. What is denied is never asked for,
whatever stands beside it; ages, people's colours and everyday words are taken for the recipe's; what is not read is
named; and the captions and paraphrases of every recipe are read back."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spellchecker import SpellChecker

from rodin.prompts.grammar import understand
from rodin.prompts.lexicon import DECADES
from rodin.prompts.tokens import known_words
from rodin.prompts.understanding import NONE, TRAITS, VALUES
from rodin.synth.recipe import AvatarRecipe, make_recipe
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import descriptions

PROMPTS = Path(__file__).parents[2] / "examples" / "prompts"
GLASSES = {"round glasses", "square glasses"}
ANY_HAT = {"beanie", "baseball cap", "fedora"}

#: What leaves something open: prompt -> what is said of the rest, and nothing is of the attributes listed behind it.
LEFT_OPEN: dict[str, tuple[dict[str, set[str]], str]] = {
    "a man with or without a beard": ({"sex": {"man"}}, "beard"),
    "a man without or with a beard": ({"sex": {"man"}}, "beard"),
    "a woman, hat or no hat": ({"sex": {"woman"}}, "hat"),
    "a woman, no hat or a hat": ({"sex": {"woman"}}, "hat"),
    "a man with a beard or no beard, smiling": ({"expression": {"smiling"}}, "beard"),
    "an old man with glasses or not": ({"age": {"elderly"}}, "glasses"),
    "he has a beard, or not": ({"sex": {"man"}}, "beard"),
    "with either a hat or no hat": ({}, "hat"),
    "a man with a beard or without, in a red shirt": ({"top_color": {"red"}}, "beard"),
    "a bearded or clean-shaven man": ({"sex": {"man"}}, "beard"),
    "she may or may not wear glasses": ({"sex": {"woman"}}, "glasses"),
    "beard optional, a man in green": ({"sex": {"man"}, "top_color": {"green"}}, "beard"),
    "freckles or no freckles": ({}, "freckles"),
    "with a big red hat or no hat and glasses": ({"glasses": GLASSES}, "hat hat_color"),
    "a man with or without a red beard and glasses": ({"sex": {"man"}}, "beard glasses hair_color"),
    "a man with or without a beard and a red shirt": ({"top_color": {"red"}}, "beard"),
    "a woman with or without red glasses or a hat, smiling": ({"expression": {"smiling"}}, "glasses hat"),
}

READ: dict[str, dict[str, set[str]]] = {
    # Denials.
    "a man without glasses": {"sex": {"man"}, "glasses": {NONE}},
    "a man without glasses or a hat": {"glasses": {NONE}, "hat": {NONE}},
    "a man without a beard, glasses or a hat": {"beard": {NONE}, "glasses": {NONE}, "hat": {NONE}},
    "a man without a hat, red hair, blue shirt": {"hat": {NONE}, "hair_color": {"red"}, "top_color": {"blue"}},
    "a man with no glasses and a red hat": {"glasses": {NONE}, "hat": ANY_HAT, "hat_color": {"red"}},
    "a man without glasses and with a full beard": {"glasses": {NONE}, "beard": {"full beard"}},
    "a beard but no moustache": {"beard": {"chin beard"}},
    "a moustache but no beard": {"beard": {"moustache"}},
    "no beard no glasses": {"beard": {NONE}, "glasses": {NONE}},
    "he doesn't have a beard or glasses, and wears a red hat": {"beard": {NONE}, "glasses": {NONE}, "hat": ANY_HAT},
    "a woman who isn't wearing a hat": {"hat": {NONE}},
    "she isnt wearing glasses": {"glasses": {NONE}},
    "no longer wearing glasses": {"glasses": {NONE}},
    "take off the glasses and give her a red hat": {"glasses": {NONE}, "hat_color": {"red"}},
    "take his hat off": {"hat": {NONE}},
    "lose the beard, keep the moustache": {"beard": {"moustache"}},
    "a glasses-free, beardless, hatless man": {"beard": {NONE}, "glasses": {NONE}, "hat": {NONE}},
    "a clean-shaven, bare-headed bloke": {"beard": {NONE}, "hat": {NONE}, "sex": {"man"}},
    "his beard shaved off": {"beard": {NONE}},
    "a man with neither a beard nor glasses": {"beard": {NONE}, "glasses": {NONE}},
    "a woman, hair: red, glasses: none": {"hair_color": {"red"}, "glasses": {NONE}},
    "swap the glasses for sunglasses": {"glasses": {"sunglasses"}},
    "a man with glasses, not sunglasses": {"glasses": GLASSES},
    "not bald": {"hair": set(VALUES["hair"]) - {"bald"}},
    "no hair": {"hair": {"bald"}},
    "no red hair": {"hair_color": set(VALUES["hair_color"]) - {"red"}},
    "her hair is not red but green": {"hair_color": {"green"}},
    "not an old woman": {"sex": {"woman"}, "age": {"young", "child"}},
    "unsmiling": {"expression": {"neutral"}},
    "don't give him a beard": {"beard": {NONE}},
    "a man -beard -glasses": {"beard": {NONE}, "glasses": {NONE}},
    "a man who used to have a beard": {"beard": {NONE}},
    "stop smiling": {"expression": set(VALUES["expression"]) - {"smiling", "grinning"}},
    "avoid glasses and hats": {"glasses": {NONE}, "hat": {NONE}},
    "fewer freckles": {"freckles": {NONE}},
    "fewer wrinkles": {"age": {"young", "child"}},
    "hair: none": {"hair": {"bald"}},
    "no hair and earrings": {"hair": {"bald"}, "earrings": {"yes"}},
    "no red or brown hair": {"hair_color": set(VALUES["hair_color"]) - {"red", "brown"}},
    # Ages.
    "a 25-year-old": {"age": {"young"}},
    "a 7 year old boy": {"age": {"child"}, "sex": {"man"}},
    "an eight-year-old": {"age": {"child"}},
    "a woman in her sixties": {"age": {"elderly"}},
    "a man in his mid-thirties": {"age": {"young"}},
    "a teenage girl": {"age": {"young"}, "sex": {"woman"}},
    "man, 45, glasses": {"age": {"young"}, "glasses": GLASSES},
    "a lady of ninety": {"age": {"elderly"}},
    "a middle-aged woman": {"age": {"young"}},
    "a girl with an old red hat": {"age": {"child"}, "hat_color": {"red"}},
    # People's colours, and other things'.
    "a black woman": {"skin": {"dark"}},
    "a white man in a black shirt": {"skin": {"pale", "light"}, "top_color": {"black"}},
    "a black-haired white woman": {"skin": {"pale", "light"}, "hair_color": {"black"}},
    "an East Asian man": {"skin": {"light"}},
    "a Latina with an African friend's hat": {"hat": ANY_HAT},
    "a Latina": {"skin": {"tan", "light"}},
    "an African grandmother": {"skin": {"dark"}, "age": {"elderly"}, "sex": {"woman"}},
    "a woman in black": {"top_color": {"black"}},
    "dark-skinned woman with light brown hair": {"skin": {"dark"}, "hair_color": {"brown"}},
    "hair as black as coal, skin pale as snow": {"hair_color": {"black"}, "skin": {"pale"}},
    "a man with black or grey hair": {"hair_color": {"black", "grey"}, "skin": set(VALUES["skin"])},
    "a light-skinned black woman": {"skin": {"light"}},
    "a black doctor in a white coat": {"skin": {"dark"}, "top_color": {"white"}},
    # Comparatives.
    "longer hair": {"hair": {"long straight", "long wavy"}},
    "bigger eyes and darker hair": {"eye_size": {"+"}, "hair_color": {"black", "brown"}},
    # Everyday words, and slips.
    "a man with a berad and blond hiar": {"beard": {"full beard", "chin beard"}, "hair_color": {"blond"}},
    "a bloke with ginger hair and a mohican": {"hair_color": {"red"}, "hair": {"mohawk"}, "sex": {"man"}},
    "a granny with spectacles": {"age": {"elderly"}, "glasses": GLASSES},
    "a lad with a goatee": {"beard": {"chin beard"}},
    "long curly hair": {"hair": {"long wavy"}},
    "a womman with galsses and a grene hat": {"sex": {"woman"}, "glasses": GLASSES, "hat_color": {"green"}},
    "change his hair from black to green": {"hair_color": {"green"}},
}


@pytest.mark.parametrize("prompt", READ)
def test_prompts_are_read_as_they_are_meant(prompt: str) -> None:
    found = understand(prompt)
    for name, values in READ[prompt].items():
        assert set(found.allowed(name)) == values, found.line()


@pytest.mark.parametrize(
    ("prompt", "unsaid"),
    [
        ("a dark blue sweater", "skin"),
        ("a woman with a dark blue sweater and pale blue eyes", "skin"),
        ("a 25-year-old man in a white shirt", "skin"),
        ("a black hat", "skin"),
        ("an old hat", "age"),
        ("round face", "glasses"),
        ("a red-nosed man", "hair_color"),
        ("a woman with red lips", "hair_color"),
        ("a man with a red feather", "hair_color"),
        ("a hat with a red band", "hat_color"),
        ("contact lenses", "glasses"),
        ("a teacher", "beard"),
        ("a single earring", "top"),
        ("a striped shirt", "beard"),
    ],
)
def test_nothing_else_is_read(prompt: str, unsaid: str) -> None:
    assert unsaid not in understand(prompt).named


def test_a_line_says_what_was_understood_and_what_was_not() -> None:
    line = understand("a man with ginger hair, a beard, no glasses and a jewelled parrot").line()
    assert line == "understood: man, red hair (ginger), full beard, no glasses; not read: jewelled, parrot"
    assert (
        understand("a bloke with galsses").line()
        == "understood: man (bloke), round glasses or square glasses (galsses)"
    )


ENGLISH = sorted(word for word in SpellChecker().word_frequency.dictionary if re.fullmatch("[a-z]{4,}", word))


@given(st.sampled_from(ENGLISH).filter(lambda word: word not in DECADES))
@settings(deadline=None, max_examples=300)
def test_a_word_of_english_is_no_slip_of_another(word: str) -> None:
    """It means what it says, or what its stem says, or is named as not read."""
    found = understand(f"a man and {word}")
    assert set(found.unread) <= {word}
    for said in set(found.words.values()) - {"man"}:
        assert any(said.startswith(known[:-1]) for known in known_words() if len(known) > 2), found.line()


@pytest.mark.parametrize(
    "prompt", ["ein Mann mit Brille und Bart", "un homme avec des lunettes", "мужчина и борода", "头像"]
)
def test_other_languages_are_named_as_not_read(prompt: str) -> None:
    found = understand(prompt)
    assert found.named == ()
    assert found.line().startswith("nothing understood (prompts are English); not read: ")
    assert len(found.unread) == len(prompt.split())


def test_it_is_json() -> None:
    found = understand("a man without glasses, a goatee and a parrot")
    assert json.loads(json.dumps(found.to_json())) == {
        "asked": {"sex": ["man"], "age": ["young", "elderly"]},
        "denied": {"glasses": ["round glasses", "square glasses", "sunglasses"], "beard": ["chin beard"]},
        "words": {"sex": "man", "glasses": "glasses", "beard": "goatee"},
        "not_read": ["parrot"],
    }


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_text_is_read_somehow(text: str) -> None:
    found = understand(text)
    for name in found.named:
        assert found.allowed(name), name
        assert set(found.allowed(name)) <= set(VALUES[name])
    found.line()


AGES = ("70", "0", "seventy", "years old", "years", "yo", "aged", "about", "months old", "sixties", ",")


@given(st.lists(st.sampled_from(AGES), max_size=8))
@settings(deadline=None, max_examples=300)
def test_any_ages_are_read_somehow(words: list[str]) -> None:
    assert set(understand(" ".join(words)).allowed("age")) <= set(VALUES["age"])


# ---- denials, composed

THINGS = {
    "a beard": "beard", "a moustache": "beard", "a goatee": "beard", "glasses": "glasses", "sunglasses": "glasses",
    "spectacles": "glasses", "a hat": "hat", "a woolly hat": "hat", "freckles": "freckles", "earrings": "earrings",
    "a fringe": "fringe",
}  # fmt: skip
BARE = {phrase.removeprefix("a "): name for phrase, name in THINGS.items()}
LISTS = ("a man without {}", "a woman who does not have {}", "remove {}", "he is not wearing {}", "they never wear {}",
         "a person lacking {}", "get rid of {}", "she doesn't have {}")  # fmt: skip


def different(names: list[str], table: dict[str, str]) -> bool:
    return len({table[name] for name in names}) == len(names)


@given(
    st.sampled_from(LISTS),
    st.lists(st.sampled_from(sorted(THINGS)), min_size=1, max_size=3).filter(lambda names: different(names, THINGS)),
    st.sampled_from(sorted(THINGS)),
    st.sampled_from((" but with ", ", but ", " and with ", ". He has ")),
)
@settings(deadline=None)
def test_a_denied_list_ends_where_something_is_asked_for(form: str, denied: list[str], asked: str, link: str) -> None:
    joined = " or ".join([", ".join(denied[:-1]), denied[-1]] if len(denied) > 1 else denied)
    found = understand(form.format(joined) + ("" if asked in denied else link + asked))
    for phrase in denied:
        if asked in denied or THINGS[phrase] != THINGS[asked]:
            assert found.allowed(THINGS[phrase]) == (NONE,), found.line()
    if THINGS[asked] not in {THINGS[phrase] for phrase in denied}:
        assert NONE not in found.allowed(THINGS[asked]), found.line()


@given(st.lists(st.tuples(st.sampled_from(sorted(BARE)), st.booleans()), min_size=1, max_size=4))
@settings(deadline=None)
def test_no_reaches_its_noun_alone(things: list[tuple[str, bool]]) -> None:
    """Each thing of a list is there or not, by whether "no" stands before it."""
    things = [one for one in things if BARE[one[0]] not in {BARE[other] for other, _ in things[: things.index(one)]}]
    found = understand("a man with " + ", ".join(f"no {noun}" if absent else f"red {noun}" for noun, absent in things))
    for noun, absent in things:
        assert (found.allowed(BARE[noun]) == (NONE,)) == absent, found.line()


@given(st.sampled_from(sorted(THINGS)), st.sampled_from(LISTS))
def test_saying_it_and_denying_it_is_not_the_same(phrase: str, form: str) -> None:
    name = THINGS[phrase]
    there, missing = understand(f"a man with {phrase}"), understand(form.format(phrase))
    assert NONE not in there.allowed(name)
    assert missing.allowed(name) == (NONE,)


# ---- what the project itself says of avatars


def value_of(recipe: AvatarRecipe, name: str) -> str:
    value = getattr(recipe, name)
    return {True: "yes", False: NONE}.get(value, value)


@given(st.integers(0, 2**31), st.integers(0, 5000), st.booleans())
@settings(deadline=None, max_examples=200)
def test_captions_are_read_back(seed: int, index: int, absences: bool) -> None:
    recipe = make_recipe(seed, index)
    found = understand(make_caption(recipe, absences=absences))
    assert found.unread == ()
    for name in VALUES:
        if name in TRAITS:
            continue
        if name in found.named:
            assert found.allowed(name) == (value_of(recipe, name),), name
        else:  # hidden, or not there
            hidden = name in ("eyes", "hair_color", "glasses_color", "hat_color")
            assert hidden or value_of(recipe, name) == NONE, name
    for name in set(TRAITS) & set(found.named):
        assert (found.allowed(name) == ("+",)) == (getattr(recipe.traits, name) > 0)


@given(st.integers(0, 2**31), st.integers(0, 5000))
@settings(deadline=None, max_examples=60)
def test_paraphrases_say_nothing_false_of_their_recipe(seed: int, index: int) -> None:
    recipe = make_recipe(seed, index)
    for one in descriptions(recipe):
        found = understand(one.text)
        assert found.unread == (), one.text
        for name in found.named:
            if name not in TRAITS:
                assert value_of(recipe, name) in found.allowed(name), one.text
        for name, value in one.named.items():
            assert found.allowed(name)[0] == value, one.text


def test_pairs_of_opposites_are_told_apart() -> None:
    """At least nine in ten of what the forty pairs ask for."""
    pairs = [json.loads(line) for line in (PROMPTS / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(pairs) == 40
    right = [
        set(understand(text).allowed(pair["attribute"])) <= set(values)
        for pair in pairs
        for text, values in zip(pair["texts"], pair["values"], strict=True)
    ]
    assert sum(right) >= 0.9 * len(right)
    assert all(not set(one) & set(other) for pair in pairs for one, other in pairwise(pair["values"]))


def test_new_wordings_are_understood() -> None:
    """At least three quarters of what each attribute is asked for in words that no caption has."""
    prompts = [json.loads(line) for line in (PROMPTS / "new-words.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in ("hair_color", "hair", "skin", "beard", "glasses", "sex", "age", "top_color"):
        named = [one for one in prompts if name in one["attributes"]]
        right = [understand(one["text"]).allowed(name)[0] == one["attributes"][name] for one in named]
        assert sum(right) >= 0.75 * len(right), name


@pytest.mark.parametrize("prompt", LEFT_OPEN)
def test_what_is_left_open_is_neither_asked_for_nor_denied(prompt: str) -> None:
    rest, left_open = LEFT_OPEN[prompt]
    found = understand(prompt)
    for name in left_open.split():
        assert name not in found.asked, found
        assert name not in found.denied, found
    for name, values in rest.items():
        assert set(found.asked[name]) == values
    assert not found.unread
