"""What a benchmark claims, as a row of a table; `run.py` gathers the rows of all scripts at the top of its page.

A script prints its table of claims beside its other results. No claim is reached that was not measured in the run.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = "| claim | against | goal | measured | reached |"


@dataclass(frozen=True, slots=True)
class Claim:
    """One row."""

    claim: str
    against: str
    goal: str
    measured: str
    reached: bool


def claims_table(claims: list[Claim]) -> str:
    """The claims in Markdown."""
    rows = [[c.claim, c.against, c.goal, c.measured, "yes" if c.reached else "**no**"] for c in claims]
    return table(HEADER.strip("| ").split(" | "), rows)


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; its first column is flush left, the others right, except in tables of claims."""
    right = "---" if " | ".join(columns) in HEADER else "--:"
    lines = [columns, ["---", *[right] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
