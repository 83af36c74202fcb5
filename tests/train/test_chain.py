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
