"""Contract of rodin.storage: a URL does what a folder does, a file is there whole or not at all, and what is wrong with
an address, its library or its storage is one line with a remedy. Shards are read from a URL as from a folder.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path

import fsspec
import pytest
import torch
from fsspec.registry import known_implementations

from rodin.data.shards import FittedSubject, read_index, read_shards, write_shards
from rodin.errors import UserError
from rodin.storage import (
    Place,
    Url,
    as_place,
    at_hand,
    names_in,
    open_file,
    put_folder,
    read_json,
    remove,
    size_of,
    written,
)


@pytest.fixture
def bucket() -> Url:
    """A place in memory that no other test has."""
    return Url(f"memory://{uuid.uuid4().hex}")


@pytest.fixture(params=["folder", "memory"])
def somewhere(request: pytest.FixtureRequest, tmp_path: Path, bucket: Url) -> Place:
    return bucket if request.param == "memory" else tmp_path / "somewhere"


def put(file: Path, place: Place) -> None:
    with written(place) as temporary:
        shutil.copy(file, temporary)


def test_what_an_argument_means(tmp_path: Path) -> None:
    assert as_place("some/folder") == Path("some/folder")
    assert as_place("file:///with%20blank/x") == Path("/with blank/x")
    assert as_place(tmp_path) is tmp_path
    url = as_place("s3://bucket/set/")
    assert (str(url / "a"), url.name, str(url.parent)) == ("s3://bucket/set/a", "set", "s3://bucket")
    assert str(Url("s3://bucket").parent) == "s3://bucket"


def test_a_file_comes_back_as_it_was_put(somewhere: Place, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b'{"a": 1}')
    target = somewhere / "inner" / "file.json"
    assert (target.is_file(), names_in(somewhere)) == (False, [])
    for _ in range(2):  # the second replaces the first
        put(tmp_path / "new", target)
    assert (target.is_file(), names_in(somewhere), names_in(target.parent)) == (True, ["inner"], ["file.json"])
    assert (size_of(target), read_json(target)) == (8, {"a": 1})
    with open_file(target) as file:
        assert file.read() == b'{"a": 1}'
    with at_hand(target) as copy:
        assert copy.read_bytes() == b'{"a": 1}'
    for _ in range(2):
        remove(target)
    assert not target.is_file()


def test_a_file_that_could_not_be_put_whole_is_not_there(
    bucket: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a storage that is none of the object stores, which put at once: there it gets its name last."""
    monkeypatch.setattr("rodin.storage.PUTS_WHOLE", ())
    (tmp_path / "new").write_bytes(b"whole")
    put(tmp_path / "new", bucket / "one")
    assert names_in(bucket) == ["one"]
    system = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(system, "mv", lambda *given, **named: (_ for _ in ()).throw(OSError("the line is dead")))
    with pytest.raises(UserError, match=r"two: cannot be written \(OSError the line is dead\); check address, network"):
        put(tmp_path / "new", bucket / "two")
    assert "two" not in names_in(bucket)


def test_a_folder_is_fetched_with_all_that_is_in_it(bucket: Url, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"x")
    for name in ("a", "inner/b"):
        put(tmp_path / "new", bucket / "set" / name)
    put(tmp_path / "new", bucket / "settle" / "other")
    with at_hand(bucket / "set") as copy:
        assert copy.name == "set"
        assert sorted(str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file()) == ["a", "inner/b"]
    assert not copy.exists()
    with pytest.raises(UserError, match=rf"^{bucket}/set/a: is bad$"), at_hand(bucket / "set") as copy:
        raise UserError(f"{copy / 'a'}: is bad")
    missing = pytest.raises(UserError, match="nothing: no such file or folder; check the address")
    with missing, at_hand(bucket / "nothing"):
        pass


def test_what_finishes_a_folder_is_put_last(bucket: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "index.json", "z"):
        (tmp_path / name).write_bytes(b"x")
    system, seen = type(fsspec.filesystem("memory")), []
    put_file = system.put_file
    monkeypatch.setattr(system, "put_file", lambda self, a, b, **named: (seen.append(b), put_file(self, a, b, **named)))
    put_folder(tmp_path, bucket / "set", last="index.json")
    assert [name.rpartition("/")[2] for name in seen] == ["a", "z", "index.json"]


def test_a_block_that_fails_puts_nothing(somewhere: Place) -> None:
    with contextlib.suppress(RuntimeError), written(somewhere / "file") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert names_in(somewhere) == []


def test_what_is_wrong_with_an_address_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^s4://bucket/x: .*give a folder, or a URL that fsspec knows"):
        names_in(Url("s4://bucket/x"))
    monkeypatch.setitem(known_implementations, "store", {"class": "storefs.System", "err": "Install storefs"})
    with pytest.raises(UserError, match=r"^store://x: no library for store:// is installed; pip install storefs$"):
        names_in(Url("store://x"))
    with pytest.raises(UserError, match=r"^memory://none/x: no such file or folder"), open_file(Url("memory://none/x")):
        pass


def _subjects() -> list[FittedSubject]:
    return [
        FittedSubject(f"s{k}", torch.full((3, 2, 4, 4), float(k)), "a ball", torch.zeros(4, 4, 4), psnr=30.0, ssim=0.9)
        for k in range(3)
    ]


def test_shards_are_read_from_a_url_and_checked(bucket: Url, tmp_path: Path) -> None:
    write_shards(tmp_path / "set", _subjects(), decoder_hash="d" * 64, per_shard=2)
    for path in (tmp_path / "set").iterdir():
        put(path, bucket / "set" / path.name)
    assert read_index(f"{bucket}/set") == read_index(tmp_path / "set")
    read = list(read_shards(f"{bucket}/set", decoder_hash="d" * 64))
    assert [one.name for one in read] == ["s0", "s1", "s2"]
    assert all(torch.equal(one.planes, other.planes) for one, other in zip(read, _subjects(), strict=True))
    damaged = tmp_path / "damaged"
    shutil.copy(tmp_path / "set" / "planes-00001.tar", damaged)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:700] + bytes([whole[700] ^ 1]) + whole[701:])
    put(damaged, bucket / "set" / "planes-00001.tar")
    with pytest.raises(UserError, match=rf"^{bucket}/set/planes-00001\.tar: damaged \(checksum"):
        list(read_shards(f"{bucket}/set"))
    damaged.write_bytes(whole[:-1])
    put(damaged, bucket / "set" / "planes-00001.tar")
    with pytest.raises(UserError, match=rf"planes-00001\.tar: {len(whole) - 1} bytes, {len(whole)} were written"):
        read_shards(f"{bucket}/set")
    remove(bucket / "set" / "planes-00001.tar")
    with pytest.raises(UserError, match=r"planes-00001\.tar: this shard is missing"):
        read_shards(f"{bucket}/set")
    with pytest.raises(UserError, match=rf"^{bucket}/none/index\.json: no such file; give a folder of fitted planes"):
        read_shards(f"{bucket}/none")
