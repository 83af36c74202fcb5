"""Contract of rodin.checksums: a flipped bit anywhere in what Rodin wrote is one line wherever it is read, or where
`rodin verify` looks; what has no checksum is read as before; the same content makes the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rodin import checksums
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Drawing
from rodin.cli.main import main
from rodin.cli.verification import verify
from rodin.data.shards import FittedSubject, read_shards, read_subject, write_shards, write_subject
from rodin.errors import UserError
from rodin.models.folder import load_model
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.parts import load_component, save_component
from rodin.render.decoder import Decoder, DecoderConfig

on_files = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
places = st.floats(0, 1, exclude_max=True), st.integers(0, 7)


def flipped(path: Path, place: float, bit: int) -> bytes:
    """Flip a bit of a file; what it was."""
    before = path.read_bytes()
    data = bytearray(before)
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    return before


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / f"one{SUFFIX}"
    decoder = Decoder(DecoderConfig(channels=4, hidden=16))
    refiner = Refiner(RefinerConfig(channels=4, width=8, blocks=1, scale=2))
    noise = torch.zeros(3, 4, 4, 4)
    Avatar(torch.randn(3, 4, 8, 8), decoder, refiner, torch.randn(512), noise, Drawing(seed=0), "hash").save(path)
    return path


def fitted(name: str) -> FittedSubject:
    return FittedSubject(name, torch.randn(3, 4, 8, 8), "a ball", torch.rand(8, 8, 4), 30.0, 0.9)


@given(*places)
@on_files
def test_avatars(avatar: Path, place: float, bit: int) -> None:
    before = flipped(avatar, place, bit)
    with pytest.raises(UserError, match=rf"one{SUFFIX}: "):
        Avatar.load(avatar)
    with pytest.raises(UserError, match="1 of 1 files are damaged"):
        verify(avatar.parent)
    avatar.write_bytes(before)
    Avatar.load(avatar)


@given(*places)
@on_files
def test_fitted_subjects(tmp_path: Path, place: float, bit: int) -> None:
    path = tmp_path / "one.safetensors"
    if not path.exists():
        write_subject(path, fitted("one"))
    before = flipped(path, place, bit)
    with pytest.raises(UserError, match=r"one\.safetensors: not a whole file of a fitted subject"):
        read_subject(path)
    path.write_bytes(before)
    read_subject(path)


@pytest.mark.parametrize("name", ["planes-00000.tar", "index.json", checksums.NAME])
@given(*places)
@on_files
def test_shards(tmp_path: Path, name: str, place: float, bit: int) -> None:
    folder = tmp_path / "planes"
    if not folder.exists():
        write_shards(folder, [fitted("one"), fitted("two")], decoder_hash="hash", per_shard=2)
    before = flipped(folder / name, place, bit)
    damaged = _raises(lambda: list(read_shards(folder)))
    same = _meaning(folder / name, before)
    assert damaged or same
    if not same:
        with pytest.raises(UserError, match="damaged"):
            verify(folder)
    (folder / name).write_bytes(before)
    assert len(list(read_shards(folder))) == 2


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", checksums.NAME])
@given(*places)
@on_files
def test_parts(tmp_path: Path, name: str, place: float, bit: int) -> None:
    folder = tmp_path / "decoder"
    if not folder.exists():
        save_component(Decoder(DecoderConfig(channels=4, hidden=16)), folder)
    before = flipped(folder / name, place, bit)
    assert _raises(lambda: load_component(Decoder, DecoderConfig, folder)) or _meaning(folder / name, before)
    (folder / name).write_bytes(before)
    load_component(Decoder, DecoderConfig, folder)


def _raises(read: Callable[[], object]) -> bool:
    try:
        read()
    except UserError as error:
        return "\n" not in str(error)
    return False


def _meaning(path: Path, before: bytes) -> bool:
    """Whether the flip left what the file says: white space, and the same sums under names that nobody asks for."""
    if path.name != checksums.NAME:
        return False
    try:
        return bool(json.loads(path.read_bytes()) == json.loads(before))
    except ValueError:
        return False


def test_every_file_of_a_model(trained: Path, tmp_path: Path) -> None:
    """One byte in the middle of each."""
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    for path in sorted(model.rglob("*")):
        if path.is_file():
            before = flipped(path, 0.5, 0)
            with pytest.raises(UserError):
                verify(model)
            assert _raises(lambda: load_model(model).encoder()), path
            path.write_bytes(before)
    verify(model)
    load_model(model).encoder()


def test_the_whole_run_is_verified(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    main(["verify", str(run)])
    assert "files are whole" in capsys.readouterr().out
    (checkpoint,) = (run / "base.training").rglob("state.pt")
    flipped(checkpoint, 0.5, 3)
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run)])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "state.pt: damaged" in said.out + said.err
    assert "files are damaged; copy or make them again" in said.err


def test_what_is_missing_is_damage(trained: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    (model / "words.txt").touch()  # nobody's
    verify(model)
    (model / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="1 of"):
        verify(model)


def test_what_has_no_checksum_is_read(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    for path in model.rglob(checksums.NAME):
        path.unlink()
    load_model(model)
    verify(model)
    assert ": 0 files are whole, " in capsys.readouterr().out


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    facts = {f"fact{k}": str(k) for k in range(20)}  # in an order that the library leaves to chance
    found = []
    for k in range(4):
        path = tmp_path / f"{k}.safetensors"
        save_file({"b": torch.arange(3), "a": torch.ones(2)}, path, metadata=facts)
        checksums.seal(path)
        found.append(path.read_bytes())
        assert load_file(path)["b"].tolist() == [0, 1, 2]
        with safe_open(path, framework="pt") as file:
            assert facts.items() <= file.metadata().items()
            assert checksums.check_seal(path, file.metadata())
    assert len(set(found)) == 1


def test_a_newer_list_is_refused(tmp_path: Path) -> None:
    checksums.note(tmp_path)
    (tmp_path / checksums.NAME).write_text('{"schema": 2, "crc32": {}}')
    with pytest.raises(UserError, match="schema is 2, this version reads 1; it was written by a newer version"):
        checksums.read_list(tmp_path)


def test_a_newer_avatar_is_refused(avatar: Path, tmp_path: Path) -> None:
    with safe_open(avatar, framework="pt") as file:
        facts = {**file.metadata(), "schema": "rodin-avatar-77"}
    other = tmp_path / f"new{SUFFIX}"
    save_file(load_file(avatar), other, metadata=facts)
    checksums.seal(other)
    with pytest.raises(UserError, match=r"schema is 'rodin-avatar-77', .* it was written by a newer version"):
        Avatar.load(other)


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_of_a_picture_is_found(tmp_path: Path, place: int, bit: int) -> None:
    """It has checksums of its own, and needs no list."""
    path = tmp_path / "one.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)
    verify(tmp_path)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(UserError, match="1 of 1 files are damaged"):
        verify(tmp_path)
