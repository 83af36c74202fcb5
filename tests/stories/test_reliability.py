"""Contract of `make soak` and `make fuzz`, in short: commands that are killed go on and end as undisturbed, and inputs
that were changed at random are clear errors or accepted, within a limit of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(ROOT / "scripts" / script), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_killed_commands_end_as_undisturbed(balls: Path, quick_preset: Path, tmp_path: Path) -> None:
    flags = ["--out", str(tmp_path / "soak"), "--data", str(balls), "--preset", str(quick_preset)]
    said = run("soak.py", "--kills", "3", "--only", "fit", "base", *flags, cwd=tmp_path)
    assert "the same as undisturbed" in said


def test_changed_inputs_are_clear_errors(tmp_path: Path) -> None:
    said = run("fuzz.py", "--count", "140", "--seed", "1", "--keep", str(tmp_path / "keep"), cwd=tmp_path)
    assert "140 inputs in" in said
    assert ", 0 faults" in said
    rows = [line.split("|") for line in said.splitlines() if line.startswith("| ")]
    assert sum(int(row[3]) for row in rows if row[3].strip().isdigit()) > 40, "most changes are found"
