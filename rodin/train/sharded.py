"""A model cut up among the ranks (FSDP; Zhao et al. 2023): each holds a part of every parameter, of its gradient, of
the optimizer's state and of the moving average. Blocks are put together when their turn comes, and let go.

Files hold whole tensors, so that a run goes on with another number of ranks, sharded or not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from rodin.train.clock import agreed
from rodin.train.pupil import Pupil, Seen


@runtime_checkable
class HasBlocks(Protocol):
    """A model that says what of it is computed one after the other."""

    def blocks(self) -> list[nn.Module]:
        """They."""
        ...


class ShardedPupil(Pupil):
    """A model in training of which each of several ranks holds a part."""

    def _prepare(self, model: nn.Module) -> nn.Module:
        device = self.accelerator.device
        self.plain = model.to(device)
        for value in (*model.parameters(), *model.buffers()):
            torch.distributed.broadcast(value.detach(), 0)
        self.average = copy.deepcopy(model)
        self._whole = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        mesh = init_device_mesh(device.type, (self.accelerator.num_processes,))
        for one in (self.plain, self.average):
            _shard(one, mesh)
        return self.plain

    def averaged(self) -> nn.Module:
        values, targets = ((*some.parameters(), *some.buffers()) for some in (self.average, self._whole))
        for value, kept in zip(values, targets, strict=True):
            kept.data.copy_(_whole(value.detach(), keep=True))
        return self._whole

    def shown(self, look: Callable[[nn.Module], Seen] | None) -> Seen | None:
        average = self.averaged() if agreed(float(look is not None), self.accelerator) else self._whole
        return self._looked(look, average)

    def _weights(self, model: nn.Module) -> list[Tensor]:
        return [one.to_local() if isinstance(one, DTensor) else one for one in model.parameters()]

    def _state(self) -> dict[str, Any]:
        whole: dict[str, Any] = _whole(super()._state(), keep=self.accelerator.is_main_process)
        return whole

    def _load(self, values: dict[str, Any]) -> None:
        for name, model in (("model", self.plain), ("average", self.average)):
            own = model.state_dict()
            values[name] = {key: _cut(value, own[key]) for key, value in values[name].items()}
        for optimizer, state in zip(self.optimizers, values["optimizers"], strict=True):
            owners = [one for group in optimizer.param_groups for one in group["params"]]
            for index, kept in state["state"].items():
                kept.update({key: _cut(value, owners[index]) for key, value in kept.items()})
        super()._load(values)


def _shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Cut up a model; one that names no blocks is put together as a whole."""
    for block in model.blocks() if isinstance(model, HasBlocks) else []:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _whole(state: Any, keep: bool) -> Any:
    """What a state is of whole tensors, on the CPU where they were cut up. All ranks ask; those that keep none get none
    of these."""
    if isinstance(state, dict):
        return {name: _whole(value, keep) for name, value in state.items()}
    if isinstance(state, list):
        return [_whole(value, keep) for value in state]
    if isinstance(state, DTensor):
        full = state.full_tensor()
        return full.cpu() if keep else None
    return state


def _cut(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor that all have, if `like`, of the same shape, is cut up."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
