"""Contract: a training that was given hours ends when they are over, its learning rate decayed, on all ranks at one
step; interruptions do not count, and the time may be changed when it goes on. Checkpoints are also written by time, and
change nothing of the log. Pictures take a bounded share of the time."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rodin.errors import UserError
from rodin.stages import check_hours
from rodin.train import clock
from rodin.train.clock import Clock
from rodin.train.log import LOG_NAME
from rodin.train.loop import CHECKPOINT_NAME, LoopConfig, run_loop

RunRanks = Callable[..., tuple[int, str]]
CONFIG = LoopConfig(steps=8, batch_size=2, learning_rate=0.05, warmup_steps=4, checkpoint_every=10, ema_decay=0.9)
STEP_SECONDS = 0.01
HOUR = 3600.0


def slow_loss(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    time.sleep(STEP_SECONDS)
    x = torch.randn(2, 4, generator=generator)
    return {"loss": (model(x) - x[:, :2]).square().mean()}


def train(folder: Path, hours: float | None, config: LoopConfig = CONFIG, loss: object = slow_loss) -> dict:
    """Train, and return the checkpoint."""
    torch.manual_seed(0)
    run_loop(nn.Linear(4, 2), loss, config, folder, "test", hours=hours)  # type: ignore[arg-type]
    return torch.load(folder / CHECKPOINT_NAME, weights_only=True)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG_NAME).open(newline="") as file:
        return list(csv.DictReader(file))


def test_hours_decide_in_place_of_steps(tmp_path: Path) -> None:
    begin = time.perf_counter()
    state = train(tmp_path, 1.2 / HOUR)
    spent = time.perf_counter() - begin
    assert state["step"] > CONFIG.steps
    assert 1.2 <= state["seconds"] <= spent
    assert state["seconds"] < 1.2 + 0.5, "at most a step more, and the row"
    rates = [float(row["learning_rate"]) / CONFIG.learning_rate for row in rows(tmp_path)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=1e-3)
    assert all(later <= sooner + 0.05 for sooner, later in pairwise(rates[3:]))
    assert rates[-1] < 0.1


def test_interruptions_do_not_count_and_the_time_may_change(tmp_path: Path) -> None:
    calls = 0

    def interrupted(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise KeyboardInterrupt
        return slow_loss(model, generator)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 0.8 / HOUR, loss=interrupted)
    first = torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)
    assert first["step"] == 30
    assert first["seconds"] >= 30 * STEP_SECONDS
    time.sleep(0.5)
    begin = time.perf_counter()
    second = train(tmp_path, 0.8 / HOUR)
    assert 0.8 <= second["seconds"] < first["seconds"] + time.perf_counter() - begin + 0.01
    third = train(tmp_path, 0.4 / HOUR)  # over already
    assert third["step"] == second["step"]
    fourth = train(tmp_path, 1.1 / HOUR)
    assert fourth["step"] > third["step"]
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(1, fourth["step"] + 1))


RANKS = """
    import sys, time
    from pathlib import Path
    import torch
    from torch import nn
    from rodin.train.loop import LoopConfig, process_state, run_loop

    config = LoopConfig(steps=8, batch_size=2, learning_rate=0.05, warmup_steps=4, checkpoint_every=10, ema_decay=0.9)
    rank = process_state().process_index
    folder = Path(sys.argv[1])
    steps = 0

    def loss(model, generator):
        global steps
        steps += 1
        time.sleep(0.01 + 0.02 * rank)
        x = torch.randn(2, 4, generator=generator)
        return {"loss": (model(x) - x[:, :2]).square().mean()}

    average = run_loop(nn.Linear(4, 2), loss, config, folder / "run", "test", hours=0.6 / 3600)
    torch.save({"steps": steps, "average": average.state_dict()}, folder / f"rank-{rank}.pt")
"""


def test_ranks_end_at_one_step(tmp_path: Path, run_ranks: RunRanks) -> None:
    code, output = run_ranks(tmp_path, RANKS, str(tmp_path))
    assert code == 0, output
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in range(2))
    assert first["steps"] == second["steps"] > CONFIG.steps
    assert all(torch.equal(value, second["average"][name]) for name, value in first["average"].items())


def test_checkpoints_by_time_change_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = LoopConfig(steps=600, batch_size=2, learning_rate=0.05, checkpoint_every=600)  # a row is three steps
    saved: list[int] = []

    def quick(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(2, 4, generator=generator)
        return {"loss": (model(x) - x[:, :2]).square().mean()}

    def cut(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        if (tmp_path / "cut" / CHECKPOINT_NAME).exists():
            saved.append(torch.load(tmp_path / "cut" / CHECKPOINT_NAME, weights_only=True)["step"])
        if len(saved) == 5:
            raise KeyboardInterrupt
        return quick(model, generator)

    wanted = train(tmp_path / "whole", None, config, quick)
    monkeypatch.setattr(clock, "SAVE_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", None, config, cut)
    assert saved == [3, 3, 3, 6, 6]
    found = train(tmp_path / "cut", None, config, quick)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert all(torch.equal(value, found["average"][name]) for name, value in wanted["average"].items())


def test_a_checkpoint_comes_before_it_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the time is over: when another row as long as the last one would take more."""
    monkeypatch.setattr(clock, "SAVE_SECONDS", 0.5)
    watch = Clock(100, None, 0.0, Accelerator(cpu=True))
    answers = []
    for _ in range(3):
        time.sleep(0.15)
        answers.append(watch.save_is_due())
    assert answers == [False, False, True]
    watch.saved()
    time.sleep(0.15)
    assert not watch.save_is_due()


@pytest.mark.parametrize(("cost", "most"), [(0.0, clock.PICTURES), (0.2, 2)])
def test_pictures_are_few_and_cheap(monkeypatch: pytest.MonkeyPatch, cost: float, most: int) -> None:
    """A picture of 0.2 s each fits once or twice into a fifth of 2 s."""
    monkeypatch.setattr(clock, "PICTURE_SHARE", 0.2)
    monkeypatch.setattr(clock, "FIRST_PICTURE_SECONDS", 0.01)
    watch, drawn, steps = Clock(100, None, 0.0, Accelerator(cpu=True)), 0, 100
    begin = time.perf_counter()
    for step in range(1, steps):
        time.sleep(max(0.0, begin + 0.02 * step - time.perf_counter()))
        if watch.picture_is_due(step / steps):
            drawn += 1
            with watch.drawing():
                time.sleep(cost)
    assert most - 1 <= drawn <= most


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_hours_are_refused(hours: float) -> None:
    with pytest.raises(UserError, match=r"--hours: .*choose more than 0"):
        check_hours(hours)
