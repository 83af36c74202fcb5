"""Contract: the scripts that make the documentation's pictures run, with any model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "names"),
    [("concepts.py", ("denoising", "guidance", "prior", "upsampler", "refiner", "planes")), ("pictures.py", ("text",))],
)
def test_every_picture_is_made(script: str, names: tuple[str, ...], trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), *names, "--model", str(trained / "model")]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in tmp_path.iterdir()} == set(names)
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(2**24) or ()) > 2, "it shows something"
