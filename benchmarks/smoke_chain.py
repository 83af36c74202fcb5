"""Time and peak memory of the whole smoke chain, from subject folders to a drawn avatar.

    python benchmarks/smoke_chain.py [DATA]

Runs `rodin train all --preset smoke` and `rodin generate` as a user does, in a temporary folder, and samples the
memory of all their processes (PSS: what is shared counts once). Targets: under 5 minutes on 2 cores, under 3 GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

GIGABYTE = 1e9
INTERVAL_SECONDS = 0.2


def family_bytes(process: psutil.Process) -> int:
    """Proportional set size of a process and all its descendants."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:  # it has just ended
            continue
    return total


def run(arguments: list[str]) -> tuple[float, float]:
    """Wall seconds and peak bytes of one rodin command."""
    began, peak = time.perf_counter(), 0
    child = subprocess.Popen([sys.executable, "-m", "rodin", *arguments])
    family = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            peak = max(peak, family_bytes(family))
        except psutil.NoSuchProcess:
            break
        time.sleep(INTERVAL_SECONDS)
    if child.wait():
        sys.exit(f"rodin {' '.join(arguments)} failed")
    return time.perf_counter() - began, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path("examples/avatars"))
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        trained = run(["train", "all", str(data), "--run", f"{folder}/run", "--preset", "smoke", "--workers", "2"])
        drawn = run(["generate", "--model", f"{folder}/run/model", "--out", f"{folder}/out", "--count", "2"])
    print("step              wall s   peak GB")
    print(f"train all       {trained[0]:8.1f} {trained[1] / GIGABYTE:9.2f}")
    print(f"generate 2      {drawn[0]:8.1f} {drawn[1] / GIGABYTE:9.2f}")


if __name__ == "__main__":
    main()
