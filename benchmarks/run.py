"""All benchmarks of speed in one run, to the terminal and to docs/benchmarks.md.

    python benchmarks/run.py

Each script runs in its own process and prints Markdown; its sections are kept in order, its claims are gathered at the
top of the page.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from claims import HEADER

from rodin.files import atomic_path

SCRIPTS = ("machine", "limits", "render", "live", "memory", "fit_speed", "aware_conv", "text_to_glb", "gpu")
PAGE = Path("docs/benchmarks.md")
TITLE = """# Benchmarks

Written by `make bench` in one run; each section is the output of the script that it names. Times are of one thread
unless they say otherwise: medians with quartiles, of turns that alternate with what they are compared to.
"""


def run(script: str) -> str:
    """What a script prints; its progress stays on the terminal."""
    path = Path(__file__).with_name(f"{script}.py")
    return subprocess.run([sys.executable, path], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def without_claims(text: str) -> tuple[str, list[str]]:
    """A script's output without its tables of claims, and the rows of those."""
    kept, rows = [], []
    inside = False
    for line in text.splitlines():
        inside = line == HEADER or (inside and line.startswith("|"))
        if not inside:
            kept.append(line)
        elif line != HEADER and not line.startswith("| ---"):
            rows.append(line)
    return "\n".join(kept).strip(), rows


def page(outputs: dict[str, str]) -> str:
    """The whole page."""
    sections, claims = [], []
    for script, output in outputs.items():
        text, rows = without_claims(output)
        heading, _, body = text.partition("\n")
        sections.append(f"{heading}\n\n`python benchmarks/{script}.py`\n\n{body.strip()}")
        claims += rows
    top = [HEADER, "| --- | --- | --- | --- | --- |", *claims]
    return "\n\n".join([TITLE.strip(), "\n".join(top), *sections]) + "\n"


def main() -> None:
    outputs = {}
    for script in SCRIPTS:
        outputs[script] = run(script)
        print(outputs[script] + "\n", flush=True)
    with atomic_path(PAGE) as temporary:
        temporary.write_text(page(outputs), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
