"""Contract: no console ends a command in a traceback, whatever its encoding; a reader that has gone ends it quietly.

The real command line, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENCODINGS = ("cp1252", "cp1251", "gbk", "ascii")
COMMAND = [sys.executable, "-m", "rodin"]


def run(*words: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run([*COMMAND, *words], env=environment, capture_output=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_a_console_has_not_is_an_escape(encoding: str, tmp_path: Path) -> None:
    done = run("generate", "--help", encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--overwrite" in done.stdout
    name = "Größe-体-ж-\U0001f600.rodin.safetensors"
    done = run("export", str(tmp_path / name), encoding=encoding)
    assert done.returncode == 2
    said = done.stderr.decode(encoding)
    assert b"Traceback" not in done.stderr
    assert "\\U0001f600.rodin.safetensors: no such file" in said
    assert said.count("\n") == 1


def test_a_report_fits_any_console() -> None:
    done = run("doctor", encoding="cp1251")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"rodin" in done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["preset", "mini"], ["export", "none"]], ids=" ".join)
def test_a_closed_pipe_ends_quietly(words: list[str], unbuffered: str) -> None:
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    both = write if words[0] == "export" else subprocess.PIPE
    done = subprocess.run([*COMMAND, *words], env=environment, stdout=write, stderr=both)
    os.close(write)
    assert done.returncode == 141
    assert not done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_line(unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "preset", "mini"], env=environment, stdout=full, stderr=subprocess.PIPE)
    assert b"Traceback" not in done.stderr
    assert b"No space left on device" in done.stderr
