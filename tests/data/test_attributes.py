"""Contract: counts and means are those of the subjects; the dependence of two attributes is Bergsma's corrected
Cramer's V, a number of [0, 1] that knows no order of attributes, values or subjects, finds what was planted, and stays
below its limit of chance where nothing was; what belongs to an object counts only with the object.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association

from rodin.data.attributes import MANY, Dependence, Numbers, Subject, Words, cramers_v, dependences, summaries

TABLES = st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 40))
)
FULL_TABLES = st.tuples(st.integers(2, 5), st.integers(2, 6)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(1, 60))
)


def bergsma(table: np.ndarray) -> float:
    """The published formula, written down once more around scipy's chi-square."""
    n, (r, k) = table.sum(), table.shape
    phi2 = chi2_contingency(table, correction=False).statistic / n
    phi2 = max(0.0, phi2 - (k - 1) * (r - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return math.sqrt(phi2 / min(k - 1, r - 1))


def pair(subjects: list[Subject], a: str, b: str) -> Dependence:
    return next(found for found in dependences(subjects) if set(found.names) == {a, b})


def coins(count: int, seed: int, **sides: int) -> list[dict[str, str]]:
    """Subjects whose attributes are independent, each of so many equally likely words."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.integers(number, size=count) for name, number in sides.items()}
    return [{name: f"word {values[k]}" for name, values in drawn.items()} for k in range(count)]


# ---- Cramer's V


@given(FULL_TABLES)
@settings(max_examples=150, deadline=None)
def test_it_is_the_published_formula(table: np.ndarray) -> None:
    assert cramers_v(table) == pytest.approx(bergsma(table), abs=1e-9)


@given(FULL_TABLES)
@settings(max_examples=60, deadline=None)
def test_the_correction_vanishes_with_many_subjects(table: np.ndarray) -> None:
    plain = float(association(table, method="cramer"))
    if plain > 0.02:
        assert cramers_v(1_000_000 * table) == pytest.approx(plain, abs=1e-3)


@given(TABLES, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_range_and_symmetry(table: np.ndarray, random: object) -> None:
    value = cramers_v(table)
    assert 0.0 <= value <= 1.0
    assert cramers_v(table.T) == pytest.approx(value, abs=1e-9)
    rows, columns = list(range(table.shape[0])), list(range(table.shape[1]))
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(columns)  # type: ignore[attr-defined]
    assert cramers_v(table[rows][:, columns]) == pytest.approx(value, abs=1e-9)
    assert cramers_v(np.pad(table, 1)) == pytest.approx(value, abs=1e-12), "values that nobody has change nothing"


def test_the_ends_of_the_scale() -> None:
    assert cramers_v(np.diag([30, 20, 50])) == pytest.approx(1.0)
    assert cramers_v(np.outer([10, 20, 30], [1, 2])) == 0.0
    assert cramers_v(np.array([[5, 7, 9]])) == 0.0
    assert cramers_v(np.eye(6, dtype=int)) == 0.0, "where all subjects differ, nothing can be told"


# ---- pairs of attributes


def test_a_planted_dependence_is_found_and_counted() -> None:
    subjects: list[Subject] = [
        {**one, "beard": ("yes" if k % 4 == 0 else "no") if one["sex"] == "word 0" else "no"}
        for k, one in enumerate(coins(400, 3, sex=2, hat=3, top=5))
    ]
    found = dependences(subjects)
    first = found[0]
    assert set(first.names) == {"sex", "beard"}
    assert first.strength > first.chance
    assert all(other.strength < other.chance for other in found[1:])
    assert len(found) == 6
    assert all(other.count == 400 for other in found)
    men = sum(one["sex"] == "word 0" for one in subjects)
    beards = sum(one["beard"] == "yes" for one in subjects)
    assert first.values[first.names.index("beard")] == "yes"
    value = first.values[first.names.index("sex")]
    assert first.together == (beards if value == "word 0" else 0)
    assert first.expected == pytest.approx(beards * (men if value == "word 0" else 400 - men) / 400)


def test_strength_is_that_of_the_pairs_table() -> None:
    subjects: list[Subject] = coins(300, 7, a=3, b=4)  # type: ignore[assignment]
    table = np.zeros((3, 4), int)
    for one in subjects:
        table[int(str(one["a"])[-1]), int(str(one["b"])[-1])] += 1
    assert pair(subjects, "a", "b").strength == pytest.approx(bergsma(table), abs=1e-9)


def test_independent_attributes_stay_below_the_limit_of_chance() -> None:
    """In 19 of 20 sets, or 190 of 200; three standard deviations of that are 9."""
    kept = [dependences(coins(250, seed, a=2, b=3, c=4, d=5, e=6)) for seed in range(200)]  # type: ignore[arg-type]
    assert all(len(found) == 10 for found in kept)
    below = sum(all(one.strength <= one.chance for one in found) for found in kept)
    assert 181 <= below < 200


def test_what_belongs_to_an_object_counts_only_with_it() -> None:
    """Here the colour follows from the hat wherever there is a hat, and from chance elsewhere."""
    rng = np.random.default_rng(0)
    subjects: list[Subject] = []
    for k in range(200):
        hat = ("none", "cap", "fedora", "none")[k % 4]
        color = {"cap": "red", "fedora": "black"}.get(hat, ("red", "black")[int(rng.integers(2))])
        scarf = {"scarf": k % 3 == 0, "scarf_kind": "long" if k % 2 else "short"}
        subjects.append({"hat": hat, "hat_color": color, **scarf})
    assert pair(subjects, "hat", "hat_color").count == 100
    assert pair(subjects, "hat", "hat_color").strength == pytest.approx(1.0)
    counts = {one.name: sum(one.counts.values()) for one in summaries(subjects) if isinstance(one, Words)}
    assert counts == {"hat": 200, "hat_color": 100, "scarf": 200, "scarf_kind": 67}
    assert pair(subjects, "hat_color", "scarf_kind").count == sum(
        bool(one["scarf"]) and one["hat"] != "none" for one in subjects
    )


def test_missing_values_leave_the_subject_out_of_the_pair() -> None:
    subjects: list[Subject] = [{"a": "x"}, {"a": "y", "b": None}, *coins(30, 1, a=2, b=2)]  # type: ignore[list-item]
    assert pair(subjects, "a", "b").count == 30


def test_numbers_count_in_thirds() -> None:
    subjects: list[Subject] = [{"age": float(k), "grey": k >= 200, "luck": str(k % 7)} for k in range(300)]
    found = pair(subjects, "age", "grey")
    assert found.strength == pytest.approx(1.0, abs=0.02)
    assert found.values[found.names.index("age")] == "high"
    assert found.together == 100
    assert pair(subjects, "age", "luck").strength < 0.05


def test_what_never_varies_and_free_text_is_set_against_nothing() -> None:
    words = [f"name {k}" for k in range(MANY + 1)]
    subjects: list[Subject] = [
        {"name": words[k % len(words)], "same": "x", "a": k % 2 == 0, "b": k % 3 == 0} for k in range(100)
    ]
    assert [set(found.names) for found in dependences(subjects)] == [{"a", "b"}]
    assert dependences([{"a": "x"}]) == []
    assert dependences([]) == []


# ---- each attribute


def test_summaries() -> None:
    subjects: list[Subject] = [
        {"hair": "bob", "size": 1, "odd": 2},
        {"hair": "bun", "size": 4.0, "odd": "two"},
        {"hair": "bob", "size": -2.5, "odd": True, "late": False},
    ]
    assert summaries(subjects) == [
        Words("hair", {"bob": 2, "bun": 1}),
        Numbers("size", 3, pytest.approx(2.5 / 3), -2.5, 4.0),
        Words("odd", {"2": 1, "two": 1, "yes": 1}),
        Words("late", {"no": 1}),
    ]
