"""Contract: curves of runs stand over the samples seen, whatever their batches and processes; smoothing is a running
mean over a tenth of them; the picture and the final values come out of `rodin train curves`; what cannot be drawn is
named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rodin.cli.main import main
from rodin.errors import UserError
from rodin.train.curves import STAGES, Curve, draw_curves, read_curve


def write_run(run: Path, stage: str, batch: int, processes: int, values: list[float]) -> Path:
    folder = run / f"{stage}.training"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"batch_size": batch, "processes": processes}))
    lines = [f"{10 * (k + 1)},0.1,{value:g},{'' if k % 2 else 2 * value}" for k, value in enumerate(values)]
    (folder / "log.csv").write_text("\n".join(["step,learning_rate,loss,x0", *lines, ""]))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    falling = (1 / np.arange(1, 61)).tolist()
    write_run(tmp_path / "a", "base", 4, 2, falling)
    write_run(tmp_path / "a", "prior", 3, 1, [0.5, -0.5])
    write_run(tmp_path / "b", "base", 16, 1, falling)
    return [tmp_path / "a", tmp_path / "b"]


def test_the_axis_is_samples_seen_and_blanks_are_left_out(runs: list[Path]) -> None:
    first, second = (read_curve(run, "base", "loss") for run in runs)
    assert first.samples.tolist() == [80 * k for k in range(1, 61)]
    assert second.samples.tolist() == [160 * k for k in range(1, 61)]
    assert first.values == pytest.approx(1 / np.arange(1, 61), rel=1e-4)
    sparse = read_curve(runs[0], "base", "x0")
    assert sparse.samples.tolist() == [80 * k for k in range(1, 61, 2)]


def test_smoothing_is_a_running_mean() -> None:
    values = np.random.default_rng(0).normal(size=60)
    samples = 7 * np.arange(1, 61)
    wanted = [values[(samples > 0.9 * seen) & (samples <= seen)].mean() for seen in samples]
    assert Curve(Path(), samples, values).smooth() == pytest.approx(wanted)
    assert Curve(Path(), samples[:9], values[:9]).smooth() == pytest.approx(values[:9])


def test_equal_curves_are_smoothed_alike_whatever_their_rows() -> None:
    dense, sparse = np.arange(1, 2001), np.arange(50, 1001, 50)
    smooth = [Curve(Path(), samples, samples**-0.5).smooth() for samples in (dense, sparse)]
    assert smooth[1][4:] == pytest.approx(smooth[0][sparse - 1][4:], rel=0.03)


def test_runs_are_overlaid(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "curves.png"
    main(["train", "curves", *map(str, runs), "--stage", "base", "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()
    mean = np.mean([1 / k for k in range(55, 61)])  # the last tenth of the samples
    assert lines[0] == f"base: loss {mean:.5g} (last row {1 / 60:.5g}) at 4800 samples, {runs[0]}"
    assert lines[1].endswith(f"at 9600 samples, {runs[1]}")
    with Image.open(out) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ((31, 119, 180), (255, 127, 14)):  # Matplotlib's first two
        assert (np.abs(pixels - colour).max(axis=1) < 12).sum() > 100


def test_all_stages_get_a_panel(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heights = []
    for stage, name in (("base", "one.png"), (None, "all.png")):
        draw_curves(runs, stage, "loss", tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            heights.append(picture.height)
    assert heights[1] == 2 * heights[0]
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[-4:-1]] == ["base", "base", "prior"]


@pytest.mark.parametrize(
    ("stage", "column", "out", "message"),
    [
        ("refiner", "loss", "c.png", r"a/refiner.training/log.csv: no such log"),
        ("base", "speed", "c.png", r"log.csv: no column 'speed'; choose learning_rate, loss, x0"),
        ("base", "loss", "c.doc", r"c.doc: .doc is no picture format"),
        ("base", "loss", "c", r"c: no suffix is no picture format"),
    ],
)
def test_what_cannot_be_drawn_is_named(
    runs: list[Path], tmp_path: Path, stage: str, column: str, out: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        draw_curves(runs, stage, column, tmp_path / out)
    assert not (tmp_path / out).exists()


def test_folders_without_a_log_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="runs: none"):
        draw_curves([], "base", "loss", tmp_path / "c.png")
    with pytest.raises(UserError, match="no log of any stage"):
        draw_curves([tmp_path], None, "loss", tmp_path / "c.png")


def test_every_stage_is_offered(tmp_path: Path) -> None:
    from typing import get_args

    from rodin.cli.training import Stage

    assert get_args(Stage) == STAGES
