"""The tables of the model card, weights/README.md, anew from docs/evaluation.

    python scripts/model_card.py [--check]

The goals come from the report's summary; attributes and people from its results.json. With --check nothing is written,
and a card that differs is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from rodin.files import read_json, write_text

CARD = Path("weights/README.md")
REPORT = Path("docs/evaluation")
SETS = ("held-out", "new-words", "pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the card differs")
    check = parser.parse_args().check
    results, card = read_json(REPORT / "results.json"), CARD.read_text(encoding="utf-8")
    report = (REPORT / "report.md").read_text(encoding="utf-8")
    fresh = card
    for first, rows in (("what", goals(report)), ("attribute", attributes(results)), ("whom", people(results))):
        fresh = with_rows(fresh, first, rows)
    if check and fresh != card:
        sys.exit(f"{CARD}: its tables are not those of {REPORT}; run: python scripts/model_card.py")
    if not check:
        write_text(CARD, fresh)
        print(CARD)


def with_rows(card: str, first: str, rows: list[str]) -> str:
    """A card with other rows in the table whose first column is headed so."""
    table = re.compile(rf"^(\| {first} \|.*\n\|[-|]+\|\n)(?:\|.*\n)+", re.MULTILINE)
    assert len(table.findall(card)) == 1
    return table.sub(lambda found: found[1] + "".join(f"{row}\n" for row in rows), card)


def goals(report: str) -> list[str]:
    """The rows of the report's first table."""
    rows = re.search(r"^\| figure \|.*\n\|.*\n((?:\|.*\n)+)", report, re.MULTILINE)
    assert rows
    return [row.replace("| NO |", "| **no** |").replace("| - |", "| |") for row in rows[1].splitlines()]


def attributes(results: dict[str, Any]) -> list[str]:
    """A row an attribute: of each set of prompts, of real pictures, and by chance of the first set."""
    sets, real = [results["prompts"][name] for name in SETS], results["reader"]
    rows = []
    for name in real["attributes"]:
        shares = [one["attributes"][name]["accuracy"] for one in (*sets, real)]
        rows.append([name.replace("_", " "), *shares, sets[0]["attributes"][name]["chance"]])
    return [*map(row_of, rows), row_of(["mean", *(one["mean"] for one in (*sets, real)), None])]


def people(results: dict[str, Any]) -> list[str]:
    """A row a group of people: of the first set of prompts, and of real pictures."""
    drawn, real = results["prompts"][SETS[0]]["people"], results["reader"]["people"]
    return [
        row_of([f"{name}: {value}", one["accuracy"], real[name][value]["accuracy"]])
        for name, values in drawn.items()
        for value, one in values.items()
    ]


def row_of(cells: list[Any]) -> str:
    """A row of words and shares; None is an empty cell."""
    said = [one if isinstance(one, str) else "" if one is None else f"{100 * one:.1f} %" for one in cells]
    return f"| {' | '.join(said)} |"


if __name__ == "__main__":
    main()
