"""Contract: a stage trains on several processes where its first steps show that they gain, and else on one; a trial
ends in bounded time, loses no step, and is said in one line."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.train import chain, clock
from rodin.train.clock import Paused
from rodin.train.loop import LoopConfig, run_loop
from rodin.train.processes import run_on_processes

LOOP = LoopConfig(steps=12, batch_size=4, learning_rate=0.01, warmup_steps=1)


class Stage:
    """A stage that takes a second a step, and notes how it is called."""

    def __init__(self, ends: bool, left: float = 1000.0) -> None:
        self.ends, self.left = ends, left
        self.calls: list[tuple[int, bool]] = []  # on how many processes, whether as a trial

    def __call__(self, *arguments: Any, trial: bool = False) -> None:
        self.calls.append((1, trial))
        if trial and not self.ends:
            raise Paused(1.0, self.left)


def decide(
    stage: Stage, pace: float | None, monkeypatch: pytest.MonkeyPatch, folder: Path, processes: int = 2
) -> list[tuple[int, bool]]:
    """The calls where a step on several processes takes `pace` seconds, or None where they come to the end."""

    def on_ranks(function: Any, arguments: Any, count: int, patience: float = math.inf) -> float | None:
        stage.calls.append((count, patience < math.inf))
        return pace if patience < math.inf else None

    monkeypatch.setattr(chain, "run_on_processes", on_ranks)
    chain.on_processes(stage, folder / "base", (), LOOP, processes)
    return stage.calls


@pytest.mark.parametrize(
    ("pace", "calls", "said"),
    [
        (0.6, [(1, True), (2, True), (2, False)], "1 s a step on one process, 0.6 s on 2: 2 from here on"),
        (0.9, [(1, True), (2, True), (1, False)], "1 s a step on one process, 0.9 s on 2: one from here on"),
        (math.inf, [(1, True), (2, True), (1, False)], "no answer from 2 in time: one from here on"),
        (None, [(1, True), (2, True)], ""),
    ],
)
def test_processes_are_taken_where_they_clearly_gain(
    pace: float | None,
    calls: list[tuple[int, bool]],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert decide(Stage(ends=False), pace, monkeypatch, tmp_path) == calls
    out = capsys.readouterr().out
    assert said in out
    assert out.count("\n") == (1 if said else 0)


def test_what_ends_soon_starts_no_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert decide(Stage(ends=True), 0.1, monkeypatch, tmp_path) == [(1, True)]
    assert decide(Stage(ends=False, left=20.0), 0.1, monkeypatch, tmp_path) == [(1, True), (1, False)]


@pytest.mark.parametrize(("processes", "taken"), [(1, []), (3, [2, 2]), (4, [4, 4]), (7, [4, 4])])
def test_as_many_as_share_a_batch_equally(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, processes: int, taken: list[int]
) -> None:
    calls = decide(Stage(ends=False), 0.1, monkeypatch, tmp_path, processes)
    assert [count for count, _ in calls if count > 1] == taken


def test_a_trial_loses_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "TRIAL_SECONDS", 0.0)

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        return {"loss": (model(draws.noise(4)) - 1.0).square().mean()}

    def train(folder: Path, trial: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return run_loop(nn.Linear(4, 2), loss, LOOP, folder, "test", trial=trial).state_dict()

    wanted = train(tmp_path / "whole", False)
    steps = []
    for _ in range(2):
        with pytest.raises(Paused) as caught:
            train(tmp_path / "tried", True)
        steps.append(torch.load(tmp_path / "tried" / "checkpoint" / "state.pt", weights_only=True)["step"])
        left = caught.value.left_seconds
        assert left == pytest.approx((LOOP.steps - steps[-1]) * caught.value.step_seconds)
    assert steps == [clock.TRIAL_WARM_UP + clock.TRIAL_STEPS, 2 * (clock.TRIAL_WARM_UP + clock.TRIAL_STEPS)]
    found = train(tmp_path / "tried", True)  # what is left is shorter than a trial
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    logs = [(tmp_path / folder / "log.csv").read_text() for folder in ("whole", "tried")]
    assert logs[0] == logs[1]


def test_processes_that_stand_still_are_ended() -> None:
    began = time.monotonic()
    assert run_on_processes(time.sleep, (1800.0,), 2, patience=0.0) == math.inf
    assert time.monotonic() - began < 1800.0
