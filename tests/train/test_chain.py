"""Contract: each stage that trains on several processes trains on two ranks and leaves one network: a model is put
together of what they leave, and draws."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rodin.train.loop import process_state

pytestmark = pytest.mark.usefixtures("mended_checksums")


def on_each_rank(folder: Path) -> None:
    """What a rank does, in a run folder that has the other stages' results; see conftest.py."""
    from rodin.train import chain
    from rodin.train.presets import load_preset

    run, preset = folder / "run", load_preset(str(folder / "quick.yaml"))
    chain.base(run, preset)
    chain.upsampler(run, preset, None)
    chain.refiner(folder / "balls", run, preset, None)
    (folder / f"stages-{process_state().process_index}").touch()


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
