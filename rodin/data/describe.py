"""What a folder of subjects holds, by the attributes in its files: how often each value occurs, what depends on what.

The rules of counting stand in `rodin.data.attributes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rodin.data.attributes import MANY, Numbers, Subject, Value, Words, dependences, summaries
from rodin.data.cameras import LARGEST_NUMBER
from rodin.data.subject_folders import TRANSFORMS_NAMES, list_subjects
from rodin.errors import UserError
from rodin.files import read_json

SHOWN = 10  # of the pairs


def read_attributes(data: Path) -> list[dict[str, Value]]:
    """The attributes of every subject in `data`; the pictures are not read.

    Raises:
        UserError: there is no subject, none has attributes, or a file's attributes are no words, numbers and yes/no.
    """
    subjects = []
    for folder in list_subjects(data):
        path = next(folder / name for name in TRANSFORMS_NAMES if (folder / name).is_file())
        document = read_json(path)
        attributes = document.get("attributes") if isinstance(document, dict) else None
        if not isinstance(attributes, (dict, type(None))):
            raise UserError(f"{path}: attributes is {type(attributes).__name__}; give a JSON object")
        for name, value in (attributes or {}).items():
            readable = abs(value) < LARGEST_NUMBER if isinstance(value, (int, float)) else isinstance(value, str)
            if not readable and value is not None:
                shown = _clean(str(value))
                raise UserError(f"{path}: attribute {name} is {shown}; give a word, a number, true or false")
        subjects.append(attributes or {})
    if not any(subjects):
        raise UserError(f"{data}: no subject has attributes; write them into {TRANSFORMS_NAMES[0]}")
    return subjects


def describe(subjects: Sequence[Subject]) -> str:
    """The attributes of `subjects` in two Markdown tables: the values of each, and the pairs that depend most."""
    found = [(_name(one, len(subjects)), _values(one)) for one in summaries(subjects)]
    parts = [f"{len(subjects)} subjects", _table(("attribute", "values"), found)]
    pairs = dependences(subjects)
    if pairs:
        rows = []
        for pair in pairs[:SHOWN]:
            mark = "*" if pair.strength > pair.chance else ""
            most = " & ".join(
                f"{_clean(name)} = {_clean(value)}" for name, value in zip(pair.names, pair.values, strict=True)
            )
            counts = f"{pair.together} times, {pair.expected:.1f} expected"
            rows.append(
                (" and ".join(map(_clean, pair.names)), f"{pair.strength:.2f}{mark}", f"{pair.chance:.2f}",
                 str(pair.count), f"{most}: {counts}")
            )  # fmt: skip
        parts.append(_table(("pair", "V", "chance", "subjects", "most unusual"), rows))
        rest = pairs[SHOWN:]
        if rest:
            above = sum(pair.strength > pair.chance for pair in rest)
            most = f"{rest[0].strength:.2f}"
            parts.append(f"The other {len(rest)} pairs: V at most {most}, {above} of them above chance.")
        parts.append(
            "V: Cramer's, corrected; 0 = independent, 1 = one follows from the other.\n"
            f"chance: what the largest V of {len(pairs)} independent pairs stays below in 19 of 20 sets; * above it.\n"
            "NAME_X counts only where NAME is there, such as glasses_color where there are glasses."
        )
    return "\n\n".join(parts)


def _name(one: Words | Numbers, subjects: int) -> str:
    count = one.count if isinstance(one, Numbers) else sum(one.counts.values())
    return _clean(one.name) + ("" if count == subjects else f" (of {count})")


def _values(one: Words | Numbers) -> str:
    if isinstance(one, Numbers):
        return f"mean {one.mean:.3g}, {one.low:.3g} to {one.high:.3g}"
    if len(one.counts) > MANY:
        return f"{len(one.counts)} different"
    total = sum(one.counts.values())
    return ", ".join(f"{_clean(word)} {count} ({100 * count / total:.0f} %)" for word, count in one.counts.items())


def _clean(text: str) -> str:
    """A user's word on one line and within its cell."""
    return " ".join(text.replace("|", "/").split())[:60]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of Markdown, aligned but for the last column."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header) - 1)]
    ruler = ["-" * width for width in widths] + ["---"]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[-1]]
             for row in (header, ruler, *rows)]  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
