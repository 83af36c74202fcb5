"""The ranks of a training, which torchrun or `rodin.train.processes` starts: how they meet and part."""

from __future__ import annotations

import atexit
import gc
import os
import time
import uuid
from typing import TYPE_CHECKING

import torch
import torch.distributed.nn.functional  # here, before there is a group: what it finds it keeps, as a default
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.distributed import PrefixStore, Store

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import PartialState

ASKED_EVERY = 0.02  # seconds


def process_state() -> PartialState:
    """This process among its peers: rank, number, device. Without a GPU the ranks talk over gloo."""
    from accelerate import PartialState

    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and not torch.distributed.is_initialized():
        store, rank, count = next(torch.distributed.rendezvous("env://"))
        torch.distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore(_meet(store, rank, count), store),
            rank=rank,
            world_size=count,
        )
    return PartialState(cpu=not torch.cuda.is_available())


def _meet(store: Store, rank: int, count: int) -> str:
    """A name for this meeting of the ranks, the same on all of them.

    torchrun keeps its store when it starts them again. Without a name of their own, some would find there where a rank
    that is no more was listening, and wait for it.
    """
    if rank:
        asked = uuid.uuid4().hex
        store.set(f"asks/{rank}", asked)
        name: str = store.get(f"answer/{asked}").decode()  # waits for it
        store.add(f"{name}/here", 1)
        return name
    name = uuid.uuid4().hex
    while store.add(f"{name}/here", 0) < count - 1:
        for key in (f"asks/{other}" for other in range(1, count)):
            if store.check([key]):  # if it is an older one's, the answer is to nobody
                store.set(f"answer/{store.get(key).decode()}", name)
        time.sleep(ASKED_EVERY)
    return name


def of_all_ranks(own: Tensor) -> Tensor:
    """The rows of all ranks, in their order, whose gradients go back to them. All have as many."""
    if not torch.distributed.is_initialized():
        return own
    rows: Tensor = _OfAllRanks.apply(own)
    return rows


class _OfAllRanks(torch.autograd.Function):
    """Torch's own, which warns that it will go, has no successor on the CPU."""

    @staticmethod
    def forward(ctx: FunctionCtx, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        whole = grads[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(whole)
        return whole.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]


@atexit.register
def _leave_group() -> None:
    """Processes part before the interpreter ends: a thread of gloo that then still frees a tensor aborts its process.

    The threads end with the group, and that with the last of what refers to it.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()
