"""How soon the command line answers: mistakes, help, a preset, a first avatar, each in a process of its own.

    python benchmarks/startup.py [TREE ...] [--rounds N]

Source trees, such as checkouts of two commits, take turns; without one it is this one. Processor time of all threads;
files are in the disk's cache after the first turn, which is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from claims import table
from timing import fresh_python, progress, spread

COMMANDS = {
    "unknown command": ["generat"],
    "no such model": ["generate", "--out", "{out}", "--model", "nowhere"],
    "no such data": ["fit", "nowhere", "--run", "{out}"],
    "--help": ["--help"],
    "preset mini": ["preset", "mini"],
    "first avatar, with picture, turntable and mesh": ["generate", "--out", "{out}"],
}


def answer(tree: Path, words: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a command takes in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        taken = fresh_python(["-m", "rodin", *(word.format(out=Path(out, "out")) for word in words)], tree)
    return taken.wall, taken.cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="*", type=Path, default=[Path(__file__).resolve().parents[1]])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    trees = [tree.resolve() for tree in arguments.trees]
    rows = []
    for name, words in COMMANDS.items():
        taken: dict[Path, list[tuple[float, float]]] = {tree: [] for tree in trees}
        for turn in range(arguments.rounds + 1):
            for tree in trees:
                progress(f"{name}: {tree.name}, turn {turn} of {arguments.rounds}")
                taken[tree].append(answer(tree, words))
        for tree, times in taken.items():
            wall, spent = zip(*times[1:], strict=True)
            rows.append([name, tree.name, spread(spent, 2), spread(wall, 2)])
    print("## Start-up\n")
    print(table(["command", "tree", "processor, s", "wall, s"], rows))


if __name__ == "__main__":
    main()
