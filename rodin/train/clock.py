"""When a training ends, saves itself and draws a picture: by its steps, or by the hours that it may take.

Where time decides, rank 0's clock does so for all ranks. Time is the loop's own, checkpoints and pictures included; it
adds up over interruptions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import Accelerator

SAVE_SECONDS = 300.0  # the most that a killed run loses, unless one row of the log takes longer
PICTURES = 20  # in a whole run, at most
PICTURE_SHARE = 0.02  # of the time, at most; the last picture is drawn in any case
FIRST_PICTURE_SECONDS = 1.0  # what the first one is taken to cost
TRIAL_WARM_UP = 2  # steps
TRIAL_STEPS = 3  # that are timed, at least
TRIAL_SECONDS = 10.0  # that they take, at least: what else the machine does comes and goes


class Paused(Exception):
    """A trial is over before the training is, which was saved.

    Args:
        step_seconds: that a step takes.
        left_seconds: that the rest will take at this pace.
    """

    def __init__(self, step_seconds: float, left_seconds: float) -> None:
        super().__init__(f"{step_seconds:.3g} s a step")
        self.step_seconds, self.left_seconds = step_seconds, left_seconds


class Trial:
    """Times the first steps of a process, the very first ones left out, which fill caches."""

    def __init__(self) -> None:
        self._steps, self._begin = 0, 0.0

    def step_seconds(self) -> float:
        """That a step takes; 0 as long as it is not known. Ask after each step."""
        self._steps += 1
        if self._steps == TRIAL_WARM_UP:
            self._begin = perf_counter()
        timed, took = self._steps - TRIAL_WARM_UP, perf_counter() - self._begin
        return took / timed if timed >= TRIAL_STEPS and took >= TRIAL_SECONDS else 0.0


class Clock:
    """The time of one training.

    Args:
        steps: of the whole training, unless `hours` is given.
        hours: of the whole training; None = it goes by steps.
        spent: seconds of it that are over, from the checkpoint.
        accelerator: of this rank.
    """

    def __init__(self, steps: int, hours: float | None, spent: float, accelerator: Accelerator) -> None:
        self._steps, self._hours, self._spent, self._accelerator = steps, hours, spent, accelerator
        self._begin = self._row = self._saved = perf_counter()
        self._next_picture: float | None = None  # progress at which it is due
        self._drawing, self._last_drawing = 0.0, FIRST_PICTURE_SECONDS  # seconds

    @property
    def seconds(self) -> float:
        """Of training so far, by this rank's clock."""
        return self._spent + perf_counter() - self._begin

    def progress(self, step: int) -> float:
        """How far the training is after some steps, the same on every rank: 0 at the start, ended at 1 and above."""
        if self._hours is None:
            return step / self._steps
        return agreed(self.seconds / (3600 * self._hours), self._accelerator)

    def left(self, progress: float, steps_seconds: float) -> float:
        """Seconds to the end, where `steps_seconds` is what the steps to it would take."""
        return steps_seconds if self._hours is None else (1 - progress) * 3600 * self._hours

    def save_is_due(self) -> bool:
        """Whether the next row of the log might end too late for a checkpoint. Ask at each row, on every rank."""
        now = perf_counter()
        late = now - self._saved + (now - self._row) > SAVE_SECONDS
        self._row = now
        return bool(agreed(float(late), self._accelerator))

    def saved(self) -> None:
        """A checkpoint was just written."""
        self._saved = perf_counter()

    def picture_is_due(self, progress: float) -> bool:
        """Whether one is due and would keep within its share of the time. For rank 0 alone."""
        if self._next_picture is None:  # the first row after the start
            self._next_picture = (math.floor(progress * PICTURES) + 1) / PICTURES
        affordable = self._drawing + self._last_drawing <= PICTURE_SHARE * (perf_counter() - self._begin)
        if progress < self._next_picture or not affordable:
            return False
        self._next_picture = (math.floor(progress * PICTURES) + 1) / PICTURES
        return True

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Takes the time of a picture."""
        begin = perf_counter()
        yield
        self._last_drawing = perf_counter() - begin
        self._drawing += self._last_drawing


def agreed(value: float, accelerator: Accelerator) -> float:
    """Rank 0's value, on every rank, all of which ask."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(value, device=accelerator.device)))
