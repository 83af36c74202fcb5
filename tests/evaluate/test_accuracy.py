"""Contract: what counts is what was asked for and can be seen; attributes count alike in the mean."""

from __future__ import annotations

import math

from rodin.evaluate.accuracy import Reading, judge, judge_people, mean_accuracy, worst_accuracy

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
