"""What a training leaves behind for eyes: numbers and pictures, written by rank 0.

log.csv                    step, learning rate, means of the loss terms, figures of the averaged model where measured
samples/step-NNNNNN.png    pictures by the averaged model
events/                    the same for TensorBoard, and samples a second, if it is installed
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.files import atomic_path
from rodin.images import to_bytes, write_picture

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.utils.tensorboard import SummaryWriter

LOG_NAME = "log.csv"
SAMPLES_NAME = "samples"
EVENTS_NAME = "events"


class Log:
    """The log of one training: one row every few steps, with means since the last row over all ranks.

    A row ends at every checkpoint, so a resumed run writes the rows that an uninterrupted one would have written.

    Args:
        folder: of the training.
        start: steps that are done; what the log has of later ones is written again.
        samples: a step, over all ranks.
        figures: names of what `write_row` is given beside the loss terms.
        row: what `begun_row` gave, of a training that was interrupted within a row.
    """

    def __init__(
        self,
        folder: Path,
        start: int,
        samples: int,
        figures: Sequence[str],
        accelerator: Accelerator,
        row: Mapping[str, Any],
    ) -> None:
        self.last_step: int = row.get("last_step", start)  # of the last row
        self._folder, self._samples, self._accelerator = folder, samples, accelerator
        self._figures = tuple(figures)
        self._sums = {name: value.to(accelerator.device) for name, value in row.get("sums", {}).items()}
        self._row_began = time.perf_counter()
        self._path = folder / LOG_NAME
        self._events: SummaryWriter | None = None
        if accelerator.is_main_process:
            _cut(self._path, start)
            self._events = _event_writer(folder / EVENTS_NAME, start)

    @property
    def has_events(self) -> bool:
        """Whether TensorBoard is served, which rank 0 alone knows."""
        return self._events is not None

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count the terms of one step of this rank."""
        for name, value in terms.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def begun_row(self) -> dict[str, Any]:
        """What was added since the last row, for a checkpoint between two rows. Ask on every rank."""
        names = list(self._sums)
        sums = self._accelerator.reduce(torch.stack([self._sums[name] for name in names]), reduction="mean").cpu()
        return {"last_step": self.last_step, "sums": dict(zip(names, sums.unbind(), strict=True))}

    def write_row(self, step: int, rate: float, figures: Sequence[float] | None) -> float:
        """Append a row and return its loss; it is not written where the loss is not finite.

        Args:
            step: steps done.
            rate: the learning rate of the last of them.
            figures: of the averaged model, as named, or None where they were not measured.
        """
        names = list(self._sums)
        sums = torch.stack([self._sums[name] for name in names])
        means = (self._accelerator.reduce(sums, reduction="mean") / (step - self.last_step)).tolist()
        now = time.perf_counter()
        speed = self._samples * (step - self.last_step) / (now - self._row_began)
        self._sums, self.last_step, self._row_began = {}, step, now
        loss = means[names.index("loss")]
        if not self._accelerator.is_main_process or not math.isfinite(loss):
            return loss
        measured = list(figures or ())
        fresh = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "learning_rate", *names, *self._figures])
            blanks = [""] * (len(self._figures) - len(measured))
            writer.writerow([step, f"{rate:.4g}", *(f"{value:.6g}" for value in means + measured), *blanks])
        if self._events is not None:
            values = dict(zip(names, means, strict=True)) | dict(zip(self._figures, measured, strict=False))
            for name, value in {**values, "learning_rate": rate, "samples_per_second": speed}.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()
        return loss

    def write_picture(self, step: int, picture: Tensor) -> None:
        """Keep a picture [H, W, 3] in [0, 1]. For rank 0 alone."""
        write_picture(self._folder / SAMPLES_NAME / f"step-{step:06d}.png", picture)
        if self._events is not None:
            self._events.add_image("samples", to_bytes(picture).numpy(), step, dataformats="HWC")
            self._events.flush()

    def close(self) -> None:
        """Nothing more is written."""
        if self._events is not None:
            self._events.close()


def _cut(path: Path, start: int) -> None:
    """Drop a row cut off by a kill, and rows after the checkpoint, which are written again."""
    if not path.exists():
        return
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        rows = rows[:1] + [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) <= start]
        if rows and rows[0][:1] != ["step"]:
            raise ValueError("its first line names no columns")
    except (ValueError, csv.Error, OSError, IndexError) as error:
        raise UserError(f"{path}: cannot be gone on with ({one_line(error)}); delete it, the training stays") from error
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _event_writer(folder: Path, start: int) -> SummaryWriter | None:
    """A writer that replaces what is there of steps after `start`; None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=start + 1)
