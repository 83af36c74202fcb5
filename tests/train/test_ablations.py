"""Contract: an ablation takes away one thing and nothing else, and shares what it leaves as it is."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rodin.errors import UserError
from rodin.train.ablations import ABLATIONS, ablated, share_parts, shared_parts
from rodin.train.presets import PRESETS, load_preset, preset_yaml

pytestmark = pytest.mark.usefixtures("mended_checksums")

CHANGED = {
    "no-aware": {"base.network.aware": False},
    "no-latent": {"base.network.latent_dim": 0, "base.network.sketch_rank": 0},
    "no-rescaling": {"fitting.planes.rescale": 0.0},
    "autoencoder": {
        "base.diffusion.train_steps": 1,
        "base.diffusion.prediction": "sample",
        "base.diffusion.min_snr_gamma": 0.0,
        "base.diffusion.min_snr_plus": 0.0,
        "base.network.input_skip": False,
    },
}
PAPER_AUTOENCODER = {  # the paper's diffusion learns its variance too, and never sees pure noise
    "base.diffusion.learned_variance": False,
    "base.diffusion.zero_terminal_snr": True,
    "base.network.out_channels": 32,
}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    items = [flat(inner, f"{path}.{name}" if path else name) for name, inner in value.items()]
    return {name: inner for one in items for name, inner in one.items()}


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_an_ablation_differs_in_the_intended_fields_alone(preset: str, name: str, tmp_path: Path) -> None:
    before = PRESETS[preset]()
    after = ablated(before, name)
    old, new = flat(asdict(before)), flat(asdict(after))
    assert set(old) == set(new)
    expected = dict(CHANGED[name])
    if name == "autoencoder" and preset == "paper":
        expected |= PAPER_AUTOENCODER
    differing = {field: new[field] for field in old if old[field] != new[field]}
    assert differing == {field: value for field, value in expected.items() if old[field] != value}
    assert differing
    path = tmp_path / "ablated.yaml"  # it is a preset like any other
    path.write_text(preset_yaml(after))
    assert load_preset(str(path)) == after


def test_an_unknown_ablation_is_refused() -> None:
    with pytest.raises(UserError, match="no-aware, no-latent"):
        ablated(PRESETS["smoke"](), "no-legs")


def make_run(folder: Path) -> Path:
    names = ("encoder", "prior", "decoder", "planes", "fits-123", "upsampler", "refiner", "base", "model")
    for name in (*names, "base.training", "ablations"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(name)
    for name in ("start.safetensors", "fitting.json", "preset.yaml"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_unchanged_parts_are_shared_and_changed_ones_are_not(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    preset = PRESETS["smoke"]()
    shared = {part.name for part in shared_parts(run, preset, ablated(preset, name))}
    everything = {"encoder", "prior", "decoder", "planes", "fits-123", "upsampler", "refiner", "start.safetensors"}
    expected = {"encoder", "prior"} if name == "no-rescaling" else everything | {"fitting.json"}
    assert shared == expected


def test_sharing_takes_no_room_and_leaves_what_is_there(tmp_path: Path) -> None:
    run, target = make_run(tmp_path / "run"), tmp_path / "run" / "ablations" / "one"
    (target / "prior").mkdir(parents=True)
    (target / "prior" / "config.json").write_text("its own")
    share_parts(run, target, [run / "encoder", run / "prior", run / "fitting.json"])
    assert os.path.samefile(run / "encoder" / "config.json", target / "encoder" / "config.json")
    assert os.path.samefile(run / "fitting.json", target / "fitting.json")
    assert (target / "prior" / "config.json").read_text() == "its own"
    assert sorted(path.name for path in target.iterdir()) == ["encoder", "fitting.json", "prior"]
