"""The fused C++ forms of what a 3D-aware convolution does beside convolving; `rodin.aware_conv` has them in PyTorch.

Maps are [N, C, H, W], float32 or bfloat16, contiguous on the CPU; lines along rows are [N, C, H], along columns
[N, C, W]. Sums are kept in 32 bits whatever the type.
"""

from __future__ import annotations

from ctypes import byref

import torch
from torch import Tensor

from rodin.kernels.native import kernels
from rodin.kernels.structs import CMaps, native

TYPES = (torch.float32, torch.bfloat16)


def takes(x: Tensor) -> bool:
    """Whether the kernels take these maps, and are built and switched on."""
    return x.device.type == "cpu" and x.dtype in TYPES and x.is_contiguous() and x.numel() > 0 and native() is not None


def add_lines(x: Tensor, rows: Tensor, columns: Tensor) -> None:
    """x[n, c, h, w] += rows[n, c, h] + columns[n, c, w], in place."""
    _call("rodin_add_lines", x, x, _like(x, rows), _like(x, columns))


def sum_lines(x: Tensor, mean: bool = False) -> tuple[Tensor, Tensor]:
    """Sums, or means, of each row [N, C, H] and of each column [N, C, W]."""
    count, channels, height, width = x.shape
    rows, columns = x.new_empty(count, channels, height), x.new_empty(count, channels, width)
    _call("rodin_sum_lines", x, x, rows, columns, scales=(1 / width, 1 / height) if mean else (1.0, 1.0))
    return rows, columns


def pad_edges(x: Tensor) -> Tensor:
    """[N, C, H+2, W+2] with the edges repeated."""
    count, channels, height, width = x.shape
    padded = x.new_empty(count, channels, height + 2, width + 2)
    _call("rodin_pad_edges", x, x, padded)
    return padded


def unpad_edges(padded: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gradient [N, C, H, W] by those of `pad_edges` and of the means of `sum_lines`."""
    count, channels, height, width = padded.shape
    x = padded.new_empty(count, channels, height - 2, width - 2)
    _call("rodin_unpad_edges", x, padded, _like(x, rows), _like(x, columns), x)
    return x


def _like(x: Tensor, lines: Tensor) -> Tensor:
    return lines.to(x.dtype).contiguous()


def _call(name: str, maps: Tensor, *tensors: Tensor, scales: tuple[float, ...] = ()) -> None:
    """A function of the library on maps [N, C, H, W] of that shape and type."""
    found = kernels()
    count, channels, height, width = maps.shape
    described = CMaps(count * channels, height, width, maps.dtype == torch.bfloat16)
    addresses = [tensor.data_ptr() for tensor in tensors]
    function = getattr(found.functions, name)
    function(found.number, byref(described), torch.get_num_threads(), *addresses, *scales)
