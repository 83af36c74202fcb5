"""Feature maps as the native kernels take them: [N, C, H, W], float32 or bfloat16 on the CPU, channels last in memory,
as the fast convolutions want them too."""

from __future__ import annotations

from ctypes import byref

import torch
from torch import Tensor

from rodin.kernels.structs import CMaps, CNorm, kernels, native

TYPES = (torch.float32, torch.bfloat16)


def takes(x: Tensor) -> bool:
    """Whether the kernels take these maps, and are built and switched on."""
    fits = x.device.type == "cpu" and x.dtype in TYPES and x.is_contiguous(memory_format=torch.channels_last)
    return fits and x.numel() > 0 and native() is not None


def new_maps(like: Tensor, *shape: int) -> Tensor:
    """Maps of that shape with nothing in them yet, of the other's type, channels last in memory."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def call(name: str, maps: Tensor, *arguments: Tensor | float, norm: CNorm | None = None) -> None:
    """A function of the library on maps [N, C, H, W] of that shape and type."""
    found = kernels()
    count, channels, height, width = maps.shape
    described = CMaps(count, height, width, channels, bfloat16=maps.dtype == torch.bfloat16)
    how = () if norm is None else (byref(norm),)
    given = [value.data_ptr() if isinstance(value, Tensor) else value for value in arguments]
    getattr(found.functions, name)(found.number, byref(described), *how, torch.get_num_threads(), *given)
