"""Contract of docs/first_avatar.ipynb: its cells run, one after another, with the model that comes with Rodin; and it
holds what they showed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CELLS = json.loads((ROOT / "docs/first_avatar.ipynb").read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_it_holds_outputs_without_an_error() -> None:
    assert [cell["execution_count"] for cell in CODE] == [*range(1, len(CODE) + 1)]
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}
    for cell in CODE:
        shows = "picture(" in "".join(cell["source"]).splitlines()[-1]
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"]) == shows
    assert (ROOT / "docs/first_avatar.ipynb").stat().st_size < 1_000_000


@pytest.mark.skipif(not (ROOT / "weights/model_index.json").is_file(), reason="no model comes with this checkout")
def test_its_cells_run(tmp_path: Path) -> None:
    script = tmp_path / "cells.py"
    script.write_text("\n".join("".join(cell["source"]) for cell in CODE))
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "understood: woman, young" in done.stdout
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} == {"her.rodin.safetensors", "her.glb", "her.html"}
