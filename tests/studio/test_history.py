"""Contract of rodin.studio.history: what was drawn is there after a restart, whole or not at all, for its owner alone;
nothing is ever overwritten."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.errors import UserError
from rodin.files import read_json
from rodin.studio.history import History

FACTS: dict[str, Any] = {
    "kind": "edit",
    "understood": "understood: man",
    "drawn": {"hat": "fedora"},
    "unread": ("parrot",),
    "parent": "another",
    "edit": "red hair",
}


def test_it_survives_a_restart(tmp_path: Path, of_materials: Avatar) -> None:
    first = History(tmp_path / "studio", 10)
    records = [first.add(person, of_materials, FACTS) for person in ("one", "other", "one")]
    first.close()
    again = History(tmp_path / "studio", 10)
    assert again.of("one") == [records[2], records[0]], "the newest first"
    assert again.of("other") == [records[1]]
    assert again.of("nobody") == []
    assert again.get(records[0].id) == records[0]
    assert torch.equal(again.avatar(records[0].id).planes, of_materials.planes)
    assert records[0].materials == ("skin", "hair", "top")
    assert records[0].palette["skin"] == "#" + "".join(
        f"{round(value * 255):02x}"
        for value in of_materials.palette[0].tolist()  # type: ignore[index]
    )


def test_nobody_but_the_owner_of_the_machine_reads_the_folder(tmp_path: Path, of_materials: Avatar) -> None:
    (tmp_path / "studio").mkdir(mode=0o755)
    history = History(tmp_path / "studio", 10)
    record = history.add("a secret cookie", of_materials, FACTS)
    for folder in (tmp_path / "studio", tmp_path / "studio" / "avatars"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    written = b"".join(path.read_bytes() for path in (tmp_path / "studio").rglob("*") if path.is_file())
    assert b"a secret cookie" not in written, "who reads it could act as that person"
    assert len(record.id) >= 22


def test_an_avatar_without_its_record_was_never_there(
    tmp_path: Path, of_materials: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path / "studio", 10)

    def full(*_: Any) -> None:
        raise UserError("not written (the disk is full)")

    monkeypatch.setattr("rodin.studio.history.write_json", full)
    with pytest.raises(UserError, match="the disk is full"):
        history.add("one", of_materials, FACTS)
    assert history.of("one") == []
    assert list((tmp_path / "studio" / "avatars").iterdir()) == []
    history.close()
    assert History(tmp_path / "studio", 10).of("one") == []


@pytest.mark.parametrize("damage", ["{", "[]", '{"id": "other"}', ""])
def test_a_damaged_record_costs_that_avatar_alone(tmp_path: Path, of_materials: Avatar, damage: str) -> None:
    history = History(tmp_path / "studio", 10)
    damaged, whole = (history.add("one", of_materials, FACTS) for _ in range(2))
    history.close()
    (tmp_path / "studio" / "avatars" / f"{damaged.id}.json").write_text(damage)
    assert History(tmp_path / "studio", 10).of("one") == [whole]


def test_a_damaged_avatar_is_said_without_its_place(tmp_path: Path, of_materials: Avatar) -> None:
    history = History(tmp_path / "studio", 10)
    record = history.add("one", of_materials, FACTS)
    history.close()
    history.file(record.id).write_bytes(b"half")
    with pytest.raises(UserError, match="damaged") as caught:
        History(tmp_path / "studio", 10).avatar(record.id)
    assert str(tmp_path) not in str(caught.value)


def test_two_studios_do_not_share_a_folder(tmp_path: Path) -> None:
    first = History(tmp_path / "studio", 10)
    with pytest.raises(UserError, match="another studio uses it"):
        History(tmp_path / "studio", 10)
    first.close()
    History(tmp_path / "studio", 10).close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"^{tmp_path}/file/studio: cannot be used"):
        History(tmp_path / "file" / "studio", 10)


def test_removing_leaves_nothing(tmp_path: Path, of_materials: Avatar) -> None:
    history = History(tmp_path / "studio", 10)
    gone, stays = (history.add("one", of_materials, FACTS) for _ in range(2))
    history.remove(gone.id)
    assert history.of("one") == [stays]
    assert history.get(gone.id) is None
    names = {path.name for path in (tmp_path / "studio" / "avatars").iterdir()}
    assert names == {f"{stays.id}{suffix}" for suffix in (SUFFIX, ".png", ".json")}


def test_it_is_bounded(tmp_path: Path, of_materials: Avatar) -> None:
    history = History(tmp_path / "studio", 2)
    assert not history.full
    for _ in range(2):
        history.add("one", of_materials, FACTS)
    assert history.full
    assert read_json(next((tmp_path / "studio" / "avatars").glob("*.json")))["kind"] == "edit"
