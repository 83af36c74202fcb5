"""How the benchmarks take time: contenders take turns in one process, and every figure comes with its spread.

Turns cancel what drifts (clock, neighbours on the machine); a ratio is formed turn by turn, then its median is taken.
Processor time (of all threads) stands beside wall time: on a busy machine it is the one to trust.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work."""

    call: Callable[[], object]
    repeats: int = 1
    """Calls in one turn; the turn's figure is their median."""
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a call, of every turn."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]


def take_turns(contenders: dict[str, Contender], rounds: int, label: str) -> dict[str, Timing]:
    """Time all contenders in `rounds` alternating turns; progress goes to stderr under `label`."""
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, contender in contenders.items():
            progress(f"{label}: {name}, turn {turn + 1} of {rounds}")
            turns[name].append(_one_turn(contender))
    return {name: Timing(*zip(*taken, strict=True)) for name, taken in turns.items()}


def _one_turn(contender: Contender) -> tuple[float, float]:
    """Median wall and processor seconds of a turn's calls."""
    before = torch.get_num_threads()
    torch.set_num_threads(contender.threads)
    wall, cpu = [], []
    for _ in range(contender.repeats):
        wall_began, cpu_began = time.perf_counter(), time.process_time()
        contender.call()
        wall.append(time.perf_counter() - wall_began)
        cpu.append(time.process_time() - cpu_began)
    torch.set_num_threads(before)
    return statistics.median(wall), statistics.median(cpu)


@dataclass(frozen=True, slots=True)
class Fresh:
    """What Python took and said in a process of its own."""

    wall: float
    cpu: float
    said: str


def fresh_python(
    arguments: list[str], tree: Path | None = None, environment: Mapping[str, str] = MappingProxyType({})
) -> Fresh:
    """Run Python with arguments in a process of its own, in a source tree if one is given, and wait for its end.

    Args:
        environment: what is other than in this process's own.
    """
    paths = {} if tree is None else {"PYTHONPATH": str(tree)}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **paths, **environment}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, cwd=tree, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Fresh(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout)


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """How many times as long `slow` took, turn by turn."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def spread(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """The median, with quartiles where there are at least three values: 12.3 (11.9 to 12.8)."""
    scaled = [value * scale for value in values]
    median = f"{statistics.median(scaled):.{digits}f}"
    if len(scaled) < 3:
        return median
    low, _, high = statistics.quantiles(scaled, n=4, method="inclusive")
    return f"{median} ({low:.{digits}f} to {high:.{digits}f})"


def progress(text: str) -> None:
    """Say on stderr what goes on; stdout is for the results."""
    print(text, file=sys.stderr, flush=True)
