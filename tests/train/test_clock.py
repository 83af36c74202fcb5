"""Contract: a training that was given hours ends when they are over, its learning rate decayed, on all ranks at one
step; interruptions do not count, and the time may be changed when it goes on. Checkpoints are also written by time, and
change nothing of the log. Pictures take a bounded share of the time.

Time is the tests' own here: the clock reads a count of seconds that passes only where a test lets it. A pause of the
machine cannot change what they find.
"""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.errors import UserError
from rodin.train import clock, loop
from rodin.train.clock import Clock
from rodin.train.log import LOG_NAME
from rodin.train.loop import CHECKPOINT_NAME, LoopConfig, run_loop
from rodin.train.ranks import process_state

CONFIG = LoopConfig(steps=8, batch_size=2, learning_rate=0.05, warmup_steps=4, checkpoint_every=10, ema_decay=0.9)
STEP_SECONDS = 1.0
HOUR = 3600.0


class Time:
    """Seconds since some moment, which pass when told to; stands in for `perf_counter`."""

    def __init__(self) -> None:
        self.now = 1234.5

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds

    def loss(self, model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        """A training step that takes `STEP_SECONDS`."""
        self.passes(STEP_SECONDS)
        return quick_loss(model, draws)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(clock, "perf_counter", found)
    return found


def quick_loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
    x = draws.noise(4)
    return {"loss": (model(x) - x[:, :2]).square().mean()}


def train(folder: Path, hours: float | None, loss: object, config: LoopConfig = CONFIG) -> dict:
    """Train, and return the checkpoint."""
    torch.manual_seed(0)
    run_loop(nn.Linear(4, 2), loss, config, folder, "test", hours=hours)  # type: ignore[arg-type]
    return torch.load(folder / CHECKPOINT_NAME, weights_only=True)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG_NAME).open(newline="") as file:
        return list(csv.DictReader(file))


def test_hours_decide_in_place_of_steps(tmp_path: Path, watch: Time) -> None:
    state = train(tmp_path, 99.5 / HOUR, watch.loss)
    assert state["step"] == 100, "the first step that ends after the time"
    assert state["seconds"] == 100 * STEP_SECONDS
    rates = [float(row["learning_rate"]) / CONFIG.learning_rate for row in rows(tmp_path)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=1e-3)
    assert all(later <= sooner for sooner, later in pairwise(rates[3:]))
    assert rates[-1] < 0.011


def test_interruptions_do_not_count_and_the_time_may_change(tmp_path: Path, watch: Time) -> None:
    calls = 0

    def interrupted(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise KeyboardInterrupt
        return watch.loss(model, draws)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 80 / HOUR, interrupted)
    first = torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)
    assert first["step"] == 30
    assert first["seconds"] == 30 * STEP_SECONDS
    watch.passes(1000.0)
    second = train(tmp_path, 80 / HOUR, watch.loss)
    assert (second["step"], second["seconds"]) == (80, 80.0)
    third = train(tmp_path, 40 / HOUR, watch.loss)  # over already
    assert third["step"] == second["step"]
    fourth = train(tmp_path, 110 / HOUR, watch.loss)
    assert fourth["step"] == 110
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(1, 111))


def on_each_rank(folder: Path) -> None:
    """What a rank does, each by a clock of its own; see conftest.py."""
    rank, watch, steps = process_state().process_index, Time(), 0

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        nonlocal steps
        steps += 1
        watch.passes(1.0 + 2 * rank)
        return quick_loss(model, draws)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "perf_counter", watch)
        average = run_loop(nn.Linear(4, 2), loss, CONFIG, folder / "hours", "hours", hours=30 / HOUR)
    torch.save({"steps": steps, "average": average.state_dict()}, folder / f"hours-{rank}.pt")


def test_ranks_end_at_one_step(two_ranks: Any) -> None:
    first, second = two_ranks.read("hours")
    assert first["steps"] == second["steps"] == 30, "by the first rank's clock"
    assert all(torch.equal(value, second["average"][name]) for name, value in first["average"].items())


def test_checkpoints_by_time_change_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ROWS", 4)  # so that a row is three steps
    config = LoopConfig(steps=12, batch_size=2, learning_rate=0.05, warmup_steps=2, checkpoint_every=12)
    saved: list[int] = []

    def cut(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        if (tmp_path / "cut" / CHECKPOINT_NAME).exists():
            saved.append(torch.load(tmp_path / "cut" / CHECKPOINT_NAME, weights_only=True)["step"])
        if len(saved) == 5:
            raise KeyboardInterrupt
        return quick_loss(model, draws)

    wanted = train(tmp_path / "whole", None, quick_loss, config)
    monkeypatch.setattr(clock, "SAVE_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", None, cut, config)
    assert saved == [3, 3, 3, 6, 6]
    found = train(tmp_path / "cut", None, quick_loss, config)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert all(torch.equal(value, found["average"][name]) for name, value in wanted["average"].items())


def test_a_checkpoint_comes_before_it_is_too_late(monkeypatch: pytest.MonkeyPatch, watch: Time) -> None:
    """Not when the time is over: when another row as long as the last one would take more."""
    monkeypatch.setattr(clock, "SAVE_SECONDS", 50.0)
    times = Clock(100, None, 0.0, Accelerator(cpu=True))
    answers = []
    for _ in range(3):
        watch.passes(15.0)
        answers.append(times.save_is_due())
    assert answers == [False, False, True]
    times.saved()
    watch.passes(15.0)
    assert not times.save_is_due()


@pytest.mark.parametrize(("cost", "drawn"), [(0.0, clock.PICTURES - 1), (20.0, 2)])
def test_pictures_are_few_and_cheap(monkeypatch: pytest.MonkeyPatch, watch: Time, cost: float, drawn: int) -> None:
    """Two pictures of 20 s each fit into a fifth of about 200 s. The last one is drawn in any case, by the loop."""
    monkeypatch.setattr(clock, "PICTURE_SHARE", 0.2)
    times, found, steps = Clock(100, None, 0.0, Accelerator(cpu=True)), 0, 100
    for step in range(1, steps):
        watch.passes(2.0)
        if times.picture_is_due(step / steps):
            found += 1
            with times.drawing():
                watch.passes(cost)
    assert found == drawn


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_hours_are_refused(hours: float) -> None:
    from rodin.train.chain import check_hours  # and all stages with it, which ranks do without

    with pytest.raises(UserError, match=r"--hours: .*choose more than 0"):
        check_hours(hours)
