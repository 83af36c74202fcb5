"""Contract: a training leaves its numbers in log.csv, its pictures in samples/, and both again for TensorBoard where
that is installed; figures stand in the rows in which they were measured; an interrupted run's log is that of an
uninterrupted one, in all three. Rows and losses are in test_loop.py."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.train.log import EVENTS_NAME, LOG_NAME, SAMPLES_NAME
from rodin.train.loop import LoopConfig, Measure, run_loop

CONFIG = LoopConfig(steps=12, batch_size=2, learning_rate=0.05, warmup_steps=2, checkpoint_every=5, ema_decay=0.9)


@pytest.fixture(autouse=True)
def _first_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event files of one second are read in the order of their names, which end with how many a process has written:
    10 would come before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
    x = draws.noise(4)
    return {"loss": (model(x) - x[:, :2]).square().mean(), "size": x.abs().mean()}


def figures(average: nn.Module) -> list[float]:
    assert not torch.is_grad_enabled()
    assert not average.training
    return [average.weight.sum().item(), average.bias.sum().item()]  # type: ignore[operator,union-attr]


MEASURE = Measure(names=("weights", "biases"), figures=figures, every=4)


def draw(average: nn.Module) -> Tensor:
    assert not torch.is_grad_enabled()
    return torch.linspace(0, 1, 4 * 6 * 3).view(4, 6, 3)


def train(folder: Path, stop: int = 99) -> nn.Module:
    def stopping(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        nonlocal stop
        stop -= 1
        if stop < 0:
            raise KeyboardInterrupt
        return loss(model, draws)

    torch.manual_seed(0)
    return run_loop(nn.Linear(4, 2), stopping, CONFIG, folder, "test", measure=MEASURE, draw=draw)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG_NAME).open(newline="") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / EVENTS_NAME)).Reload()


def test_figures_stand_where_they_were_measured(tmp_path: Path) -> None:
    average = train(tmp_path)
    log = rows(tmp_path)
    assert list(log[0]) == ["step", "learning_rate", "loss", "size", "weights", "biases"]
    assert [int(row["step"]) for row in log if row["weights"]] == [4, 8, 12]
    assert all((row["weights"] == "") == (row["biases"] == "") for row in log)
    assert [float(log[-1][name]) for name in MEASURE.names] == pytest.approx(figures_of(average), rel=1e-5)


@torch.no_grad()
def figures_of(average: nn.Module) -> list[float]:
    return figures(average)


@pytest.mark.parametrize("stop", [3, 5, 9])
def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop)
    train(tmp_path / "cut")
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    found, wanted = events(tmp_path / "cut"), events(tmp_path / "whole")
    for name in ("loss", "size", "learning_rate", "weights"):
        values = [[(event.step, event.value) for event in log.Scalars(name)] for log in (found, wanted)]
        assert values[0] == values[1]


def test_tensorboard_reads_what_the_log_has(tmp_path: Path) -> None:
    train(tmp_path)
    log, found = rows(tmp_path), events(tmp_path)
    assert set(found.Tags()["scalars"]) == {*log[0], "samples_per_second"} - {"step"}
    for name in (*log[0],)[1:]:
        wanted = [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-3)) for row in log if row[name]]
        assert [(event.step, event.value) for event in found.Scalars(name)] == wanted
    assert all(event.value > 0 for event in found.Scalars("samples_per_second"))
    assert [event.step for event in found.Images("samples")] == [12]
    assert found.Images("samples")[0].width == 6


def test_the_last_picture_is_kept(tmp_path: Path) -> None:
    train(tmp_path)
    assert [path.name for path in (tmp_path / SAMPLES_NAME).iterdir()] == ["step-000012.png"]
    with Image.open(tmp_path / SAMPLES_NAME / "step-000012.png") as picture:
        wanted = (draw_of() * 255).round().byte().numpy()
        assert np.array_equal(np.asarray(picture), wanted)


@torch.no_grad()
def draw_of() -> Tensor:
    return draw(nn.Identity())


def test_without_tensorboard_the_log_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)  # what Python does with a module that is not there
    train(tmp_path)
    assert capsys.readouterr().out.count("no event files (pip install 'rodin-avatars[tensorboard]')") == 1
    assert len(rows(tmp_path)) == 12
    assert not (tmp_path / EVENTS_NAME).exists()
