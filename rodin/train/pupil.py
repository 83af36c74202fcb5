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
from rodin.train.clock import agreed
from rodin.train.optimizers import make_optimizers

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
        self._whole: nn.Module | None = None  # where the average is in parts, what it is put together in
        if config.sharding == "fsdp" and ranks > 1:
            from rodin.train import sharding

            mesh = torch.distributed.init_device_mesh(device.type, (ranks,))
            prepared = self.plain = model.train().to(device)
            self.average = copy.deepcopy(model).eval().requires_grad_(False)
            self._whole = copy.deepcopy(self.average).cpu()
            sharding.shard(self.plain, mesh)
            sharding.shard(self.average, mesh)
        else:
            prepared = accelerator.prepare(model.train())
            self.plain = accelerator.unwrap_model(prepared)
            self.average = copy.deepcopy(self.plain).eval().requires_grad_(False)
        self.prepared: nn.Module = torch.compile(prepared) if config.compile else prepared  # type: ignore[assignment]
        self.optimizers = make_optimizers(
            self.plain, config.optimizer, config.learning_rate, config.weight_decay, config.betas
        )
        half = config.bf16 and has_bf16(device)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
        self.numbers = "bfloat16" if half else "float32 (no bfloat16 here)" if config.bf16 else "float32"

    def learn(self, loss: Loss, rate: float, step: int) -> dict[str, Tensor]:
        """Make step number `step` at a learning rate; the terms of its loss, means over this rank's parts."""
        parts, terms = self.config.accumulate, {}
        for part in range(parts):
            together = nullcontext() if part == parts - 1 else self.accelerator.no_sync(self.prepared)
            with together:
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
        torch.manual_seed((seed + first * 998_244_353) % 2**63)
        own = range(first, first + self._part)
        return Draws(seed, self.config.batch_size, own, self.accelerator.device, step)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """average <- decay average + (1 - decay) model; buffers are copied."""
        average, model = (
            [one if self._whole is None else one.to_local() for one in some.parameters()]  # type: ignore[operator]
            for some in (self.average, self.plain)
        )
        torch._foreach_lerp_(average, model, 1 - decay)
        for kept, new in zip(self.average.buffers(), self.plain.buffers(), strict=True):
            kept.copy_(new)

    @torch.no_grad()
    def averaged(self) -> nn.Module:
        """The average in one piece. Ask on every rank."""
        if self._whole is None:
            return self.average
        for kept, part in zip(self._whole.parameters(), self.average.parameters(), strict=True):
            kept.copy_(part.full_tensor())  # type: ignore[operator]
        for kept, new in zip(self._whole.buffers(), self.average.buffers(), strict=True):
            kept.copy_(new)
        return self._whole

    @torch.no_grad()
    def shown(self, look: Callable[[nn.Module], Seen] | None) -> Seen | None:
        """What `look` makes of the average, in the numbers of the training. Ask on every rank; rank 0 alone looks, if
        it wants to."""
        average = self.average
        if self._whole is not None and agreed(float(look is not None), self.accelerator):
            average = self.averaged()
        if look is None:
            return None
        with self.autocast:
            return look(average.to(self.accelerator.device))

    def save(self, path: Path, step: int, seconds: float, row: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all; `row` is what the log has of a row that is not full. Ask on every
        rank, rank 0 writes."""
        state = {
            "model": self.plain.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": dict(enumerate(optimizer.state_dict() for optimizer in self.optimizers)),
        }
        first = self.accelerator.is_main_process
        if self._whole is not None:
            from rodin.train import sharding

            state = sharding.whole(state, first)
        if first:
            values = {"step": step, "row": row, "seconds": seconds, **state}
            with atomic_path(path) as temporary:
                torch.save({**values, "optimizers": list(state["optimizers"].values())}, temporary)
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

    def _load(self, values: dict[str, Any]) -> None:
        """Take a checkpoint's weights and state, each rank its part where they are in parts."""
        model, average, optimizers = values["model"], values["average"], values["optimizers"]
        if self._whole is not None:
            from rodin.train.sharding import cut

            model, average = (
                {name: cut(value, own[name]) for name, value in state.items()}
                for state, own in ((model, self.plain.state_dict()), (average, self.average.state_dict()))
            )
            for optimizer, state in zip(self.optimizers, optimizers, strict=True):
                owners = [one for group in optimizer.param_groups for one in group["params"]]
                for index, kept in state["state"].items():
                    kept.update({name: cut(value, owners[index]) for name, value in kept.items()})
        self.plain.load_state_dict(model)
        self.average.load_state_dict(average)
        for optimizer, state in zip(self.optimizers, optimizers, strict=True):
            optimizer.load_state_dict(state)


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the processor itself, not emulated (slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
