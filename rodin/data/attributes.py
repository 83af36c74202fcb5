"""How the attributes of a set of subjects are spread, and which of them depend on each other.

An attribute is words or yes/no, with a count for each value, or numbers, with mean and range; set against another,
numbers count as low, middle or high, a third of the subjects each. How far two attributes depend on each other is
Cramer's V, corrected for chance (W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", Journal of the
Korean Statistical Society 42, 2013): 0 = independent, 1 = one follows from the other.

What describes an object exists only with it: NAME_X of a subject whose NAME is none, bald or no counts as missing, such
as glasses_color where glasses is none. Missing values leave a subject out of the pairs that need them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Value = str | bool | int | float | None
Subject = Mapping[str, Value]

ABSENT = ("none", "bald", "no")
MANY = 24  # more words than this are free text or a code, which is set against nothing


@dataclass(frozen=True, slots=True)
class Words:
    """An attribute of words: how many subjects have each, the commonest first."""

    name: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Numbers:
    """An attribute of numbers, which `count` subjects have."""

    name: str
    count: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Dependence:
    """How far two attributes depend on each other.

    Args:
        names: the two attributes.
        count: subjects that have both.
        strength: Cramer's V, corrected, 0 to 1.
        chance: what the strongest of all pairs of the set stays below in about 19 of 20 sets, if all are independent.
        values: the two values that are together most unusually often or seldom, for how often either occurs.
        together: subjects that have both values.
        expected: how many would, were the attributes independent.
    """

    names: tuple[str, str]
    count: int
    strength: float
    chance: float
    values: tuple[str, str]
    together: int
    expected: float


def summaries(subjects: Sequence[Subject]) -> list[Words | Numbers]:
    """Every attribute of the subjects, in the order in which they come."""
    found: list[Words | Numbers] = []
    for name, values in _columns(subjects).items():
        known = [value for value in values if value is not None]
        if _are_numbers(known):
            numbers = np.array(known, dtype=float)
            low, high = float(numbers.min()), float(numbers.max())
            found.append(Numbers(name, len(known), float(numbers.mean()), low, high=high))
        else:
            found.append(Words(name, dict(Counter(map(_word, known)).most_common())))
    return found


def dependences(subjects: Sequence[Subject]) -> list[Dependence]:
    """Every pair of attributes that vary, the strongest dependence first; free text is left out."""
    columns = {name: _levels(values) for name, values in _columns(subjects).items()}
    columns = {name: words for name, words in columns.items() if 1 < len(set(words) - {None}) <= MANY}
    pairs = list(combinations(columns, 2))
    found = [_dependence((a, b), columns[a], columns[b], len(pairs)) for a, b in pairs]
    return sorted((pair for pair in found if pair), key=lambda pair: -pair.strength)


def cramers_v(table: np.ndarray) -> float:
    """Cramer's V of a table of counts [r, k], with Bergsma's correction; 0 where the table cannot show a dependence."""
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(table.shape) < 2:
        return 0.0
    expected = _expected(table)
    return _corrected(float(((table - expected) ** 2 / expected).sum()), table)


def _corrected(chi_square: float, table: np.ndarray) -> float:
    """Bergsma's V for a value of the chi-square statistic of a table [r, k] without empty rows and columns."""
    total, (rows, columns) = float(table.sum()), table.shape
    excess = max(0.0, chi_square / total - (rows - 1) * (columns - 1) / (total - 1))
    most = min(size - 1 - (size - 1) ** 2 / (total - 1) for size in (rows, columns))
    return float(np.sqrt(min(excess / most, 1.0))) if most > 1e-9 else 0.0


def _expected(table: np.ndarray) -> np.ndarray:
    """The counts [r, k] of independent attributes with the same totals."""
    return np.asarray(np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum())


def _dependence(
    names: tuple[str, str], first: list[str | None], second: list[str | None], pairs: int
) -> Dependence | None:
    """The pair's dependence; None where those who have both attributes are all alike in one."""
    both = Counter((a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None)
    rows, columns = (sorted({cell[axis] for cell in both}) for axis in (0, 1))
    if min(len(rows), len(columns)) < 2:
        return None
    table = np.array([[both[a, b] for b in columns] for a in rows])
    expected = _expected(table)
    row, column = np.unravel_index(np.argmax((table - expected) ** 2 / expected), table.shape)
    from scipy.special import chdtri

    limit = chdtri((len(rows) - 1) * (len(columns) - 1), 0.05 / pairs)
    return Dependence(
        names, int(table.sum()), cramers_v(table), _corrected(float(limit), table),
        values=(rows[row], columns[column]), together=int(table[row, column]), expected=float(expected[row, column]),
    )  # fmt: skip


def _columns(subjects: Sequence[Subject]) -> dict[str, list[Value]]:
    """By attribute its value in each subject; None where it is missing or its object is."""
    names = dict.fromkeys(name for subject in subjects for name in subject)
    columns: dict[str, list[Value]] = {}
    for name in names:
        owner = name.rpartition("_")[0]
        columns[name] = [
            None if owner in subject and _word(subject[owner]) in ABSENT else subject.get(name) for subject in subjects
        ]
    return {name: values for name, values in columns.items() if any(value is not None for value in values)}


def _are_numbers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _word(value: Value) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _levels(values: list[Value]) -> list[str | None]:
    """Words as they are, more than three different numbers as low, middle and high."""
    known = [value for value in values if value is not None]
    if not _are_numbers(known) or len(set(known)) <= 3:
        return [None if value is None else _word(value) for value in values]
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    low, high = np.nanquantile(numbers, (1 / 3, 2 / 3))
    return [None if np.isnan(n) else "low" if n < low else "high" if n > high else "middle" for n in numbers]
