"""How often attributes are read as they should be.

The mean over attributes counts each alike, however many prompts name it, and the worst is the lowest of them. Beside an
attribute stands what the reader makes of real pictures, which is about as much as avatars can reach.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rodin.evaluate.attribute_reader import shows

PEOPLE = ("sex", "age", "skin")  # attributes of synthetic subjects by which some might be drawn worse than others


@dataclass(frozen=True)
class Reading:
    """One attribute.

    Args:
        count: subjects that count.
        right: those that are read right.
        by_chance: those that would be right if the commonest value of the training subjects were always said.
    """

    count: int
    right: int
    by_chance: int

    @property
    def accuracy(self) -> float:
        """Share that is read right; NaN where none counts."""
        return self.right / self.count if self.count else math.nan

    @property
    def chance(self) -> float:
        """Share that the commonest value gets right; NaN where none counts."""
        return self.by_chance / self.count if self.count else math.nan


def judge(
    read: Mapping[str, Sequence[str]], truth: Sequence[Mapping[str, Any]], training: Sequence[Mapping[str, Any]]
) -> dict[str, Reading]:
    """Compare what was read of N subjects with what is true of them.

    Args:
        read: N values of each attribute.
        truth: N mappings; an attribute counts where it is given and shows. Of a tuple of values any is right.
        training: attributes of the training subjects.
    """
    found = {}
    for name, values in read.items():
        commonest = Counter(sorted(str(one[name]) for one in training)).most_common(1)[0][0]
        pairs = [
            (allowed(one[name]), value)
            for one, value in zip(truth, values, strict=True)
            if name in one and shows(one, name)
        ]
        right = sum(value in true for true, value in pairs)
        found[name] = Reading(len(pairs), right, sum(commonest in true for true, _ in pairs))
    return found


def allowed(true: object) -> tuple[str, ...]:
    """The values that are right: one, or those of a tuple."""
    return true if isinstance(true, tuple) else (str(true),)


def judge_people(
    read: Mapping[str, Sequence[str]], truth: Sequence[Mapping[str, Any]], training: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Reading]]:
    """All attributes taken together, for the subjects of each sex, age and skin: {"skin": {"pale": ...}}.

    Arguments as of `judge`; people by what is true of them, not by what was read. Where several values may be, nobody
    is meant.
    """
    found: dict[str, dict[str, Reading]] = {}
    for name in (one for one in PEOPLE if one in read):
        found[name] = {}
        for value in sorted({str(one[name]) for one in truth if name in one and not isinstance(one[name], tuple)}):
            chosen = [k for k, one in enumerate(truth) if str(one.get(name)) == value]
            theirs = {attribute: [values[k] for k in chosen] for attribute, values in read.items()}
            found[name][value] = together(judge(theirs, [truth[k] for k in chosen], training))
    return found


def agreement_with(found: Mapping[str, Tensor], values: Mapping[str, Sequence[str]], truth: Mapping[str, Any]) -> float:
    """The mean logarithm of the probability that a reader gives to what is true of a subject; 0 where nothing is said.

    Args:
        found: [K] log probabilities of each attribute's values.
        values: by attribute the K values.
        truth: by attribute the value; it counts where it shows and the reader knows it.
    """
    said = []
    for name, row in found.items():
        places = [values[name].index(value) for value in allowed(truth.get(name)) if value in values[name]]
        if places and name in truth and shows(truth, name):
            said.append(float(row[places].logsumexp(dim=0)))
    return sum(said) / len(said) if said else 0.0


def together(readings: Mapping[str, Reading]) -> Reading:
    """The sum of some readings."""
    parts = [(one.count, one.right, one.by_chance) for one in readings.values()]
    return Reading(*(sum(part) for part in zip(*parts, strict=True))) if parts else Reading(0, 0, 0)


def mean_accuracy(readings: Mapping[str, Reading]) -> float:
    """Over the attributes that count; NaN if none does."""
    counted = [one.accuracy for one in readings.values() if one.count]
    return sum(counted) / len(counted) if counted else math.nan


def worst_accuracy(readings: Mapping[str, Reading]) -> float:
    """Of the attributes that count; NaN if none does."""
    return min((one.accuracy for one in readings.values() if one.count), default=math.nan)
