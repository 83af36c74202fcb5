"""The one training loop: AdamW, warm-up and cosine decay, moving average, checkpoints, log. It knows no model.

A stage gives a model and a loss that draws its own batch. Every draw of a step comes from a generator seeded by (seed,
rank, step), so a run that was stopped and resumed equals one that was not, and the ranks of a parallel run (launched by
`torchrun`) see different data. Rank 0 alone writes.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn
from tqdm import tqdm

from rodin.errors import UserError
from rodin.files import atomic_path, read_json, write_json

Loss = Callable[[nn.Module, torch.Generator], dict[str, Tensor]]

CHECKPOINT_NAME = "checkpoint/state.pt"
LOG_NAME = "log.csv"
SETTINGS_NAME = "settings.json"
ROWS = 200  # of the log in a whole run, checkpoints apart
FINAL_RATE = 0.01  # of the learning rate, at the end of the decay


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How to train.

    Args:
        steps: optimizer steps.
        batch_size: samples a step in each process.
        learning_rate: at the top, after the warm-up; cosine decay to a hundredth of it follows.
        warmup_steps: of linear rise.
        weight_decay: of AdamW.
        betas: of AdamW.
        ema_decay: of the moving average of the weights; lower in the first steps, so that short runs have a mean too.
        gradient_clip: the largest norm of the whole gradient; 0 = off.
        bf16: run the model in bfloat16 where the processor computes in it; elsewhere in float32, which the log says.
        checkpoint_every: steps from one checkpoint to the next.
        seed: of everything that is drawn.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = 0.9999
    gradient_clip: float = 1.0
    bf16: bool = False
    checkpoint_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
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


def process_state() -> PartialState:
    """This process among its peers: rank, number, device. Without a GPU the ranks talk over gloo."""
    return PartialState(cpu=not torch.cuda.is_available())


def run_loop(
    model: nn.Module,
    loss: Loss,
    config: LoopConfig,
    folder: Path,
    label: str,
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Train `model` and return the moving average of its weights.

    The model must start the same on every rank; rank 0's weights are taken. Dropout draws from torch's own generator,
    which the loop seeds at every step.

    Args:
        model: what is trained; gradients reach all its parameters that require them.
        loss: draws a batch with the generator, which lies on the device of the model, and gives
            {"loss": what to minimise, ...: what to log}, all scalars. It calls the model that it is given, not its own.
        config: how.
        folder: gets `checkpoint/`, `settings.json` and `log.csv`. An unfinished run of the same config goes on.
        label: names the run in messages and on the progress bar.
        settings: the stage's own settings, as JSON values; an unfinished run goes on only with the same ones.

    Returns:
        a copy of the model with the averaged weights, in eval mode, on the CPU, the same on every rank

    Raises:
        UserError: `folder` holds a run of another config, its checkpoint is damaged, or the loss is not finite.
    """
    state = process_state()
    accelerator = Accelerator(cpu=state.device.type == "cpu")
    device = accelerator.device
    _match_settings(folder, {**dataclasses.asdict(config), **(settings or {})}, state)

    fused = device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, config.betas, weight_decay=config.weight_decay, fused=fused
    )
    prepared, optimizer = accelerator.prepare(model.train(), optimizer)
    plain = accelerator.unwrap_model(prepared)
    average = copy.deepcopy(plain).eval().requires_grad_(False)
    start = _resume(folder / CHECKPOINT_NAME, plain, average, optimizer, device)
    log = Log(folder / LOG_NAME, start, config.learning_rate, accelerator)
    half = config.bf16 and has_bf16(device)
    kind = "bfloat16" if half else "float32 (no bfloat16 here)" if config.bf16 else "float32"
    accelerator.print(f"{label}: step {start} of {config.steps}, {state.num_processes} x {device.type}, {kind}")

    interval = max(1, config.steps // ROWS)
    bar = tqdm(total=config.steps, initial=start, desc=label, disable=not state.is_main_process, mininterval=1.0)
    for step in range(start, config.steps):
        generator = _seeded(config.seed, state.process_index, step, device)
        rate = config.learning_rate * _decay(config, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            terms = loss(prepared, generator)
        accelerator.backward(terms["loss"])
        if config.gradient_clip:
            accelerator.clip_grad_norm_(prepared.parameters(), config.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        _average(average, plain, min(config.ema_decay, (1 + step) / (10 + step)))

        log.add(terms)
        bar.update()
        done = step + 1
        saving = done % config.checkpoint_every == 0 or done == config.steps
        if saving or done % interval == 0:
            bar.set_postfix_str(f"loss {log.write_row(done, rate, label):.4f}", refresh=False)
        if saving:
            if state.is_main_process:
                _save(folder / CHECKPOINT_NAME, done, plain, average, optimizer)
            state.wait_for_everyone()
    bar.close()
    return average.to("cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the processor itself, not emulated (slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Log:
    """`log.csv`: means of the loss terms since the last row, over all ranks; one row every few steps.

    A row ends at every checkpoint, so a resumed run writes the rows that an uninterrupted one would have written.
    """

    def __init__(self, path: Path, start: int, top_rate: float, accelerator: Accelerator) -> None:
        self._path = path
        self._top_rate = top_rate
        self._accelerator = accelerator
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        if accelerator.is_main_process and path.exists():
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
            # A row cut off by a kill, and rows after the checkpoint, are written again.
            rows = rows[:1] + [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) <= start]
            with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
                csv.writer(file).writerows(rows)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count the terms of one step of this rank."""
        for name, value in terms.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def write_row(self, step: int, rate: float, label: str) -> float:
        """Append a row and return its loss.

        Raises:
            UserError: the loss is not finite; raised on every rank.
        """
        names = list(self._sums)
        sums = torch.stack([self._sums[name] for name in names])
        means = (self._accelerator.reduce(sums, reduction="mean") / self._count).tolist()
        self._sums, self._count = {}, 0
        row = dict(zip(names, means, strict=True))
        if not math.isfinite(row["loss"]):
            raise UserError(
                f"{label}: the loss is {row['loss']} at step {step}; delete {self._path.parent} and train again with a "
                f"learning_rate below {self._top_rate:g}"
            )
        if self._accelerator.is_main_process:
            fresh = not self._path.exists()
            with self._path.open("a", newline="") as file:
                writer = csv.writer(file)
                if fresh:
                    writer.writerow(["step", "learning_rate", *names])
                writer.writerow([step, f"{rate:.4g}", *(f"{mean:.6g}" for mean in means)])
        return row["loss"]


def _match_settings(folder: Path, settings: dict[str, Any], state: PartialState) -> None:
    """Note the run's settings in `folder`, or compare them with those noted there."""
    path = folder / SETTINGS_NAME
    settings = json.loads(json.dumps({**settings, "processes": state.num_processes}))  # as they will be read
    if path.exists():
        found = read_json(path)
        for name, value in settings.items():
            if found.get(name) != value:
                raise UserError(
                    f"{path}: the unfinished run has {name} {found.get(name)}, not {value}; "
                    f"give the same, choose another run folder, or delete {folder}"
                )
    state.wait_for_everyone()  # every rank has looked before rank 0 writes
    if state.is_main_process and not path.exists():
        write_json(path, settings)


def _seeded(seed: int, rank: int, step: int, device: torch.device) -> torch.Generator:
    """The generator of one step of one rank; torch's own, which dropout uses, gets the same seed."""
    number = (seed * 1_000_003 + rank) * 1_000_000_007 + step
    torch.manual_seed(number % 2**63)
    return torch.Generator(device).manual_seed(number % 2**63)


def _decay(config: LoopConfig, step: int) -> float:
    """The learning rate's share of its top: linear warm-up, then a cosine down to `FINAL_RATE`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) model; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)


def _save(path: Path, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    values = {
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_path(path) as temporary:
        torch.save(values, temporary)


def _resume(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> int:
    """Load the checkpoint, if there is one, and return its step."""
    if not path.exists():
        return 0
    try:
        values = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(values["model"])
        average.load_state_dict(values["average"])
        optimizer.load_state_dict(values["optimizer"])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be resumed ({reason}); delete it to start this run anew") from error
    return int(values["step"])
