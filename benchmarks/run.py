"""All benchmarks of speed, one after another, on one page.

    python benchmarks/run.py [--out docs/benchmarks.md]

Every script prints a section in Markdown, which is shown as it comes; the page is written at the end, when all have
run. Rows of their tables of claims go to the page's first table. A script can be run alone just as well.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

from claims import HEADER
from timing import progress

from rodin.files import atomic_path

SCRIPTS = (
    "machine.py",
    "limits.py",
    "render.py",
    "live.py",
    "memory.py",
    "fit_speed.py",
    "aware_conv.py",
    "train_step.py",
    "text_to_glb.py",
    "studio.py",
    "gpu.py",
)
HEAD = """# Benchmarks

<!-- Written by `make bench`; do not edit. -->

Fast paths side by side with what people run today and with the plain PyTorch version, on the machine below. Written by
`make bench` on {date}, in {minutes:.0f} minutes. Times are medians of alternating turns with their quartiles; CPU time
is that of all threads.

## Goals
"""


def run(script: str) -> str:
    """What a script prints.

    Raises:
        SystemExit: it failed; its own words stand on stderr.
    """
    command = [sys.executable, str(Path(__file__).with_name(script))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"run.py: {script} failed (exit code {done.returncode}); nothing was written")
    return done.stdout.strip()


def split(section: str) -> tuple[str, list[str]]:
    """A section without its table of claims, and the rows of that."""
    kept, claims = [], []
    inside = False
    for line in section.splitlines():
        inside = line == HEADER or (inside and line.startswith("|"))
        if not inside:
            kept.append(line)
        elif line != HEADER and not line.startswith("| ---"):
            claims.append(line)
    return "\n".join(kept).strip(), claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    arguments = parser.parse_args()
    began = time.monotonic()
    sections, claims = [], []
    for script in SCRIPTS:
        progress(f"== {script}")
        section, rows = split(run(script))
        heading, _, rest = section.partition("\n")
        sections.append(f"{heading}\n\n`python benchmarks/{script}`\n\n{rest.strip()}")
        claims += rows
        print(f"{section}\n", flush=True)
    goals = "\n".join([HEADER, "| --- " * HEADER.count(" | ") + "| --- |", *claims])
    print(goals)
    head = HEAD.format(date=datetime.date.today().isoformat(), minutes=(time.monotonic() - began) / 60)
    with atomic_path(arguments.out) as temporary:
        temporary.write_text("\n\n".join([head.strip(), goals, *sections]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
