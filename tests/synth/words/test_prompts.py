"""Contract: the prompts of the repository say exactly what they are marked with: the held-out ones are what the command
makes, each value occurs, and what is marked is in the text; the new words are new to every template.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import rodin.synth
from rodin.synth import recipe
from rodin.synth.recipe import AGES, BEARDS, CLOTH_COLOURS, GLASSES, HAIR, HAIR_COLOURS, SEXES, SKIN_TONES, make_recipe
from rodin.synth.words import caption, paraphrase, synonyms
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import JUDGED, descriptions, paraphrases
from rodin.synth.words.prompts import FEWEST, main, make_prompts
from rodin.synth.words.synonyms import STYLES

FOLDER = Path(__file__).parents[3] / "examples" / "prompts"
VALUES = {
    "hair_color": set(HAIR_COLOURS), "hair": set(HAIR), "skin": set(SKIN_TONES), "beard": {*BEARDS, "none"},
    "glasses": {*GLASSES, "none"}, "sex": set(SEXES), "age": set(AGES), "top_color": set(CLOTH_COLOURS),
}  # fmt: skip
#: What is said of skin; "white" people may be pale or light.
PEOPLE_OR_SKIN = (
    r"\bskin|complexion|\bblack "
    r"((little|young|old|elderly) )?(wo)?(man|girl|boy|kid|child|guy|lady|gentleman|person|"
    r"male|female|character|avatar)|latin[oa]|hispanic|african|south asian"
)
#: Words that describe nothing.
COMMON = set(
    re.findall(
        r"\w+",
        """a an the and or of in on to at by with without no not any two his her him she he is are was be as
    that who whose its their my from into under below behind up down only very""",
    )
)


def prompts(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def test_held_out_prompts_are_what_the_command_makes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["prompts", "--seed", "2028", "--count", "200"])
    main()
    assert capsys.readouterr().out == (FOLDER / "held-out.jsonl").read_text(encoding="utf-8")


def test_every_value_that_words_can_name_is_asked_for() -> None:
    chosen = make_prompts(seed=3, count=120)
    assert len({one.text for one in chosen}) == 120
    assert min(len(one.named) for one in chosen) >= FEWEST
    for name in JUDGED:
        counts = {value: sum(one.named.get(name) == value for one in chosen) for value in VALUES[name] - {"none"}}
        assert min(counts.values()) >= 4, counts


def test_what_is_named_is_the_recipe_s_and_stands_in_the_text() -> None:
    """Words that can stand for one attribute alone decide, in both directions."""
    beards = {"full beard": "beard", "moustache": "mo?ustache", "chin beard": "beard"}
    for index in range(300):
        recipe = make_recipe(7, index)
        for one in descriptions(recipe, 8):
            text = one.text.lower()
            assert all(getattr(recipe, name) == value for name, value in one.named.items())
            assert ("sex" in one.named) == bool(
                re.search(r"\b(wo)?man\b|\bguy|gentleman|male\b|lady|\bboy|\bgirl", text)
            ), text
            assert ("skin" in one.named) == bool(re.search(PEOPLE_OR_SKIN, text)), text
            assert ("beard" in one.named) == bool(re.search("beard|mo?ustache|clean-shaven", text)), text
            assert (
                "beard" not in one.named or one.named["beard"] == "none" or re.search(beards[one.named["beard"]], text)
            ), text
            if "hair" in one.named:
                words = {word for form in STYLES[recipe.hair] for word in re.findall(r"[a-z]+", form)} - COMMON
                assert words & set(re.findall("[a-z]+", text)), text
            if "glasses" in one.named:
                assert re.search("round|square|sunglasses|shades|(no|without|or) ([a-z, ]*)glasses", text), text


def test_long_hair_is_no_style_and_glasses_no_shape() -> None:
    found = [one for index in range(400) for one in descriptions(make_recipe(8, index), 8)]
    long = [
        one
        for one in found
        if re.search(r"\blong ([a-z]+[ -])?([a-z]+ )?hair\b", one.text)
        and not re.search("straight|long [a-z -]*face", one.text)
    ]
    assert long
    assert all(one.named.get("hair") in (None, "long wavy") for one in long)
    plain = [one for one in found if re.search(r"(with|,|and|has) glasses\b(?! with)", one.text)]
    assert plain
    assert all("glasses" not in one.named for one in plain)


def template_words() -> set[str]:
    """All words of the modules that captions and paraphrases are made by, and of some thousand of these."""
    texts = [make_caption(make_recipe(1, index)) for index in range(500)]
    texts += [text for index in range(500) for text in paraphrases(make_recipe(1, index))]
    folder = Path(rodin.synth.__file__).parent
    for name in ("words/caption.py", "words/synonyms.py", "words/paraphrase.py", "recipe.py"):
        tree = ast.parse((folder / name).read_text(encoding="utf-8"))
    """All words of the modules that captions and paraphrases are made by, and of thousands of these."""
    texts = [make_caption(make_recipe(1, index)) for index in range(200)]
    texts += [text for index in range(200) for text in paraphrases(make_recipe(1, index))]
    for module in (caption, synonyms, paraphrase, recipe):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        prose = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, ast.Module)}
        texts += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in prose
        ]
    return {word for text in texts for word in re.findall("[a-z]+", text.lower())}


def test_new_words_are_new_and_name_values_that_exist() -> None:
    known = template_words() | COMMON
    assert {"copper", "plaits", "quiff", "lady"} < known
    found = prompts("new-words.jsonl")
    assert len({one["text"] for one in found}) == len(found) >= 80
    for one in found:
        assert set(one) == {"text", "attributes"}
        assert set(re.findall("[a-z]+", one["text"].lower())) - known, one["text"]
        assert one["attributes"]
        for name, value in one["attributes"].items():
            assert value in VALUES[name], one
    for name in JUDGED:
        assert sum(name in one["attributes"] for one in found) >= 10, name
