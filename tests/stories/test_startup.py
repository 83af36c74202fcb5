"""Contract of the start: rodin's own imports cost little beyond torch's, and a command imports only what it uses."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import torch

from rodin.avatars.avatar import SUFFIX, Avatar, Drawing
from rodin.models.prior import Prior, PriorConfig
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import save_component
from rodin.render.decoder import Decoder, DecoderConfig


def cpu_seconds(code: str) -> float:
    """The least CPU time of three runs."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(3):
        before = spent()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(spent() - before)
    return min(times)


def test_rodin_costs_little_beyond_torch() -> None:
    assert cpu_seconds("import rodin; rodin.RodinPipeline") - cpu_seconds("import torch") < 1.5


def imported_by(code: str) -> set[str]:
    """Which of the slow modules code imports: a second or two each."""
    code = f"import sys; {code}; "
    code += "print(*{'diffusers', 'transformers', 'accelerate', 'scipy', 'torch._dynamo'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_rendering_imports_no_models_of_others(tmp_path: Path) -> None:
    decoder = Decoder(DecoderConfig(channels=4))
    refiner = Refiner(RefinerConfig(channels=4, width=8, blocks=1, scale=2))
    path, noise = tmp_path / f"avatar{SUFFIX}", torch.zeros(3, 4, 4, 4)
    Avatar(torch.randn(3, 4, 8, 8), decoder, refiner, torch.zeros(512), noise, Drawing(seed=0), "").save(path)
    arguments = ["render", str(path), "--out", str(tmp_path / "avatar.png"), "--size", "16"]
    assert imported_by(f"from rodin.cli.main import main; main({arguments})") == set()


def test_reading_networks_imports_no_compiler(tmp_path: Path) -> None:
    base = UNetConfig(size=8, in_channels=4, out_channels=4, width=8, multipliers=(1,), attention=(8,), head_width=8)
    save_component(UNet(base), tmp_path / "base")
    save_component(Prior(PriorConfig(width=8, layers=1, heads=2, text_width=8)), tmp_path / "prior")
    code = "from pathlib import Path; from rodin.parts import load_component; from rodin.models.prior import *; "
    code += f"from rodin.networks.unet import *; load_component(UNet, UNetConfig, Path({str(tmp_path / 'base')!r})); "
    code += f"load_component(Prior, PriorConfig, Path({str(tmp_path / 'prior')!r}))"
    assert imported_by(code) == set()


def test_the_slow_modules_are_seen() -> None:
    """The two tests above could fail."""
    assert imported_by("import torch._dynamo") == {"torch._dynamo"}
