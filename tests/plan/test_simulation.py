"""Contract: what is played through equals what can be worked out by hand where nothing is left to chance; failures cost
what they should; more nodes help tasks, and training leaves alone what does not help it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.plan.machine import Machine
from rodin.plan.simulation import Chances, stage_seconds
from rodin.plan.work import Stage

NODE = Machine(
    name="one", cores=1, start_s=0, subject_s=1, view_s=1, fit_s=0, fit_us=1, train_gflops=100,
    disk_mb_s=100, network_mb_s=100, storage_mb_s=1000,
)  # fmt: skip
SURE = Chances(failures_per_hour=0, spread=0)


def tasks(count: int, seconds: float = 10.0, write_bytes: float = 0.0) -> Stage:
    return Stage(name="tasks", kind="tasks", count=count, seconds=seconds, write_bytes=write_bytes)


def steps(count: int = 1000, seconds: float = 1.0, batch: int = 16, parameters: int = 0) -> Stage:
    return Stage(name="steps", kind="steps", count=count, seconds=seconds, batch=batch, parameters=parameters)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40))
def test_sure_tasks_take_whole_rounds(count: int, nodes: int) -> None:
    """Nodes of one core take one after another: as many rounds as it needs, and no more."""
    assert stage_seconds(tasks(count), NODE, nodes, SURE) == pytest.approx(10 * math.ceil(count / nodes))


def test_every_node_starts_once() -> None:
    assert stage_seconds(tasks(12), replace(NODE, start_s=7), 4, SURE) == pytest.approx(7 + 30)


def test_cores_share_what_a_node_has() -> None:
    assert stage_seconds(tasks(64), replace(NODE, cores=4), 1, SURE) == pytest.approx(160)
    assert stage_seconds(tasks(12), replace(NODE, cores=2), 1, SURE) == pytest.approx(60)
    assert stage_seconds(tasks(64), replace(NODE, cores=4), 8, SURE) == pytest.approx(20)
    assert stage_seconds(tasks(1), replace(NODE, cores=4), 1, SURE) == pytest.approx(10), "one avatar uses one core"


def test_a_slow_storage_bounds_everything() -> None:
    heavy = tasks(100, seconds=1, write_bytes=1e9)
    alone = stage_seconds(heavy, NODE, 1, SURE)
    assert alone == pytest.approx(100 * (1 + 10)), "a node writes to its own disk"
    many = stage_seconds(heavy, replace(NODE, network_mb_s=1e6), 100, SURE)
    assert many == pytest.approx(1 + 100 * 1.0, rel=0.05), "the shared one takes 1000 MB/s, whoever writes"


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 5))
def test_chance_costs_time(failures: float, spread: float, seed: int) -> None:
    stage = tasks(400, seconds=60)
    sure = stage_seconds(stage, NODE, 8, SURE)
    found = stage_seconds(stage, NODE, 8, Chances(failures_per_hour=failures, spread=spread, seed=seed))
    assert found >= 0.9 * sure
    assert found == stage_seconds(stage, NODE, 8, Chances(failures_per_hour=failures, spread=spread, seed=seed))


def test_failures_cost_what_they_should() -> None:
    """A node that fails once an hour, for tasks of an hour: one in e^-1 of the tries succeeds, and a try that fails
    takes 1 - 1 / (e - 1) of an hour on the mean; then the restart."""
    chances = Chances(failures_per_hour=1, spread=0, restart_s=600, seed=1)
    found = stage_seconds(tasks(6000, seconds=3600), NODE, 20, chances) / (6000 / 20)
    failed = math.e - 1  # tries before one succeeds
    expected = 3600 + failed * (3600 * (1 - 1 / (math.e - 1)) + 600)
    assert found == pytest.approx(expected, rel=0.1)


def test_more_nodes_help_tasks() -> None:
    times = [stage_seconds(tasks(5000, seconds=30), NODE, nodes, Chances()) for nodes in (1, 2, 4, 16, 64, 256)]
    assert times == sorted(times, reverse=True)
    assert times[0] / times[3] > 15
    assert times[0] / times[5] < 256


def test_training_is_shared_and_waits_for_gradients() -> None:
    machine = replace(NODE, cores=4)
    assert stage_seconds(steps(), machine, 1, SURE) == pytest.approx(250, rel=0.01)
    assert stage_seconds(steps(batch=2), machine, 1, SURE) == pytest.approx(500, rel=0.01), "no more ranks than samples"
    # 10 million parameters round a ring of two nodes at 100 MB/s: 2 x 4 bytes x 10^7 / 2 / 10^8 = 0.4 s a step.
    slow = stage_seconds(steps(seconds=1, batch=2, parameters=10_000_000), NODE, 2, SURE)
    assert slow == pytest.approx(1000 * (0.5 + 0.4), rel=0.01)
    # Where that takes longer than it saves, one node trains alone.
    assert stage_seconds(steps(seconds=1, batch=2, parameters=40_000_000), NODE, 2, SURE) == pytest.approx(1000)


def test_failures_cost_trainings_their_checkpoints() -> None:
    found = stage_seconds(steps(), NODE, 1, Chances(failures_per_hour=0.4, spread=0, restart_s=300, checkpoint_s=300))
    assert found == pytest.approx(1000 / (1 - 0.4 / 3600 * 450), rel=0.01)


def test_what_one_core_does_is_not_shared() -> None:
    alone = Stage(name="alone", kind="alone", count=1, seconds=77)
    assert stage_seconds(alone, NODE, 100, Chances()) == 77


@pytest.mark.parametrize("field", ["failures_per_hour", "restart_s", "spread", "checkpoint_s", "seed"])
def test_impossible_chances_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must not be negative"):
        Chances(**{field: -1})
