"""Contract: `rodin describe` reads the attributes of any folder of subjects, prints how often each value occurs and the
pairs that depend most, and names a file that it cannot read in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rodin.cli.main import main
from rodin.data.attributes import MANY
from rodin.data.describe import SHOWN, describe, read_attributes
from rodin.errors import UserError
from rodin.synth.recipe import make_recipe


def write(folder: Path, attributes: object) -> Path:
    """A subject folder that has nothing but attributes."""
    folder.mkdir(parents=True)
    (folder / "transforms.json").write_text(json.dumps({"frames": [], "attributes": attributes}))
    return folder.parent


def cells(text: str) -> list[list[str]]:
    """The rows of all tables in Markdown."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_folder_of_subjects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(40):
        glasses = "none" if k % 4 == 0 else "round"
        hat = "cap" if k < 10 else "fedora"
        write(tmp_path / f"{k:03d}", {"glasses": glasses, "glasses_color": "red", "hat": hat, "old": k < 10, "size": k})
    write(tmp_path / "empty", None)
    main(["describe", str(tmp_path)])
    text = capsys.readouterr().out
    assert text.startswith("41 subjects\n")
    rows = cells(text)
    for row in (
        ["glasses (of 40)", "round 30 (75 %), none 10 (25 %)"],
        ["glasses_color (of 30)", "red 30 (100 %)"],
        ["hat (of 40)", "fedora 30 (75 %), cap 10 (25 %)"],
        ["old (of 40)", "no 30 (75 %), yes 10 (25 %)"],
        ["size (of 40)", "mean 19.5, 0 to 39"],
    ):
        assert row in rows
    strongest = rows[rows.index(["pair", "V", "chance", "subjects", "most unusual"]) + 2]
    assert strongest[0] == "hat and old"
    assert strongest[1] == "1.00*"
    assert strongest[3] == "40"
    assert strongest[4] == "hat = cap & old = yes: 10 times, 2.5 expected"


def test_the_recipes_table() -> None:
    """Every attribute has a row; the ten strongest pairs are shown and the others summed up."""
    subjects = [make_recipe(1, index).attributes() for index in range(200)]
    text = describe(subjects)  # type: ignore[arg-type]
    rows = cells(text)
    break_ = rows.index(["pair", "V", "chance", "subjects", "most unusual"])
    names = {row[0].split(" (of ")[0] for row in rows[:break_]}
    assert set(subjects[0]) <= names
    assert len(rows[break_ + 2 :]) == SHOWN
    strengths = [float(row[1].strip("*")) for row in rows[break_ + 2 :]]
    assert strengths == sorted(strengths, reverse=True)
    assert "The other " in text


def test_what_a_user_writes_stays_in_its_cell(tmp_path: Path) -> None:
    subjects = [{"na|me": "two\nlines | and a bar", "other": "x" * 500, "id": f"{k}"} for k in range(MANY + 1)]
    rows = cells(describe(subjects))  # type: ignore[arg-type]
    assert ["na/me", f"two lines / and a bar {MANY + 1} (100 %)"] in rows
    assert ["id", f"{MANY + 1} different"] in rows
    assert max(len(cell) for row in rows for cell in row) < 100


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, float("nan"), float("inf"), 10**400])
def test_an_attribute_that_is_none(tmp_path: Path, value: object) -> None:
    write(tmp_path / "000", {"hair": value})
    with pytest.raises(UserError, match=r"transforms\.json: attribute hair is .*; give a word, a number") as caught:
        read_attributes(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_described(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_attributes(tmp_path / "nowhere")
    write(tmp_path / "none" / "000", None)
    with pytest.raises(UserError, match="no subject has attributes"):
        read_attributes(tmp_path / "none")
    write(tmp_path / "list" / "000", ["beard"])
    with pytest.raises(UserError, match="attributes is list; give a JSON object"):
        read_attributes(tmp_path / "list")
    (tmp_path / "none" / "000" / "transforms.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_attributes(tmp_path / "none")
