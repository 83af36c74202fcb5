"""Contract of the start: rodin's own imports are few beyond torch's, and a command imports only what it uses.

What is imported is counted, not timed: one process does all of it, one after another, and says what came when.
"""

from __future__ import annotations

import json
import subprocess
import sys

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
