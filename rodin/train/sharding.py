"""A model cut up among the ranks (FSDP; Zhao et al. 2023): each holds a part of every parameter, of its gradient, of
the optimizer's state and of the moving average. Blocks are put together when their turn comes, and let go.

Files hold whole tensors, so that a run goes on with another number of ranks, sharded or not.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


@runtime_checkable
class HasBlocks(Protocol):
    """A model that says what of it is computed one after the other."""

    def blocks(self) -> list[nn.Module]:
        """They."""
        ...


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Cut up a model, whose values are rank 0's; one that names no blocks is put together as one."""
    for value in (*model.parameters(), *model.buffers()):
        torch.distributed.broadcast(value.detach(), 0)
    for block in model.blocks() if isinstance(model, HasBlocks) else []:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def whole(state: Any, keep: bool) -> Any:
    """A state dict of whole tensors, on the CPU where they were cut up. All ranks ask; those that keep none get none of
    these."""
    if isinstance(state, dict):
        return {name: whole(value, keep) for name, value in state.items()}
    if isinstance(state, DTensor):
        full = state.full_tensor()
        return full.cpu() if keep else None
    return state


def cut(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor that all have, if `like`, of the same shape, is cut up."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
