"""Contract: a stream gives every training subject once an epoch, to one rank, in another order each time; it goes on at
any step as if it had never stopped, holds no more subjects than its buffer, and comes from folders and URLs alike."""

from __future__ import annotations

import dataclasses
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pytest
import torch

from rodin.data.shards import FittedSubject
from rodin.diffusion.config import DiffusionConfig
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.networks.unet import UNetConfig
from rodin.render.decoder import DecoderConfig
from rodin.storage import Place, Url
from rodin.train import sources
from rodin.train.base import BaseTraining, train_base
from rodin.train.loop import LoopConfig
from rodin.train.sources import SourceConfig, Stream, open_source
from rodin.train.subjects import Lesson, load_subjects, split_subjects

pytestmark = pytest.mark.usefixtures("mended_checksums")

COUNT, BATCH = 22, 4  # in shards of 4, the last of 2
TRAINED, HELD_OUT = split_subjects(COUNT, 8)
CONFIG = SourceConfig(size=8, buffer=16, seed=3)


class Rank(NamedTuple):
    """What a source asks of a process's state."""

    process_index: int = 0
    num_processes: int = 1
    device: torch.device = torch.device("cpu")


@pytest.fixture(scope="module")
def fitted(stage_inputs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    def subject(index: int) -> FittedSubject:
        planes = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(index))
        return FittedSubject(f"s{index}", planes, "", torch.full((16, 16, 4), index / COUNT), 30.0, 0.9)

    subjects = [subject(index) for index in range(COUNT)]
    return stage_inputs(tmp_path_factory.mktemp("fitted"), subjects, DecoderConfig(channels=4, hidden=8))


def stream(run: Path, rank: Rank = Rank(), config: SourceConfig = CONFIG, planes: Place | None = None) -> Stream:  # noqa: B008
    found = open_source(run, planes or run / "planes", TRAINED, config, rank)  # type: ignore[arg-type]
    assert isinstance(found, Stream)
    return found


