"""Contract of rodin.data.shards: planes come back as stored; a damaged or foreign set is never read as a whole one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.data.shards import (
    FittedSubject,
    read_index,
    read_shards,
    read_subject,
    sample_key,
    write_shards,
    write_subject,
)
from rodin.errors import UserError
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig, save_statistics

pytestmark = pytest.mark.usefixtures("mended_checksums")

SHAPE = (3, 2, 5, 4)


def _subject(seed: int, name: str | None = None, shape: tuple[int, ...] = SHAPE) -> FittedSubject:
    generator = torch.Generator().manual_seed(seed)
    return FittedSubject(
        name=f"s{seed}" if name is None else name,
        planes=torch.randn(*shape, generator=generator).half().float(),
        caption=f"a person, number {seed}",
        captions=(f"someone, number {seed}", "a portrait of someone"),
        frontal=torch.randint(0, 256, (6, 7, 4), generator=generator) / 255.0,
        psnr=25.0 + seed,
        ssim=0.9,
    )


def _assert_same(one: FittedSubject, other: FittedSubject) -> None:
    for field in dataclasses.fields(FittedSubject):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field.name


def _set(folder: Path, count: int = 5, per_shard: int = 2) -> list[FittedSubject]:
    subjects = [_subject(k) for k in range(count)]
    write_shards(folder, iter(subjects), decoder_hash="d" * 64, per_shard=per_shard)
    return subjects


def test_subject_round_trip(tmp_path: Path) -> None:
    subject = _subject(1, name="Zoë/v1.2 \N{SNOWMAN}")
    write_subject(tmp_path / "one.safetensors", subject)
    _assert_same(read_subject(tmp_path / "one.safetensors"), subject)
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]


def _made_of_materials(seed: int) -> FittedSubject:
    generator = torch.Generator().manual_seed(seed)
    palette, presence = torch.rand(13, 3, generator=generator), torch.rand(13, generator=generator)
    return dataclasses.replace(_subject(seed), palette=palette, presence=presence)


def test_palettes_go_with_the_planes(tmp_path: Path) -> None:
    subjects = [_made_of_materials(k) for k in range(3)]
    write_subject(tmp_path / "one.safetensors", subjects[0])
    _assert_same(read_subject(tmp_path / "one.safetensors"), subjects[0])
    write_shards(tmp_path / "set", subjects, decoder_hash="d" * 64, per_shard=2)
    for read, written in zip(read_shards(tmp_path / "set"), subjects, strict=True):
        _assert_same(read, written)
    mirrored = subjects[0].mirrored()
    assert mirrored.palette is subjects[0].palette
    assert mirrored.presence is subjects[0].presence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"palette": torch.full((4, 3), 1.5), "presence": torch.ones(4)}, r"\[0, 1\], holds 1\.5"),
        ({"palette": torch.full((4, 3), torch.nan), "presence": torch.ones(4)}, "holds nan"),
        ({"palette": torch.ones(4), "presence": torch.ones(4)}, r"must be \[K, 3\]"),
        ({"palette": torch.ones(4, 3), "presence": torch.ones(5)}, r"presence must be \[K=4\]"),
        ({"palette": torch.ones(4, 3)}, "go together"),
    ],
)
def test_palettes_out_of_range_are_refused(changes: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(_subject(1), **changes)


def test_a_caption_paraphrases_itself(tmp_path: Path) -> None:
    plain = dataclasses.replace(_subject(1), captions=())
    assert plain.captions == ("a person, number 1",)
    silent = dataclasses.replace(_subject(1), caption="", captions=())
    write_subject(tmp_path / "one.safetensors", silent)
    assert read_subject(tmp_path / "one.safetensors").captions == ()


def test_cut_or_foreign_subject_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    with pytest.raises(UserError, match="no such file"):
        read_subject(path)
    write_subject(path, _subject(1))
    whole = path.read_bytes()
    for end in (*range(0, len(whole), 37), len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"one\.safetensors"):
            read_subject(path)
    save_statistics(PlaneStatistics(PlaneStatisticsConfig(channels=2, height=5, width=4, clip=3.0)), tmp_path)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        read_subject(tmp_path / "statistics" / "model.safetensors")


def test_misshapen_subjects_are_refused(tmp_path: Path) -> None:
    subject = _subject(0)
    with pytest.raises(ValueError, match="planes"):
        dataclasses.replace(subject, planes=subject.planes[:2])
    with pytest.raises(ValueError, match=r"frontal must be \[H, W, 4\]"):
        dataclasses.replace(subject, frontal=subject.frontal[..., :3])


def test_planes_beyond_half_precision_are_not_stored(tmp_path: Path) -> None:
    subject = dataclasses.replace(_subject(0), planes=torch.full(SHAPE, 1e5))
    with pytest.raises(ValueError, match="s0: planes are not finite"):
        write_subject(tmp_path / "one.safetensors", subject)
    assert not list(tmp_path.iterdir())


def test_shards_round_trip(tmp_path: Path) -> None:
    subjects = _set(tmp_path)
    index = read_index(tmp_path)
    assert (index.count, index.plane_shape) == (5, SHAPE)
    assert [(shard.name, shard.count) for shard in index.shards] == [
        ("planes-00000.tar", 2),
        ("planes-00001.tar", 2),
        ("planes-00002.tar", 1),
    ]
    read = list(read_shards(tmp_path, decoder_hash="d" * 64))
    assert len(read) == 5
    for one, other in zip(read, subjects, strict=True):
        _assert_same(one, other)


def test_shards_are_plain_webdataset(tmp_path: Path) -> None:
    """Another program finds NAME.json, NAME.png, NAME.safetensors by tar alone; equal planes make equal files."""
    _set(tmp_path / "a")
    _set(tmp_path / "b")
    with tarfile.open(tmp_path / "a" / "planes-00001.tar") as tar:
        assert tar.getnames() == [f"s{k}.{kind}" for k in (2, 3) for kind in ("json", "png", "safetensors")]
    for shard in ("planes-00000.tar", "planes-00002.tar", "index.json"):
        assert (tmp_path / "a" / shard).read_bytes() == (tmp_path / "b" / shard).read_bytes()


@given(st.text(min_size=1, max_size=40))
def test_keys_survive_webdataset(name: str) -> None:
    try:
        key = sample_key(name)
    except UnicodeEncodeError:  # lone surrogates that no file name holds
        return
    assert key.isascii()
    assert not set(key) & set("./\\ {}")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=2, max_size=6, unique=True))
@settings(max_examples=15, deadline=None)
def test_any_names_round_trip(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    write_shards(folder, [_subject(k, name) for k, name in enumerate(names)], decoder_hash="", per_shard=9)
    assert [subject.name for subject in read_shards(folder)] == names


def test_a_very_long_name(tmp_path: Path) -> None:
    write_shards(tmp_path, [_subject(0, "n" * 180 + ".é")], decoder_hash="", per_shard=1)
    assert next(read_shards(tmp_path)).name == "n" * 180 + ".é"


def test_rewriting_replaces_the_old_set(tmp_path: Path) -> None:
    _set(tmp_path, count=6)
    _set(tmp_path, count=3)
    names = ["checksums.json", "index.json", "planes-00000.tar", "planes-00001.tar"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(list(read_shards(tmp_path))) == 3


def test_an_interrupted_write_does_not_count(tmp_path: Path) -> None:
    _set(tmp_path)

    def subjects() -> Iterator[FittedSubject]:
        yield from (_subject(k) for k in range(3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, subjects(), decoder_hash="e", per_shard=2)
    with pytest.raises(UserError, match=r"index\.json: no such file"):
        read_shards(tmp_path)


def test_refused_sets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no subjects"):
        write_shards(tmp_path, [], decoder_hash="d", per_shard=2)
    with pytest.raises(UserError, match="same: two subjects"):
        write_shards(tmp_path, [_subject(0, "same"), _subject(1, "same")], decoder_hash="d", per_shard=1)
    with pytest.raises(UserError, match=r"s1: planes are \[3, 2, 5, 6\]"):
        write_shards(tmp_path, [_subject(0), _subject(1, shape=(3, 2, 5, 6))], decoder_hash="d", per_shard=2)
    with pytest.raises(UserError, match="per_shard: 0"):
        write_shards(tmp_path, [_subject(0)], decoder_hash="d", per_shard=0)


def test_another_decoder_is_refused_at_once(tmp_path: Path) -> None:
    _set(tmp_path)
    with pytest.raises(UserError, match="fitted with decoder dddddddddddd, not eeeeeeeeeeee"):
        read_shards(tmp_path, decoder_hash="e" * 64)


def test_missing_and_miscounted_shards_are_refused(tmp_path: Path) -> None:
    _set(tmp_path)
    (tmp_path / "planes-00001.tar").rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"planes-00001\.tar: this shard is missing"):
        read_shards(tmp_path)
    (tmp_path / "away").rename(tmp_path / "planes-00001.tar")
    document = json.loads((tmp_path / "index.json").read_text())
    document["shards"][1]["count"] = 3
    (tmp_path / "index.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"planes-00001\.tar: holds 2 subjects, the index has 3"):
        list(read_shards(tmp_path))
    for text in ("{", "[]", '{"schema": 99, "shards": []}', '{"schema": 2, "shards": [{"name": "../x"}]}'):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(UserError, match=r"index\.json"):
            read_shards(tmp_path)


def test_truncation_at_any_byte_is_refused(tmp_path: Path) -> None:
    """Even where the index's size agrees, so that tar's own end-of-data rules and the count must find it."""
    _set(tmp_path, count=2)
    shard = tmp_path / "planes-00000.tar"
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        end_of_data = max(member.offset_data + member.size for member in tar)
    document = json.loads((tmp_path / "index.json").read_text())
    boundaries = [512 * k + d for k in range(end_of_data // 512 + 1) for d in (-1, 0, 1)]
    for end in sorted({end for end in (*boundaries, *range(0, end_of_data, 61)) if 0 <= end < end_of_data}):
        shard.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"planes-00000\.tar: \d+ bytes"):
            read_shards(tmp_path)
        document["shards"][0]["bytes"] = end
        (tmp_path / "index.json").write_text(json.dumps(document))
        with pytest.raises(UserError, match=r"planes-00000\.tar"):
            list(read_shards(tmp_path))
        document["shards"][0]["bytes"] = len(whole)
        (tmp_path / "index.json").write_text(json.dumps(document))


def test_flipped_bytes_never_escape_as_other_errors(tmp_path: Path) -> None:
    _set(tmp_path, count=2)
    shard = tmp_path / "planes-00000.tar"
    whole = shard.read_bytes()
    for place in range(0, len(whole), 97):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            list(read_shards(tmp_path))
