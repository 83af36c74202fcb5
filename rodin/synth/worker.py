"""The line protocol between a task of `generate` and its Blender process, and the task's side of it.

A worker gets the set's `Job` as one JSON argument, one subject's index a line on standard input, and answers JSON
lines: `{"ready": true}` once, `{"frame": view}` for each image, `{"done": index}`, or `{"error": message}`. It ends
when its standard input does, whatever it is doing: then whoever asked is gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rodin.errors import UserError

_PACKAGES = "libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What every worker of a set needs to know."""

    out: str
    views: int
    size: int
    seed: int
    heads: str
    samples: int

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        """The job in a line of JSON."""
        return Job(**json.loads(text))


class Worker:
    """A Blender process that renders subjects one after another, on one thread."""

    def __init__(self, job: Job, log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        with log.open("ab") as sink:  # appended to, since it is emptied under the process's hands
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rodin.synth.blender", job.to_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )

    def start(self) -> None:
        """Wait until Blender is loaded.

        Raises:
            UserError: Blender cannot be imported.
        """
        self._expect("ready")

    def render(self, index: int, on_frame: Callable[[], object]) -> None:
        """Render one subject to its end; `on_frame` is called after every image."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(f"{index}\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        while "done" not in self._expect("frame", "done"):
            on_frame()
        os.truncate(self._log, 0)  # all went well; Blender says more of a frame than its picture has bytes

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _expect(self, *keys: str) -> dict[str, Any]:
        """The next answer with one of the keys; lines that are no answer are libraries' chatter."""
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            if not isinstance(answer, dict):
                continue
            if "error" in answer:
                raise UserError(answer["error"])
            if any(key in answer for key in keys):
                return answer
        raise self._failure()

    def _failure(self) -> UserError:
        """What a dead process is reported as."""
        self._process.wait()
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        last = text.splitlines()[-1] if text else "no output"
        if "ImportError" in text or "ModuleNotFoundError: No module named 'bpy'" in text:
            return UserError(
                f"Blender cannot be imported ({last}); run `pip install 'rodin-avatars[blender]'` and, on Debian, "
                f"`apt-get install {_PACKAGES}`"
            )
        return UserError(f"a Blender process ended with code {self._process.returncode} ({last}); see {self._log}")