def drawn(run: Path, source: Stream, steps: range, rank: Rank = Rank(), parts: int = 1) -> list[int]:  # noqa: B008
    """Which subjects a rank is given in some steps; a mirror image counts as its subject plus COUNT."""
    mirrored = load_subjects(run, 8, range(COUNT), mirrored=True).planes
    known = [*mirrored[::2], *mirrored[1::2]]
    share = BATCH // rank.num_processes
    found = []
    for step in steps:
        for part in range(parts):
            first = rank.process_index * share + part * (share // parts)
            some = source.draw(Draws(step, BATCH, range(first, first + share // parts), step=step))
            found += [next(k for k, one in enumerate(known) if torch.equal(one, planes)) for planes in some.planes]
    return found


def test_an_epoch_has_every_training_subject_once(fitted: Path) -> None:
    seen = drawn(fitted, stream(fitted), range(2 * len(TRAINED) // BATCH))
    first, second = seen[: len(TRAINED)], seen[len(TRAINED) :]
    assert sorted(first) == sorted(second) == TRAINED
    assert first != second
    assert first != TRAINED
    assert not set(HELD_OUT) & set(seen)


def test_mirror_images_are_subjects_of_their_own(fitted: Path) -> None:
    source = stream(fitted, config=dataclasses.replace(CONFIG, mirrored=True))
    seen = drawn(fitted, source, range(2 * len(TRAINED) // BATCH))
    assert sorted(seen) == sorted(TRAINED + [COUNT + k for k in TRAINED])


def test_ranks_share_an_epoch(fitted: Path) -> None:
    shares = []
    for index in range(2):
        rank = Rank(index, 2)
        shares.append([one for part in stream(fitted, rank).share() for one in part.planes])
    everything = load_subjects(fitted, 8, TRAINED).planes
    for planes in everything:
        assert sum(torch.equal(planes, one) for share in shares for one in share) == 1
    assert sum(map(len, shares)) == len(TRAINED)
    ours, theirs = (drawn(fitted, stream(fitted, Rank(k, 2)), range(4), Rank(k, 2)) for k in range(2))
    assert not set(ours) & set(theirs)


@pytest.mark.parametrize("step", [1, 5, 6, 17])
def test_it_goes_on_at_any_step(fitted: Path, step: int) -> None:
    whole = drawn(fitted, stream(fitted), range(step + 3))
    assert drawn(fitted, stream(fitted), range(step, step + 3)) == whole[step * BATCH :]


def test_a_batch_may_come_in_parts(fitted: Path) -> None:
    assert drawn(fitted, stream(fitted), range(6)) == drawn(fitted, stream(fitted), range(6), parts=2)


@pytest.mark.parametrize("mirrored", [False, True])
def test_no_more_is_held_than_the_buffer(fitted: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bool) -> None:
    """Beside the batch that is being drawn. Read by one thread and forgotten by another, hence the lists."""
    begun: list[int] = []
    ended: list[int] = []
    most, made = 0, sources.lessons

    def counted(*given: Any) -> Iterator[Lesson]:
        nonlocal most
        for lesson in made(*given):
            weakref.finalize(lesson.planes, ended.append, 1)
            begun.append(1)
            most = max(most, len(begun) - len(ended))
            yield lesson

    monkeypatch.setattr(sources, "lessons", counted)
    source = stream(fitted, config=dataclasses.replace(CONFIG, mirrored=mirrored))
    for step in range(30):
        source.draw(Draws(step, BATCH, step=step))
    assert CONFIG.buffer // 2 < most <= CONFIG.buffer + BATCH
    assert len(begun) > 5 * CONFIG.buffer


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_a_base_model_learns_from_a_stream_elsewhere(fitted: Path, tmp_path: Path, place: str) -> None:
    """The run has neither planes nor their statistics."""
    run = tmp_path / "run"
    for name in ("encoder", "decoder"):
        shutil.copytree(fitted / name, run / name)
    planes: Place = fitted / "planes"
    if place == "memory":
        system = fsspec.filesystem("memory")
        system.put(str(fitted / "planes") + "/", f"/{tmp_path.name}/planes/", recursive=True)
        planes = Url(f"memory://{tmp_path.name}/planes")
    unet = UNetConfig(size=8, in_channels=4, out_channels=4, width=16, multipliers=(1,), blocks=1, attention=(),
                      head_width=16, patch=2, sketch_rank=2)  # fmt: skip
    config = BaseTraining(
        network=unet,
        diffusion=DiffusionConfig(prediction="sample"),
        loop=LoopConfig(steps=8, batch_size=BATCH, learning_rate=1e-3, warmup_steps=1),
        held_out_every=8,
        buffer=16,
    )
    train_base(run, config, planes=planes)
    assert (run / "base" / "model.safetensors").exists()
    assert (run / "planes" / "statistics" / "config.json").exists()
    assert "x0" in (run / "base.training" / "log.csv").read_text().splitlines()[0], "held-out subjects were judged"


@pytest.mark.parametrize(
    ("config", "rank", "message"),
    [
        (dataclasses.replace(CONFIG, buffer=7), Rank(), "buffer 7 does not hold two shards of 4 .* at least 8"),
        (dataclasses.replace(CONFIG, buffer=8, mirrored=True), Rank(), "two shards of 8 subjects .* at least 16"),
        (CONFIG, Rank(0, 7), "6 shards for 7 processes; start fewer, or fit with a smaller fitting.per_shard"),
    ],
)
def test_streams_that_cannot_be_are_refused(fitted: Path, config: SourceConfig, rank: Rank, message: str) -> None:
    with pytest.raises(UserError, match=message):
        stream(fitted, rank, config)


def test_a_damaged_shard_is_named_where_it_is_met(fitted: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(fitted, tmp_path / "run"))
    shard = run / "planes" / "planes-00003.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    (run / "planes" / "checksums.json").unlink()
    source = stream(run)
    with pytest.raises(UserError, match=r"planes-00003\.tar"):
        drawn(fitted, source, range(6))
