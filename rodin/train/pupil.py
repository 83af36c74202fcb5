"""What is trained: a model, the moving average of its weights, its optimizers, and how one step changes them.

A step's batch is shared by the ranks, and by each among the parts that it computes one after the other. The gradient is
that of the whole batch whichever way it is cut.
"""

from __future__ import annotations

import copy
import math
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path
from rodin.train.optimizers import make_optimizers, whole_state

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import Accelerator

    from rodin.train.loop import LoopConfig

Loss = Callable[[nn.Module, Draws], dict[str, Tensor]]
Seen = TypeVar("Seen")

LAST_STEP = 10**12


class Pupil:
    """A model in training.

    Args:
        model: as `run_loop` is given it.

    Raises:
        UserError: the batch cannot be shared equally.
    """

    def __init__(self, model: nn.Module, config: LoopConfig, accelerator: Accelerator) -> None:
        device, ranks = accelerator.device, accelerator.num_processes
        self.config, self.accelerator = config, accelerator
        self._part, left = divmod(config.batch_size, ranks * config.accumulate)
        if left:
            raise UserError(
                f"loop.batch_size: {config.batch_size} samples are not to be shared equally by {ranks} processes, each "
                f"in {config.accumulate} parts (loop.accumulate); choose a multiple of {ranks * config.accumulate}"
            )
        prepared = self._prepare(model.train())
        self.average.eval().requires_grad_(False)
        self.prepared: nn.Module = torch.compile(prepared) if config.compile else prepared  # type: ignore[assignment]
        self.optimizers = make_optimizers(
            self.plain, config.optimizer, config.learning_rate, config.weight_decay, config.betas
        )
        half = config.bf16 and has_bf16(device)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
        self.numbers = "bfloat16" if half else "float32 (no bfloat16 here)" if config.bf16 else "float32"

    def learn(self, loss: Loss, rate: float, step: int) -> dict[str, Tensor]:
        """Make step number `step` at a learning rate; the terms of its loss, means over this rank's parts."""
        parts = self.config.accumulate
        terms: dict[str, Tensor] = {}
        for part in range(parts):
            last = part == parts - 1
            with nullcontext() if last else self.accelerator.no_sync(self.prepared):  # ranks exchange their sums once
                with self.autocast:
                    found = loss(self.prepared, self._draws(step, part))
                self.accelerator.backward(found["loss"] / parts)
            for name, value in found.items():
                value = value.detach() / parts
                terms[name] = terms[name] + value if name in terms else value
        if self.config.gradient_clip:
            self.accelerator.clip_grad_norm_(self.prepared.parameters(), self.config.gradient_clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        self._follow(min(self.config.ema_decay, (1 + step) / (10 + step)))
        return terms

    def _draws(self, step: int, part: int) -> Draws:
        """What a part of a step draws; torch's own generator, which dropout uses, is seeded for it too."""
        first = (self.accelerator.process_index * self.config.accumulate + part) * self._part
        seed = (self.config.seed * 1_000_003 * 1_000_000_007 + step) % 2**63
        torch.manual_seed((seed + (first + 1) * 998_244_353) % 2**63)
        own = range(first, first + self._part)
        return Draws(seed, self.config.batch_size, own, self.accelerator.device, step)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """average <- decay average + (1 - decay) model; buffers are copied."""
        torch._foreach_lerp_(self._weights(self.average), self._weights(self.plain), 1 - decay)
        for kept, new in zip(self.average.buffers(), self.plain.buffers(), strict=True):
            kept.copy_(new)

    def averaged(self) -> nn.Module:
        """The average, whole. Ask on every rank."""
        return self.average

    def shown(self, look: Callable[[nn.Module], Seen] | None) -> Seen | None:
        """What `look` makes of the average, in the numbers of the training. Ask on every rank; rank 0 alone looks, if
        it wants to."""
        return self._looked(look, self.average)

    @torch.no_grad()
    def _looked(self, look: Callable[[nn.Module], Seen] | None, average: nn.Module) -> Seen | None:
        with self.autocast:
            return None if look is None else look(average.to(self.accelerator.device))

    def save(self, path: Path, step: int, seconds: float, row: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all; `row` is what the log has of a row that is not full. Ask on every
        rank, rank 0 writes."""
        state = self._state()
        if self.accelerator.is_main_process:
            with atomic_path(path) as temporary:
                torch.save({"step": step, "row": row, "seconds": seconds, **state}, temporary)
        self.accelerator.wait_for_everyone()

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
            self._load(values := torch.load(path, map_location="cpu", weights_only=True))
            step, seconds, row = values["step"], values["seconds"], values.get("row", {})
            if type(step) is not int or not 0 <= step <= LAST_STEP or not 0 <= float(seconds) < math.inf:
                raise ValueError(f"{shown(step)} steps in {shown(seconds)} seconds")
            return step, float(seconds), dict(row)
        except Exception as error:  # pickle's, zipfile's and torch's own: whatever damaged bytes can raise
            raise UserError(
                f"{path}: cannot be resumed ({one_line(error)}); delete it to start this run anew"
            ) from error

    def _prepare(self, model: nn.Module) -> nn.Module:
        """Make `plain`, the model alone, and `average`; return what is called and cares for gradients of all ranks."""
        prepared: nn.Module = self.accelerator.prepare(model)
        self.plain: nn.Module = self.accelerator.unwrap_model(prepared)
        self.average = copy.deepcopy(self.plain)
        return prepared

    def _weights(self, model: nn.Module) -> list[Tensor]:
        """The weights of a model that lie on this rank."""
        return list(model.parameters())

    def _state(self) -> dict[str, Any]:
        """What a checkpoint has of model and optimizers. Ask on every rank; rank 0 has all of it."""
        return {
            "model": self.plain.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [whole_state(optimizer) for optimizer in self.optimizers],
        }

    def _load(self, values: dict[str, Any]) -> None:
        """Take what `_state` gave."""
        self.plain.load_state_dict(values["model"])
        self.average.load_state_dict(values["average"])
        for optimizer, state in zip(self.optimizers, values["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the processor itself, not emulated (slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
