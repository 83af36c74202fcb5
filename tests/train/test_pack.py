"""Contract: in a packed run the networks of the small planes meet the subjects that they meet in the run itself, and
every stage that needs more says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rodin.cli.main import main
from rodin.data.packed import STEP
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.networks.unet import UNet, UNetConfig
from rodin.train.pack import pack_run
from rodin.train.palette import load_palettes
from rodin.train.presets import load_preset
from rodin.train.subjects import count_subjects, load_latents, load_subjects

SIZE = 8
SCRIPT = Path(__file__).parents[2] / "scripts" / "train_in_minutes.py"


@pytest.fixture(scope="module")
def packed(trained_on_materials: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "small"
    pack_run(trained_on_materials, out, SIZE)
    return out


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_subjects_are_the_same(packed: Path, trained_on_materials: Path, mirrored: bool) -> None:
    assert count_subjects(packed / "planes") == count_subjects(trained_on_materials / "planes") == 4
    here, there = (load_subjects(run, SIZE, [0, 2], mirrored) for run in (packed, trained_on_materials))
    assert here.planes.shape == there.planes.shape
    # A mirror image's residual is rounded where the subject's is, and so as near.
    assert (here.planes.float() - there.planes.float()).abs().max() <= STEP / 2 + 5e-3
    torch.testing.assert_close(here.latents, there.latents, atol=2e-3, rtol=0)
    torch.testing.assert_close(here.palettes, there.palettes)


def test_so_are_captions_and_palettes(packed: Path, trained_on_materials: Path) -> None:
    encoder = Encoder.from_pretrained(packed / "encoder")
    ours, theirs = (
        load_latents(run, encoder, mirrored=True, full_captions=True) for run in (packed, trained_on_materials)
    )
    assert ours[1] == theirs[1]
    torch.testing.assert_close(ours[0], theirs[0], atol=2e-3, rtol=0)
    *small, told = load_palettes(packed)
    *large, known = load_palettes(trained_on_materials)
    assert told == known
    for ours, theirs in zip(small, large, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_the_networks_train_there_and_go_back(packed: Path, trained_on_materials: Path, tmp_path: Path) -> None:
    small = Path(shutil.copytree(packed, tmp_path / "small"))
    preset = trained_on_materials / "preset.yaml"
    for stage in ("palette", "prior", "base"):
        main(["train", stage, "--run", str(small), "--preset", str(preset)])
    run = Path(shutil.copytree(trained_on_materials, tmp_path / "run", ignore=shutil.ignore_patterns("base*")))
    shutil.copytree(small / "base", run / "base")
    main(["train", "base", "--run", str(run), "--preset", str(preset)])  # is there, and of these settings


def test_other_stages_want_the_fits(
    packed: Path, trained_on_materials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "upsampler", "--run", str(packed), "--preset", str(trained_on_materials / "preset.yaml")])
    assert ended.value.code == 2
    assert "packed at 8 x 8, the network is for 16; train it on the run that was packed" in capsys.readouterr().err


def test_other_parts_are_refused(packed: Path, trained: Path, tmp_path: Path) -> None:
    small = Path(shutil.copytree(packed, tmp_path / "small"))
    shutil.rmtree(small / "encoder")
    encoder = Encoder.from_pretrained(trained / "encoder")
    encoder.model.visual_projection.weight.data.mul_(2)  # latents are normalised: only the hash tells
    encoder.save_pretrained(small / "encoder")
    with pytest.raises(UserError, match=r"packed with encoder \w{12}, the run has \w{12}; pack again"):
        load_subjects(small, SIZE, [0])
    with pytest.raises(UserError, match="is there already; delete it, or choose another folder"):
        pack_run(trained, small, SIZE)


def test_a_training_in_minutes_goes_out_and_comes_home(
    packed: Path, trained_on_materials: Path, tmp_path: Path
) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=600)

    small = Path(shutil.copytree(packed, tmp_path / "small"))
    shutil.copytree(trained_on_materials / "palette", small / "palette")
    preset = trained_on_materials / "preset.yaml"
    flags = ["--out", tmp_path / "pieces", "--preset", preset, "--reserve", 0, "--piece", 0.3]
    done = run("train", small, *flags, "--minutes", 1e-4)
    assert done.returncode == 2
    assert "--minutes: nothing is left for the base model" in done.stderr
    done = run("train", small, *flags, "--minutes", 0.25)  # the prior is there now
    assert done.returncode == 0, done.stderr
    pieces = sorted(path.name for path in (tmp_path / "pieces").iterdir())
    assert len([name for name in pieces if name.startswith("base-")]) > 1
    assert all((tmp_path / "pieces" / name).stat().st_size <= 0.3 * 2**20 for name in pieces)
    home = tmp_path / "home"
    assert run("collect", tmp_path / "pieces", home).returncode == 0
    for name in ("palette", "prior", "base"):
        ours, theirs = (load_file(folder / name / "model.safetensors") for folder in (home, small))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value.float(), theirs[key].half().float(), atol=0, rtol=0)
    network, _ = load_denoiser(UNet, UNetConfig, home / "base")
    assert network.config == load_preset(str(preset)).base.network
    (tmp_path / "pieces" / pieces[0]).unlink()
    assert "pieces of base; bring them all" in run("collect", tmp_path / "pieces", tmp_path / "other").stderr
