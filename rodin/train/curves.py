"""Learning curves of one run or several, over the samples seen, so that runs of other batches can be compared.

Needs Matplotlib for the picture (extra `plot`). Symbols: N rows of a log that have the column.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rodin.errors import UserError
from rodin.files import atomic_path, read_json
from rodin.train.log import LOG_NAME
from rodin.train.loop import SETTINGS_NAME

STAGES = ("encoder", "base", "prior", "upsampler", "refiner")
SMOOTHED = 0.1  # of the samples seen so far: what a running mean is over
PANEL_INCHES = (7.0, 4.0)


@dataclass(frozen=True)
class Curve:
    """One column of one log.

    Args:
        run: as it was given.
        samples: [N] seen by the end of each row, over all processes.
        values: [N]
    """

    run: Path
    samples: np.ndarray
    values: np.ndarray

    def smooth(self) -> np.ndarray:
        """[N] means over the last tenth of the samples seen by each row, so that at equal samples all runs are smoothed
        alike, however long they are and however far their rows lie apart."""
        sums = np.concatenate([[0.0], self.values.cumsum()])
        ends = np.arange(1, len(sums))
        begins = np.searchsorted(self.samples, (1 - SMOOTHED) * self.samples, side="right")
        return (sums[ends] - sums[begins]) / (ends - begins)


def draw_curves(runs: Sequence[Path], stage: str | None, column: str, out: Path) -> None:
    """Draw a column of the logs to `out`, a panel a stage and a line a run, and print where each line ends.

    Args:
        stage: one of STAGES; None = each of which one of the runs has a log.
        column: of log.csv.
        out: picture; its suffix says which kind.

    Raises:
        UserError: there is no run, a log is missing or has no such column, or Matplotlib is not installed or cannot
            write `out`.
    """
    if not runs:
        raise UserError("runs: none; give at least one run folder")
    if stage is not None:
        panels = {stage: [read_curve(run, stage, column) for run in runs]}
    else:
        trained = {stage: [run for run in runs if _log(run, stage).exists()] for stage in STAGES}
        panels = {stage: [read_curve(run, stage, column) for run in some] for stage, some in trained.items() if some}
    if not panels:
        raise UserError(f"{' '.join(map(str, runs))}: no log of any stage; give run folders in which one was trained")
    _plot(panels, column, out)
    for name, curves in panels.items():
        for curve in curves:
            last, smooth = curve.values[-1], curve.smooth()[-1]
            print(f"{name}: {column} {smooth:.5g} (last row {last:.5g}) at {curve.samples[-1]} samples, {curve.run}")
    print(f"curves: {out}")


def read_curve(run: Path, stage: str, column: str) -> Curve:
    """A column of a stage's log; rows that leave it blank are left out.

    Raises:
        UserError: there is no log, or no such column in it.
    """
    path = _log(run, stage)
    if not path.is_file():
        raise UserError(f"{path}: no such log; give a run folder in which the {stage} was trained")
    settings = read_json(path.parent / SETTINGS_NAME)
    a_step = settings["batch_size"] * settings.get("processes", 1)
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if column not in (names := list(reader.fieldnames or ())[1:]):
            raise UserError(f"{path}: no column {column!r}; choose {', '.join(names)}")
        pairs = [(int(row["step"]) * a_step, float(row[column])) for row in reader if row[column]]
    if not pairs:
        raise UserError(f"{path}: no row has a {column} yet; train on")
    samples, values = zip(*pairs, strict=True)
    return Curve(run, np.array(samples), np.array(values))


def _log(run: Path, stage: str) -> Path:
    return Path(run) / f"{stage}.training" / LOG_NAME


def _plot(panels: dict[str, list[Curve]], column: str, out: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"{out}: curves need the package matplotlib; pip install 'rodin-avatars[plot]'") from error
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(panels)), layout="constrained")
    if out.suffix.lower().removeprefix(".") not in figure.canvas.get_supported_filetypes():
        raise UserError(f"{out}: {out.suffix or 'no suffix'} is no picture format of Matplotlib's; choose .png or .svg")
    for axes, (stage, curves) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True):
        for index, curve in enumerate(curves):
            colour = f"C{index}"
            axes.plot(curve.samples, curve.values, color=colour, alpha=0.2, linewidth=1)
            axes.plot(curve.samples, curve.smooth(), color=colour, label=str(curve.run))
        if all((curve.values > 0).all() for curve in curves):
            axes.set_yscale("log")
        axes.set(title=stage, xlabel="samples seen", ylabel=column)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=120)
