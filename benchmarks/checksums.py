"""What it costs to compare the checksums of the model that ships: processor time with the comparison, and without.

    python benchmarks/checksums.py [--rounds N]

Once as every command loads it, in a process of its own, and once by reading alone, where all is imported already.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys

from claims import table
from timing import progress, ratios, spread

GOAL = 1.05
LOADING = "from rodin.avatars.pipeline import RodinPipeline; RodinPipeline.from_pretrained(None)"
WITHOUT = "from rodin import checksums; checksums.check = lambda folder, names: None"
#: Reads the model ten times in one process, and says what a time took.
READING = """
import statistics, time
from pathlib import Path
from rodin.models.folder import load_model
from rodin.models.index import shipped_folder
spent = []
for _ in range(10):
    began = time.process_time()
    load_model(shipped_folder())
    spent.append(time.process_time() - began)
print(statistics.median(spent))
"""


def in_a_process(code: str) -> tuple[float, str]:
    """Seconds of the processor that code takes in a fresh process, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def loading(before: str) -> float:
    return in_a_process(f"{before}\n{LOADING}")[0]


def reading(before: str) -> float:
    return float(in_a_process(f"{before}\n{READING}")[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    rows = []
    for name, measured in (("loading, as every command does", loading), ("reading alone", reading)):
        taken: dict[str, list[float]] = {"": [], WITHOUT: []}
        for turn in range(arguments.rounds):
            progress(f"{name}: turn {turn + 1} of {arguments.rounds}")
            for before in list(taken)[:: 1 if turn % 2 else -1]:
                taken[before].append(measured(before))
        with_them, without = taken[""], taken[WITHOUT]
        ratio = ratios(with_them, without)
        seconds = [f"{1000 * statistics.median(values):.0f} ms" for values in (without, with_them)]
        rows.append([name, *seconds, spread(ratio, 3), "yes" if statistics.median(ratio) < GOAL else "**no**"])
    print(table(["", "without", "with", "ratio", f"below {GOAL}"], rows))


if __name__ == "__main__":
    main()
