"""Contract: each stage that trains on several processes trains on two ranks and leaves one network: a model is put
together of what they leave, and draws. But for the refiner, of whose views each rank has some, the networks are those
that one process trains."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from rodin.train.ranks import process_state

pytestmark = pytest.mark.usefixtures("mended_checksums")


def prepare(folder: Path, trained: Path) -> None:
    """A run folder with the other stages' results for the larger networks, and one with fits alone for the others."""
    made = ("encoder*", "prior*", "base*", "upsampler*", "refiner*", "model")
    shutil.copytree(trained, folder / "run", ignore=shutil.ignore_patterns(*made[2:]))
    shutil.copytree(trained, folder / "fits", ignore=shutil.ignore_patterns(*made))


def train_stages(folder: Path) -> None:
    from rodin.train import chain
    from rodin.train.presets import load_preset

    run, preset = folder / "run", load_preset(str(folder / "quick.yaml"))
    chain.encoder(folder / "balls", folder / "fits", preset)
    chain.prior(folder / "fits", preset)
    chain.base(run, preset)
    chain.upsampler(run, preset, None)
    chain.refiner(folder / "balls", run, preset, None)


def on_each_rank(folder: Path) -> None:
    """What a rank does; see conftest.py."""
    train_stages(folder)
    (folder / f"stages-{process_state().process_index}").touch()


def losses(folder: Path) -> list[float]:
    with (folder / "log.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_two_ranks_learn_what_one_learns(
    balls: Path, trained: Path, quick_preset: Path, two_ranks: Any, tmp_path: Path
) -> None:
    """The second loss is that of what the first step made of the weights."""
    prepare(tmp_path, trained)
    shutil.copy(quick_preset, tmp_path / "quick.yaml")
    (tmp_path / "balls").symlink_to(balls)
    train_stages(tmp_path)
    for stage in ("fits/encoder", "fits/prior", "run/base", "run/upsampler"):
        ours, theirs = (losses(folder / f"{stage}.training") for folder in (two_ranks.folder, tmp_path))
        assert len(ours) == 2
        assert ours == pytest.approx(theirs, rel=2e-3), stage


def test_two_ranks_train_every_stage(trained: Path, two_ranks: Any, tmp_path: Path) -> None:
    from rodin.avatars.drawing import Sampling
    from rodin.avatars.pipeline import RodinPipeline
    from rodin.train import chain

    assert all((two_ranks.folder / f"stages-{rank}").exists() for rank in range(2))
    run = Path(shutil.copytree(two_ranks.folder / "run", tmp_path / "run"))
    for name in ("base", "upsampler", "refiner"):
        assert two_ranks.begun.count(f"{name}: step 0 of 2, 2 x cpu") == 1, "the first rank speaks"
        weights = Path(name) / "model.safetensors"
        assert (run / weights).read_bytes() != (trained / weights).read_bytes(), "two steps, not all"
    chain.model(run)
    avatar = RodinPipeline.from_pretrained(run / "model")(sampling=Sampling(steps=2, upsampling_steps=1))[0]
    assert bool(avatar.planes.isfinite().all())


def test_every_stage_sees_the_world_that_the_flags_name(
    balls: Path, tiny_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder too, which comes first and looks from the front."""
    from rodin.fit.worlds import run_placements
    from rodin.train import chain
    from rodin.train.presets import load_preset

    seen = {}

    class Stop(Exception):
        pass

    def encoder(data: Path, run: Path, *_: Any, **__: Any) -> None:
        seen.update(run_placements(run))
        raise Stop

    monkeypatch.setattr(chain, "encoder", encoder)
    with pytest.raises(Stop):
        chain.train_all(
            balls,
            tmp_path / "run",
            load_preset(str(tiny_preset)),
            1,
            seed=0,
            clip=None,
            large=balls,
            vgg=None,
            up="z",
            scale="auto",
        )
    assert set(seen) == {f"ball{k}" for k in range(4)}
    assert all(one.rotation[1] == (0.0, 0.0, 1.0) for one in seen.values()), "z is the axis that points up"
