"""Contract: `rodin synth-words` brings captions and paraphrases of a rendered set up to date and touches nothing else;
of another recipe it changes nothing and says so in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rodin.cli.main import main
from rodin.files import read_json, write_json
from rodin.synth.cameras import camera_poses
from rodin.synth.recipe import make_recipe
from rodin.synth.subject import folder_name, write_transforms
from rodin.synth.words import WORDS_VERSION
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import paraphrases

SEED, COUNT = 17, 3


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A set as `generate` leaves it, but for its pictures."""
    for index in range(COUNT):
        folder = tmp_path / folder_name(index)
        write_transforms(folder, make_recipe(SEED, index), camera_poses(SEED, index, 2, 32), 32)
    return tmp_path


def record(data: Path, index: int) -> Path:
    return data / f"{index:05d}" / "transforms.json"


def changed(path: Path, **values: Any) -> dict[str, Any]:
    """Write these values into a JSON file, and return what it holds then."""
    document = read_json(path) | values
    write_json(path, document)
    return document


def fails(data: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["synth-words", str(data)])
    assert ended.value.code == 2
    last = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    return last.removeprefix("rodin: ")


def test_a_set_knows_the_version_of_its_words(finished: Path) -> None:
    assert read_json(record(finished, 0))["words"] == WORDS_VERSION


def test_old_words_become_new_and_all_else_stays(finished: Path) -> None:
    new = record(finished, 1).read_bytes()
    old = changed(record(finished, 1), caption="somebody", captions=["a person"], words="0", camera_angle_x=0.25)
    before = record(finished, 0).stat().st_mtime_ns
    main(["synth-words", str(finished)])
    found = read_json(record(finished, 1))
    recipe = make_recipe(SEED, 1)
    assert (found["caption"], found["captions"]) == (make_caption(recipe), paraphrases(recipe))
    assert found["words"] == WORDS_VERSION
    assert list(found) == list(old)
    assert {**found, "caption": "somebody", "captions": ["a person"], "words": "0"} == old
    assert record(finished, 0).stat().st_mtime_ns == before, "what is new is not written again"
    changed(record(finished, 1), camera_angle_x=json.loads(new)["camera_angle_x"])
    assert record(finished, 1).read_bytes() == new
    assert not list(finished.rglob(".writing-*"))


def test_the_second_time_nothing_is_written(finished: Path) -> None:
    changed(record(finished, 2), caption="somebody")
    main(["synth-words", str(finished)])
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    main(["synth-words", str(finished)])
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_another_recipe_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(finished, 1)
    attributes = read_json(path)["attributes"]
    changed(path, attributes=attributes | {"nose_width": 9.0}, caption="somebody", generator="rodin-synth 3")
    before = path.read_bytes()
    line = fails(finished, capsys)
    assert line.startswith(f"{path}: was made by another version of the recipe (rodin-synth 3); ")
    assert path.read_bytes() == before


@pytest.mark.parametrize("document", [[], {"frames": []}, {"seed": -1, "index": 0}, {"seed": "1", "index": 0}])
def test_a_capture_is_no_synthetic_subject(
    tmp_path: Path, document: object, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(record(tmp_path, 0), document)
    assert fails(tmp_path, capsys).startswith(f"{record(tmp_path, 0)}: has no seed and index")


def test_a_folder_without_subjects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(tmp_path, capsys).startswith(f"{tmp_path}: holds no subjects of rodin synth; ")
    assert "nothing" in fails(tmp_path / "nothing", capsys)
