"""Contract: prompts are read as they are written, and what cannot be judged is refused by file, line and value."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rodin.camera import orbit
from rodin.errors import UserError
from rodin.evaluate.prompts import Prompt, caption_prompts, learnable, mentioned, read_prompts
from rodin.evaluate.subjects import RealSet

TRAINING = [{"hair": "red", "hat": True}, {"hair": "black", "hat": False}]
GOOD = '{"text": "a redhead", "attributes": {"hair": "red"}}'


def write(folder: Path, *lines: str, name: str = "some.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines))
    return path


def test_files_are_sets_by_their_names(tmp_path: Path) -> None:
    other = '{"text": "hatted", "attributes": {"hat": true}}'
    sets = read_prompts([write(tmp_path, GOOD, "", other), write(tmp_path, GOOD, name="b.jsonl")], TRAINING)
    assert [one.name for one in sets] == ["some", "b"]
    assert sets[0].prompts == [Prompt("a redhead", {"hair": "red"}), Prompt("hatted", {"hat": "True"})]
    assert (sets[0].texts, sets[0].truth) == (["a redhead", "hatted"], [{"hair": "red"}, {"hat": "True"}])
    assert read_prompts([], TRAINING) == []


def test_any_of_several_values_and_pairs_of_opposites(tmp_path: Path) -> None:
    either = '{"text": "hair", "attributes": {"hair": ["red", "black"]}}'
    pair = '{"texts": ["with a hat", "without"], "attribute": "hat", "values": [[true], [false]]}'
    (found,) = read_prompts([write(tmp_path, either, pair)], TRAINING)
    assert found.prompts == [
        Prompt("hair", {"hair": ("red", "black")}),
        Prompt("with a hat", {"hat": ("True",)}),
        Prompt("without", {"hat": ("False",)}),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not valid JSON"),
        ("[]", "line 2: expected"),
        ('{"text": "a"}', "line 2: expected"),
        ('{"text": "a", "attributes": {}, "note": 1}', "line 2: expected"),
        ('{"text": " ", "attributes": {}}', "line 2: text is ' '"),
        ('{"text": "a", "attributes": []}', r"line 2: attributes is \[\]"),
        ('{"text": "a", "attributes": {"hair": "green"}}', "line 2: hair is 'green'; .* black, red"),
        ('{"text": "a", "attributes": {"shoe": "red"}}', "line 2: shoe is 'red'; .* none"),
        ('{"text": "a", "attributes": {"hair": ["red", "green"]}}', "line 2: hair is 'green'; .* black, red"),
        ('{"text": "a", "attributes": {"hair": []}}', r"line 2: hair is \[\]"),
        ('{"texts": ["a"], "attribute": "hair", "values": [["red"]]}', "line 2: expected two texts"),
        ('{"texts": ["a", "b"], "attribute": 3, "values": [["red"], ["red"]]}', "line 2: attribute is 3"),
        ('{"texts": ["a", ""], "attribute": "hair", "values": [["red"], ["red"]]}', "line 2: text is ''"),
        ('{"texts": ["a", "b"], "attribute": "hair", "values": [["red"], ["blue"]]}', "line 2: hair is 'blue'"),
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_prompts([write(tmp_path, GOOD, line)], TRAINING)


def test_what_not_all_training_subjects_tell_is_refused(tmp_path: Path) -> None:
    some = [*TRAINING, {"beard": "goatee"}]
    line = '{"text": "a goatee", "attributes": {"beard": "goatee"}}'
    with pytest.raises(UserError, match=f"line 1: {len(TRAINING)} of {len(some)} training subjects have no beard"):
        read_prompts([write(tmp_path, line)], some)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(UserError, match="'some' is taken"):
        read_prompts([path, path], TRAINING)
    with pytest.raises(UserError, match="cannot be read"):
        read_prompts([tmp_path / "none.jsonl"], TRAINING)
    with pytest.raises(UserError, match="holds no prompts"):
        read_prompts([write(tmp_path, "")], TRAINING)


def test_captions_name_what_they_say_and_can_be_learned() -> None:
    training = [{"hair": word, "size": 1.0, "kind": "x"} for word in ("red", "black") * 2]
    captions = ["a woman with red hair", "a woman with a red hat", "a man with green hair", ""]
    attributes = [{"hair": "red"}, {"hair": "black"}, {"hair": "green"}, {}]
    folders, cameras = [Path(f"s{k}") for k in range(4)], [orbit([0.0], [0.0], size=4)] * 4
    real = RealSet(folders, torch.zeros(4, 1, 4, 4, 4), cameras, captions, attributes)
    found = caption_prompts(real, training, 3)
    assert found.name == "captions"
    assert found.prompts == [Prompt(captions[0], {"hair": "red"}), Prompt(captions[1], {}), Prompt(captions[2], {})]
    with pytest.raises(UserError, match="s3: has no caption"):
        caption_prompts(real, training, 4)


def test_what_can_be_learned_is_told_from_what_cannot() -> None:
    some = [{"colour": c, "luck": k, "size": 1.0, "kind": "x", "name": f"n{c}{k}"} for c in "ab" for k in (True, False)]
    assert learnable(some) == ["colour", "luck"]
    assert learnable([*some, {}]) == []
    assert learnable([]) == []


@pytest.mark.parametrize(
    ("caption", "name", "value", "expected"),
    [
        ("an old man with a full beard", "beard", "full beard", True),
        ("an old man with a full beard", "beard", "beard", True),
        ("a woman", "sex", "man", False),  # words, not letters
        ("a woman with freckles", "freckles", True, True),
        ("a woman with freckles", "freckles", False, False),
        ("a woman wearing a T-shirt", "top", "t-shirt", True),
        ("a woman with long hair", "long_hair", True, True),
        ("a woman", "glasses", "none", False),
    ],
)
def test_mentioned(caption: str, name: str, value: object, expected: bool) -> None:
    assert mentioned(caption, name, value) is expected
