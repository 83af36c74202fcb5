"""What it costs to compare the checksums of the model that ships: processor time with the comparison, and without.

    python benchmarks/checksums.py [--rounds N]

Once as every command loads it, in a process of its own, and once by reading alone, where all is imported already.
"""

from __future__ import annotations

import argparse
import statistics

from claims import table
from timing import fresh_python, progress, ratios, spread

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


def loading(before: str) -> float:
    return fresh_python(["-c", f"{before}\n{LOADING}"]).cpu


def reading(before: str) -> float:
    return float(fresh_python(["-c", f"{before}\n{READING}"]).said)


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
