"""Contract of the start: rodin's own imports are few beyond torch's, a command imports only what it uses, and what is
wrong is said before torch is imported.

What is imported is counted, not timed: one process does all of it, one after another, and says what came when.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Drawing
from rodin.materials import MATERIALS
from rodin.models.prior import Prior, PriorConfig
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import save_component
from rodin.render.decoder import Decoder, DecoderConfig

SLOW = {"diffusers", "transformers", "accelerate", "scipy", "torch._dynamo"}  # half a second to two each
NUMERIC = {"torch", "numpy", "PIL", "scipy", "skimage"}
MISTAKES = {
    "unknown command": ["generat"],
    "unknown flag": ["generate", "--out", "new", "--texts", "an old man"],
    "number": ["generate", "--out", "new", "--count", "0"],
    "sampling": ["generate", "--out", "new", "--steps", "0"],
    "no such model": ["generate", "--out", "new", "--model", "nowhere"],
    "a file as folder": ["generate", "--out", "file"],
    "no such avatar": ["render", "nowhere.rodin.safetensors", "--out", "new.png"],
    "no such avatar to export": ["export", "nowhere.rodin.safetensors"],
    "no such data": ["fit", "nowhere", "--run", "new"],
    "no such data to train on": ["train", "all", "nowhere", "--run", "new"],
    "no such preset": ["train", "base", "--run", "new", "--preset", "large"],
    "no such set to evaluate": ["eval", "--data", "nowhere", "--train-data", "nowhere", "--out", "new"],
    "nothing to describe": ["describe", "nowhere"],
}
BASE = UNetConfig(size=8, in_channels=4, out_channels=4, width=8, multipliers=(1,), attention=(8,), head_width=8)
ALL = """
import json, sys
from pathlib import Path

folder, new, known = Path(sys.argv[1]), {}, set()

def note(step):
    new[step] = sorted(set(sys.modules) - known)
    known.update(sys.modules)

import torch
note("torch")
import rodin
rodin.RodinPipeline
note("rodin")
from rodin.materials import MATERIALS
from rodin.models.prior import Prior, PriorConfig
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import load_component
load_component(UNet, UNetConfig, folder / "base")
load_component(Prior, PriorConfig, folder / "prior")
note("networks")
from rodin.cli.main import main
main(["render", str(next(folder.glob("avatar*"))), "--out", str(folder / "picture.png"), "--size", "16"])
note("render")
out = ["--out", str(folder / "new.rodin.safetensors")]
main(["recolour", str(next(folder.glob("avatar*safetensors"))), "--hair", "red", *out])
note("recolour")
import scipy
note("scipy")
print(json.dumps(new))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The modules that are new with each step of ALL."""
    folder = tmp_path_factory.mktemp("startup")
    decoder = Decoder(DecoderConfig(channels=4, materials=len(MATERIALS)))
    refiner = Refiner(RefinerConfig(channels=4, width=8, blocks=1, scale=2))
    drawing, noise = Drawing(seed=0), torch.zeros(3, 4, 4, 4)
    palette = torch.rand(len(MATERIALS), 3)
    avatar = Avatar(torch.randn(3, 4, 8, 8), decoder, refiner, torch.zeros(512), noise, drawing, "", palette)
    avatar.save(folder / f"avatar{SUFFIX}")
    save_component(UNet(BASE), folder / "base")
    save_component(Prior(PriorConfig(width=8, layers=1, heads=2, text_width=8)), folder / "prior")
    done = subprocess.run([sys.executable, "-c", ALL, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {step: set(modules) for step, modules in json.loads(done.stdout.splitlines()[-1]).items()}


def test_rodin_imports_little_beyond_torch(imported: dict[str, set[str]]) -> None:
    packages = {name.partition(".")[0] for name in imported["rodin"]} - set(sys.stdlib_module_names)
    assert packages <= {"rodin", "numpy", "PIL", "safetensors"}
    assert len(imported["rodin"]) < 0.1 * len(imported["torch"])


def test_reading_networks_imports_no_compiler(imported: dict[str, set[str]]) -> None:
    assert not SLOW & (imported["torch"] | imported["rodin"] | imported["networks"])


def test_rendering_and_recolouring_import_no_models_of_others(imported: dict[str, set[str]]) -> None:
    assert not SLOW & (imported["render"] | imported["recolour"])


def test_the_slow_modules_are_seen(imported: dict[str, set[str]]) -> None:
    """The tests above could fail."""
    assert SLOW & imported["scipy"] == {"scipy"}


def modules_of(words: list[str], folder: Path) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """A command run in `folder`, and all that its process imported."""
    code = """
import json, sys
from rodin.cli.main import main
try:
    main(sys.argv[2:])
finally:
    open(sys.argv[1], "w").write(json.dumps(sorted(sys.modules)))
"""
    noted = folder / "modules.json"
    command = [sys.executable, "-c", code, str(noted), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done, set(json.loads(noted.read_text()))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_without_torch(mistake: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done, modules = modules_of(MISTAKES[mistake], tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not modules & NUMERIC
    assert not (tmp_path / "new").exists()


def test_a_preset_needs_no_library_of_training(tmp_path: Path) -> None:
    done, modules = modules_of(["preset", "mini"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert not modules & SLOW


def test_a_first_avatar_needs_no_models_of_others(tmp_path: Path, trained: Path) -> None:
    done, modules = modules_of(["generate", "--out", "new", "--model", str(trained / "model")], tmp_path)
    assert "avatar" in done.stdout + done.stderr
    assert not modules & (SLOW - {"scipy"})  # by which the mesh is closed
