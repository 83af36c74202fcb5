"""Contract of rodin.files: what is written is whole or not there, and nothing else is left; what is read and cannot be
used is a UserError of one line that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from rodin.errors import UserError
from rodin.files import atomic_path, check_settings, plain, read_json, write_json, write_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, hidden files too."""
    return {str(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in folder.rglob("*")}


# ---- writing


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("old", ["nothing", "same kind"])
def test_a_success_replaces_and_leaves_nothing_else(tmp_path: Path, kind: str, old: str) -> None:
    target = tmp_path / "deep" / "place.bin"
    for content in ("first", "second") if old == "same kind" else ("second",):
        with atomic_path(target) as temporary:
            assert temporary.suffix == ".bin", "writers choose their format by it"
            if kind == "file":
                temporary.write_text(content)
            else:
                temporary.mkdir()
                (temporary / content).write_text(content)
    expected = {"deep": None, "deep/place.bin": b"second"}
    if kind == "folder":
        expected = {"deep": None, "deep/place.bin": None, "deep/place.bin/second": b"second"}
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("name", ["replaced", "old-replaced", ".hidden", "with space", "ü.json"])
def test_no_name_is_special(tmp_path: Path, name: str) -> None:
    for content in ("first", "second"):
        with atomic_path(tmp_path / name) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert set(contents(tmp_path)) == {name, f"{name}/second"}


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt, RuntimeError("ours"), ValueError("ours"), OSError(28, "No space")]
)
@pytest.mark.parametrize("old", ["nothing", "file", "folder"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, failure: Any, old: str) -> None:
    target = tmp_path / "place"
    if old == "file":
        target.write_text("old")
    elif old == "folder":
        target.mkdir()
        (target / "inner").write_text("old")
    before = contents(tmp_path)
    expected = UserError if isinstance(failure, OSError) else failure if isinstance(failure, type) else type(failure)
    with pytest.raises(expected), atomic_path(target) as temporary:  # noqa: PT012 - the block is what fails
        temporary.write_text("half")
        raise failure
    assert contents(tmp_path) == before


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "inner").write_text("old")
    with pytest.raises(UserError, match="place: not written"):
        write_text(tmp_path / "place", "new")
    assert contents(tmp_path) == {"place": None, "place/inner": b"old"}


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/below: cannot be written \(.+\); choose"):
        write_text(tmp_path / "file" / "below", "text")
    with pytest.raises(UserError, match=r"^/proc/none/below: cannot be written"):
        write_text(Path("/proc/none/below"), "text")


def _save_state(path: Path) -> None:
    torch.save({"x": torch.zeros(20_000)}, path)


def _save_picture(path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(path)


WRITERS = {
    "a.txt": lambda path: path.write_text("x" * 20_000),
    "a.safetensors": lambda path: save_file({"x": torch.zeros(20_000)}, path),
    "a.pt": _save_state,
    "a.png": _save_picture,
    "a.gif": _save_picture,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_the_users_to_mend(tmp_path: Path, full_disk: Any, name: str) -> None:
    (tmp_path / name).write_text("old")
    with full_disk(4096), pytest.raises(UserError) as caught, atomic_path(tmp_path / name) as temporary:
        WRITERS[name](temporary)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: not written (")
    assert message.endswith("free some space or choose another folder")
    assert "\n" not in message
    assert contents(tmp_path) == {name: b"old"}


# ---- JSON


@given(value=JSON)
@same_folder
def test_json_round_trip(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


@given(content=st.binary(max_size=60))
@same_folder
def test_any_bytes_are_json_or_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    try:
        read_json(path)
    except UserError as error:
        assert str(error).startswith(f"{path}: not valid JSON (")  # noqa: PT017 - whether it fails is open


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json: not valid JSON \(.+\); write the file again"):
        read_json(path)


def test_missing_and_unreadable_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: no such file; check the path"):
        read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_json(tmp_path)


SETTINGS = {"rate": 0.5, "sizes": (1, 2), "name": None}


def test_settings_are_compared_with_those_noted(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    check_settings(path, SETTINGS, "the run has", "choose another")
    assert not path.exists(), "nothing is noted by looking"
    write_json(path, plain(SETTINGS))
    check_settings(path, SETTINGS, "the run has", "choose another")
    with pytest.raises(UserError, match=r"settings.json: the run has sizes \[1, 2\], not \[1, 3\]; choose another"):
        check_settings(path, {**SETTINGS, "sizes": (1, 3)}, "the run has", "choose another")
    with pytest.raises(UserError, match="the run has seed None, not 7"):
        check_settings(path, {**SETTINGS, "seed": 7}, "the run has", "choose another")
    write_json(path, plain({**SETTINGS, "seed": 7}))
    with pytest.raises(UserError, match="the run has seed 7, not None"):
        check_settings(path, SETTINGS, "the run has", "choose another")


@pytest.mark.parametrize("content", ["[]", "5", "null", "{", ""])
def test_damaged_settings_are_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"settings.json: (expected a mapping|not valid JSON)"):
        check_settings(path, SETTINGS, "the run has", "choose another")
