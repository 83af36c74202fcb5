"""Contract: what counts is what was asked for and can be seen; attributes count alike in the mean."""

from __future__ import annotations

import math

import pytest
import torch

from rodin.evaluate.accuracy import Reading, agreement_with, judge, judge_people, mean_accuracy, worst_accuracy
from rodin.evaluate.sections import extremes

TRAINING = [{"hair": "short", "hair_color": "red"}, {"hair": "bald", "hair_color": "red"}, {"hair": "short"}]
TRAINING[2]["hair_color"] = "black"


def test_only_what_is_named_and_shows_counts() -> None:
    truth = [{"hair": "short"}, {"hair_color": "black"}, {"hair": "bald", "hair_color": "red"}, {}]
    read = {"hair": ["short", "bald", "short", "bald"], "hair_color": ["red", "black", "red", "red"]}
    found = judge(read, truth, TRAINING)
    assert found == {"hair": Reading(2, 1, 1), "hair_color": Reading(1, 1, 0)}
    assert (found["hair"].accuracy, found["hair"].chance) == (0.5, 0.5)


def test_yes_and_no_are_words() -> None:
    found = judge({"hat": ["True", "False"]}, [{"hat": True}, {"hat": "True"}], [{"hat": True}])
    assert found["hat"] == Reading(2, 1, 2)


def test_any_of_several_values_is_right() -> None:
    truth = [{"hat": ("cap", "fedora")}, {"hat": ("none",)}, {"hat": ("cap", "fedora")}]
    found = judge({"hat": ["fedora", "none", "none"]}, truth, [{"hat": "none"}])
    assert found["hat"] == Reading(3, 2, 1)
    assert judge_people({"sex": ["man"]}, [{"sex": ("man", "woman")}], [{"sex": "man"}]) == {"sex": {}}
    believed = {"hat": torch.tensor([0.5, 0.3, 0.2]).log()}
    assert agreement_with(believed, {"hat": ["none", "cap", "fedora"]}, truth[0]) == pytest.approx(math.log(0.5))


def test_people_are_told_apart_by_what_is_true_of_them() -> None:
    truth = [{"sex": "man", "hair": "short"}, {"sex": "woman", "hair": "bald"}, {"sex": "man"}, {"hair": "short"}]
    read = {"sex": ["man", "man", "woman", "man"], "hair": ["short", "bald", "short", "bald"]}
    training = [{"sex": "man", "hair": "short"}]
    assert judge_people(read, truth, training) == {"sex": {"man": Reading(3, 2, 3), "woman": Reading(2, 1, 0)}}
    assert judge_people({"hair": read["hair"]}, truth, training) == {}


def test_the_mean_is_over_attributes_not_subjects() -> None:
    readings = {"a": Reading(100, 100, 0), "b": Reading(4, 2, 0), "c": Reading(0, 0, 0)}
    assert mean_accuracy(readings) == 0.75
    assert worst_accuracy(readings) == 0.5
    assert math.isnan(mean_accuracy({}))
    assert math.isnan(worst_accuracy({"c": Reading(0, 0, 0)}))


def test_a_reader_agrees_as_much_as_it_believes_what_shows() -> None:
    values = {"hair": ["bald", "short"], "hair_color": ["black", "red"]}
    found = {"hair": torch.tensor([0.25, 0.75]).log(), "hair_color": torch.tensor([0.5, 0.5]).log()}
    short = {"hair": "short", "hair_color": "red", "hat": "none"}
    assert agreement_with(found, values, short) == pytest.approx((math.log(0.75) + math.log(0.5)) / 2)
    bald = {"hair": "bald", "hair_color": "red"}
    assert agreement_with(found, values, bald) == pytest.approx(math.log(0.25)), "the colour of no hair does not show"
    assert agreement_with(found, values, {}) == 0
    assert agreement_with(found, values, {"hair": "a kind that nobody has"}) == 0


def test_the_extremes_are_apart_and_in_order() -> None:
    scores = [float(k * 37 % 50) for k in range(50)]
    found = extremes(scores, 12)
    assert [scores[k] for k in found["best"]] == [49.0 - k for k in range(12)]
    assert [scores[k] for k in found["worst"]] == [11.0 - k for k in range(12)]
    assert [scores[k] for k in found["median"]] == [30.0 - k for k in range(12)]
    few = extremes([-math.inf, 2.0, 1.0, 0.0], 12)
    assert few == {"best": [1], "median": [2], "worst": [0]}
    assert extremes([1.0, 2.0], 12) == {"avatars": [1, 0]}
