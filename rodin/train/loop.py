"""The one training loop: optimizer, warm-up and cosine decay, moving average, checkpoints, log. It knows no model.

A stage gives a model and a loss that draws its own batch. Every draw of a step comes from a generator seeded by (seed,
rank, step), so a run that was stopped and resumed equals one that was not, and the ranks of a parallel run (launched by
`torchrun`) see different data. Where hours decide in place of steps, the clock sets learning rate and end, and no two
runs are equal. Rank 0 alone writes.
"""

from __future__ import annotations

import atexit
import copy
import dataclasses
import gc
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed.nn.functional  # here, before there is a group: what it finds it keeps, as a default
from torch import Tensor, nn
from tqdm import tqdm

from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path, check_settings, plain, write_json
from rodin.parts import check_range
from rodin.signals import put_off
from rodin.train.clock import Clock
from rodin.train.log import Log
from rodin.train.optimizers import Kind, make_optimizers

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import Accelerator, PartialState

Loss = Callable[[nn.Module, torch.Generator], dict[str, Tensor]]
Seen = TypeVar("Seen")
Draw = Callable[[nn.Module], Tensor]  # the averaged model -> a picture [H, W, 3] in [0, 1]

CHECKPOINT_NAME = "checkpoint/state.pt"
SETTINGS_NAME = "settings.json"
LAST_STEP = 10**12
ROWS = 200  # of the log in a whole run, checkpoints apart, or more:
LONGEST_ROW = 100  # steps
FINAL_RATE = 0.01  # of the learning rate, at the end of the decay


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How to train.

    Args:
        steps: optimizer steps.
        batch_size: samples a step in each process.
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
        for name in ("steps", "batch_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 10**9, "steps", "checkpoint_every")
        check_range(self, 1, 2**20, "batch_size")
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


class Pupil:
    """What is trained: a model, the moving average of its weights, its optimizers, the numbers that it computes in.

    Args:
        model: as `run_loop` is given it.
    """

    def __init__(self, model: nn.Module, config: LoopConfig, accelerator: Accelerator) -> None:
        device = accelerator.device
        prepared = accelerator.prepare(model.train())
        self.plain: nn.Module = accelerator.unwrap_model(prepared)
        self.prepared: nn.Module = torch.compile(prepared) if config.compile else prepared  # type: ignore[assignment]
        self.optimizers = make_optimizers(
            self.plain, config.optimizer, config.learning_rate, config.weight_decay, config.betas
        )
        self.average = copy.deepcopy(self.plain).eval().requires_grad_(False)
        half = config.bf16 and has_bf16(device)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
        self.numbers = "bfloat16" if half else "float32 (no bfloat16 here)" if config.bf16 else "float32"
        self.config, self.accelerator = config, accelerator

    def learn(self, loss: Loss, generator: torch.Generator, rate: float, step: int) -> dict[str, Tensor]:
        """Make step number `step` at a learning rate; the terms of its loss."""
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        with self.autocast:
            terms = loss(self.prepared, generator)
        self.accelerator.backward(terms["loss"])
        if self.config.gradient_clip:
            self.accelerator.clip_grad_norm_(self.prepared.parameters(), self.config.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self._follow(min(self.config.ema_decay, (1 + step) / (10 + step)))
        return terms

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """average <- decay average + (1 - decay) model; buffers are copied."""
        torch._foreach_lerp_(list(self.average.parameters()), list(self.plain.parameters()), 1 - decay)
        for kept, new in zip(self.average.buffers(), self.plain.buffers(), strict=True):
            kept.copy_(new)

    @torch.no_grad()
    def shown(self, look: Callable[[nn.Module], Seen]) -> Seen:
        """What `look` makes of the average, in the numbers of the training."""
        with self.autocast:
            return look(self.average)

    def save(self, path: Path, step: int, seconds: float, row: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all; `row` is what the log has of a row that is not full."""
        values = {
            "step": step,
            "row": row,
            "seconds": seconds,
            "model": self.plain.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        with atomic_path(path) as temporary:
            torch.save(values, temporary)

    def resume(self, path: Path) -> tuple[int, float, dict[str, Any]]:
        """Load the checkpoint, if there is one; the steps and the seconds of training that are done, and what the log
        had of a row.

        Raises:
            UserError: it is damaged, or of another model.
        """
        if not path.exists():
            return 0, 0.0, {}
        try:
            with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums that it writes
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"{damaged} in it is damaged")
            values = torch.load(path, map_location="cpu", weights_only=True)
            self.plain.load_state_dict(values["model"])
            self.average.load_state_dict(values["average"])
            for optimizer, state in zip(self.optimizers, values["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            step, seconds, row = values["step"], values["seconds"], values.get("row", {})
            if type(step) is not int or not 0 <= step <= LAST_STEP or not 0 <= float(seconds) < math.inf:
                raise ValueError(f"{shown(step)} steps in {shown(seconds)} seconds")
            return step, float(seconds), dict(row)
        except Exception as error:  # pickle's, zipfile's and torch's own: whatever damaged bytes can raise
            raise UserError(
                f"{path}: cannot be resumed ({one_line(error)}); delete it to start this run anew"
            ) from error


def process_state() -> PartialState:
    """This process among its peers: rank, number, device. Without a GPU the ranks talk over gloo."""
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())


@atexit.register
def _leave_group() -> None:
    """Processes part before the interpreter ends: a thread of gloo that then still frees a tensor aborts its process.

    The threads end with the group, and that with the last of what refers to it.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()


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
) -> nn.Module:
    """Train `model` and return the moving average of its weights.

    The model must start the same on every rank; rank 0's weights are taken. Dropout draws from torch's own generator,
    which the loop seeds at every step.

    Args:
        model: what is trained; gradients reach all its parameters that require them.
        loss: draws a batch with the generator, which lies on the device of the model, and gives
            {"loss": what to minimise, ...: what to log}, all scalars. It calls the model that it is given, not its own.
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

    Returns:
        a copy of the model with the averaged weights, in eval mode, on the CPU, the same on every rank

    Raises:
        UserError: `folder` holds a run of another config, its checkpoint is damaged, or the loss is not finite.
    """
    from accelerate import Accelerator

    state = process_state()
    accelerator = Accelerator(cpu=state.device.type == "cpu")
    device = accelerator.device
    _match_settings(folder, {**dataclasses.asdict(config), **(settings or {})}, state)

    pupil = Pupil(model, config, accelerator)
    step, spent, row = pupil.resume(folder / CHECKPOINT_NAME)
    samples = config.batch_size * state.num_processes
    log = Log(folder, step, samples, measure.names if measure else (), accelerator=accelerator, row=row)
    aim = f"of {config.steps}" if hours is None else f"after {spent / 3600:.2f} of {hours:g} hours"
    events = "" if log.has_events else ", no event files (pip install 'rodin-avatars[tensorboard]')"
    accelerator.print(f"{label}: step {step} {aim}, {state.num_processes} x {device.type}, {pupil.numbers}{events}")

    interval = max(1, min(config.steps // ROWS, LONGEST_ROW))
    total = config.steps if hours is None else None
    bar = tqdm(total=total, initial=step, desc=label, disable=not state.is_main_process, mininterval=1.0)
    clock = Clock(config.steps, hours, spent, accelerator)
    progress = clock.progress(step)
    with put_off() as end_is_asked:
        while progress < 1:
            generator = _seeded(config.seed, state.process_index, step, device)
            rate = config.learning_rate * _rate(config.warmup_steps, step, progress)
            log.add(pupil.learn(loss, generator, rate, step))
            bar.update()

            step += 1
            progress = clock.progress(step)
            ended = progress >= 1
            saving = ended or step % config.checkpoint_every == 0
            asked = not ended and bool(clock.agreed(float(end_is_asked())))
            if not saving and step % interval:
                if asked:
                    row = log.begun_row()
                    if state.is_main_process:
                        pupil.save(folder / CHECKPOINT_NAME, step, clock.seconds, row)
                    state.wait_for_everyone()
                    break
                continue
            figures = None
            if measure and state.is_main_process and (ended or step // measure.every > log.last_step // measure.every):
                figures = pupil.shown(measure.figures)
            mean = log.write_row(step, rate, figures)
            if not math.isfinite(mean):
                raise UserError(
                    f"{label}: the loss is {mean} at step {step}; delete {folder} and train again with a "
                    f"learning_rate below {config.learning_rate:g}"
                )
            bar.set_postfix_str(f"loss {mean:.4f}" + ("" if hours is None else f", {progress:.0%}"), refresh=False)
            if clock.save_is_due() or saving or asked:
                if state.is_main_process:
                    pupil.save(folder / CHECKPOINT_NAME, step, clock.seconds, {})
                clock.saved()
                state.wait_for_everyone()
            if draw and state.is_main_process and (ended or clock.picture_is_due(progress)):
                with clock.drawing():
                    log.write_picture(step, pupil.shown(draw))
            if asked:
                break
    if progress < 1:  # another rank was asked
        raise KeyboardInterrupt
    bar.close()
    log.close()
    accelerator.print(f"{label}: {step} steps, {step * samples} samples in {clock.seconds / 60:.1f} minutes")
    return pupil.average.to("cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the processor itself, not emulated (slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _match_settings(folder: Path, settings: dict[str, Any], state: PartialState) -> None:
    """Note the run's settings in `folder`, or compare them with those noted there."""
    path, settings = folder / SETTINGS_NAME, {**settings, "processes": state.num_processes}
    check_settings(
        path, settings, "the unfinished run has", f"give the same, choose another run folder, or delete {folder}"
    )
    state.wait_for_everyone()  # every rank has looked before rank 0 writes
    if state.is_main_process and not path.exists():
        write_json(path, plain(settings))


def _seeded(seed: int, rank: int, step: int, device: torch.device) -> torch.Generator:
    """The generator of one step of one rank; torch's own, which dropout uses, gets the same seed."""
    number = (seed * 1_000_003 + rank) * 1_000_000_007 + step
    torch.manual_seed(number % 2**63)
    return torch.Generator(device).manual_seed(number % 2**63)


def _rate(warmup_steps: int, step: int, progress: float) -> float:
    """The learning rate's share of its top: linear warm-up, then a cosine down to `FINAL_RATE`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    warm = progress * warmup_steps / max(1, step)  # the progress that the warm-up made, steps being equally long
    fallen = (progress - warm) / (1 - warm)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * fallen))
