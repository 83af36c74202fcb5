"""The one training loop: optimizer, warm-up and cosine decay, moving average, checkpoints, log. It knows no model.

A stage gives a model and a loss that draws its own batch. What a sample of a step draws hangs on the seed, the step and
its place in the batch alone (`rodin.draws`), so a run that was stopped and resumed equals one that was not, and one on
several ranks (launched by `torchrun`) equals one on a single rank but for rounding. Where hours decide in place of
steps, the clock sets learning rate and end, and no two runs are equal. Rank 0 alone writes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn
from tqdm import tqdm

from rodin.errors import UserError
from rodin.files import check_settings, plain, write_json
from rodin.parts import check_range
from rodin.signals import put_off
from rodin.train.clock import Clock, Paused, Trial, agreed
from rodin.train.log import Log
from rodin.train.optimizers import Kind
from rodin.train.pupil import Loss, Pupil
from rodin.train.ranks import process_state

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import PartialState

Draw = Callable[[nn.Module], Tensor]  # the averaged model -> a picture [H, W, 3] in [0, 1]

CHECKPOINT_NAME = "checkpoint/state.pt"
SETTINGS_NAME = "settings.json"
ROWS = 200  # of the log in a whole run, checkpoints apart, or more:
LONGEST_ROW = 100  # steps
FINAL_RATE = 0.01  # of the learning rate, at the end of the decay
HOW = ("accumulate", "sharding")  # settings that change nothing of what is learned, and may change when a run goes on


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How to train.

    Args:
        steps: optimizer steps.
        batch_size: samples a step, shared by all processes.
        accumulate: parts in which each process computes its share, one after the other, to hold less at a time.
        sharding: "fsdp" cuts the model up among the processes (`rodin.train.sharded`); with "none" each has it whole.
        learning_rate: at the top, after the warm-up; cosine decay to a hundredth of it follows.
        warmup_steps: of linear rise.
        weight_decay: of the optimizer.
        betas: of AdamW.
        optimizer: "adamw", or "muon" for matrices and kernels beside it (`rodin.train.optimizers`).
        ema_decay: of the moving average of the weights; lower in the first steps, so that short runs have a mean too.
        gradient_clip: the largest norm of the whole gradient; 0 = off.
        bf16: run the model in bfloat16 where the processor computes in it; elsewhere in float32, which the log says.
        compile: compile the model; for GPUs, where it takes a minute first.
        checkpoint_every: steps from one checkpoint to the next; there is one every five minutes besides.
        seed: of everything that is drawn.
    """

    steps: int
    batch_size: int
    accumulate: int = 1
    sharding: Literal["none", "fsdp"] = "none"
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    optimizer: Kind = "adamw"
    ema_decay: float = 0.9999
    gradient_clip: float = 1.0
    bf16: bool = False
    compile: bool = False
    checkpoint_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 10**9, "steps", "checkpoint_every")
        check_range(self, 1, 2**20, "batch_size", "accumulate")
        if self.sharding == "fsdp" and self.optimizer == "muon":
            raise ValueError("sharding fsdp leaves no rank the whole matrices that muon turns; choose optimizer adamw")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(f"warmup_steps must lie in 0 to steps = {self.steps}, got {self.warmup_steps}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        for name in ("weight_decay", "gradient_clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name, values in (("ema_decay", (self.ema_decay,)), ("betas", self.betas)):
            if not all(0 <= value < 1 for value in values):
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Figures of the averaged model for the log.

    Args:
        names: of the figures.
        figures: the averaged model -> one number a name.
        every: steps from one measurement to the next; it is made at the next row of the log.
    """

    names: tuple[str, ...]
    figures: Callable[[nn.Module], list[float]]
    every: int


def run_loop(
    model: nn.Module,
    loss: Loss,
    config: LoopConfig,
    folder: Path,
    label: str,
    settings: Mapping[str, Any] | None = None,
    *,
    hours: float | None = None,
    measure: Measure | None = None,
    draw: Draw | None = None,
    trial: bool = False,
) -> nn.Module:
    """Train `model` and return the moving average of its weights.

    The model must start the same on every rank; rank 0's weights are taken. Dropout draws from torch's own generator,
    which the loop seeds at every step: its draws alone hang on how the batch is shared.

    Args:
        model: what is trained; gradients reach all its parameters that require them.
        loss: draws a part of the batch, of as many samples as `Draws` is long, and gives {"loss": what to minimise,
            ...: what to log}, all scalars, whose means over all parts are those of the batch. It calls the model that
            it is given, not its own.
        config: how.
        folder: gets `checkpoint/`, `settings.json` and what `rodin.train.log` lists. An unfinished run of the same
            config goes on.
        label: names the run in messages and on the progress bar.
        settings: the stage's own settings, as JSON values; an unfinished run goes on only with the same ones.
        hours: train for so long, whatever number of steps that makes, in place of `config.steps`. An unfinished run
            goes on with what it has left, and may be given more or less.
        measure: figures for the log.
        draw: a picture for the log. Like `measure` it is called on rank 0 alone, without gradients, under the
            autocast of the training, with the average on the device of the model.
        trial: pause as soon as it is known how long a step takes (`rodin.train.clock.Trial`).

    Returns:
        a copy of the model with the averaged weights, in eval mode, on the CPU, the same on every rank

    Raises:
        UserError: `folder` holds a run of another config, its checkpoint is damaged, the batch cannot be shared by the
            ranks, or the loss is not finite.
        Paused: the trial is over.
    """
    from accelerate import Accelerator

    state = process_state()
    accelerator = Accelerator(cpu=state.device.type == "cpu")
    device = accelerator.device
    _match_settings(folder, {**dataclasses.asdict(config), **(settings or {})}, state)

    kind = Pupil
    if config.sharding == "fsdp" and state.num_processes > 1:
        from rodin.train.sharded import ShardedPupil as kind  # a second of imports
    pupil = kind(model, config, accelerator)
    step, spent, row = pupil.resume(folder / CHECKPOINT_NAME)
    log = Log(folder, step, config.batch_size, measure.names if measure else (), accelerator=accelerator, row=row)
    aim = f"of {config.steps}" if hours is None else f"after {spent / 3600:.2f} of {hours:g} hours"
    events = "" if log.has_events else ", no event files (pip install 'rodin-avatars[tensorboard]')"
    accelerator.print(f"{label}: step {step} {aim}, {state.num_processes} x {device.type}, {pupil.numbers}{events}")

    interval = max(1, min(config.steps // ROWS, LONGEST_ROW))
    total = config.steps if hours is None else None
    bar = tqdm(total=total, initial=step, desc=label, disable=not state.is_main_process, mininterval=1.0)
    clock = Clock(config.steps, hours, spent, accelerator)
    progress, pace, timed = clock.progress(step), 0.0, Trial()
    with put_off() as end_is_asked:
        while progress < 1:
            rate = config.learning_rate * _rate(config.warmup_steps, step, progress)
            log.add(pupil.learn(loss, rate, step))
            bar.update()

            step += 1
            progress = clock.progress(step)
            ended = progress >= 1
            saving = ended or step % config.checkpoint_every == 0
            if trial and not ended:
                pace = agreed(timed.step_seconds(), accelerator)
            asked = pace > 0 or (not ended and bool(agreed(float(end_is_asked()), accelerator)))
            if not saving and step % interval:
                if asked:
                    pupil.save(folder / CHECKPOINT_NAME, step, clock.seconds, log.begun_row())
                    break
                continue
            measuring = measure and (ended or step // measure.every > log.last_step // measure.every)
            figures = pupil.shown(measure.figures if measure and measuring and state.is_main_process else None)
            mean = log.write_row(step, rate, figures)
            if not math.isfinite(mean):
                raise UserError(
                    f"{label}: the loss is {mean} at step {step}; delete {folder} and train again with a "
                    f"learning_rate below {config.learning_rate:g}"
                )
            bar.set_postfix_str(f"loss {mean:.4f}" + ("" if hours is None else f", {progress:.0%}"), refresh=False)
            if clock.save_is_due() or saving or asked:
                pupil.save(folder / CHECKPOINT_NAME, step, clock.seconds, {})
                clock.saved()
            drawing = draw and state.is_main_process and (ended or clock.picture_is_due(progress))
            with clock.drawing() if drawing else nullcontext():
                picture = pupil.shown(draw if drawing else None)
                if picture is not None:
                    log.write_picture(step, picture)
            if asked:
                break
    bar.close()
    log.close()
    if progress < 1:
        if pace:
            raise Paused(pace, clock.left(progress, (config.steps - step) * pace))
        raise KeyboardInterrupt  # another rank was asked
    accelerator.print(f"{label}: {step} steps, {step * config.batch_size} samples in {clock.seconds / 60:.1f} minutes")
    return pupil.averaged().to("cpu")


def _match_settings(folder: Path, settings: dict[str, Any], state: PartialState) -> None:
    """Note the run's settings in `folder`, or compare them with those noted there."""
    path, settings = folder / SETTINGS_NAME, {"batch": "of all processes", **_what(settings)}  # once: of each
    check_settings(
        path, settings, "the unfinished run has", f"give the same, choose another run folder, or delete {folder}"
    )
    state.wait_for_everyone()  # every rank has looked before rank 0 writes
    if state.is_main_process and not path.exists():
        write_json(path, plain(settings))


def _what(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, in those of a stage too, without those of `HOW`."""
    return {
        name: _what(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if name not in HOW
    }


def _rate(warmup_steps: int, step: int, progress: float) -> float:
    """The learning rate's share of its top: linear warm-up, then a cosine down to `FINAL_RATE`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    warm = progress * warmup_steps / max(1, step)  # the progress that the warm-up made, steps being equally long
    fallen = (progress - warm) / (1 - warm)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * fallen))
