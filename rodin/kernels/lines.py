"""The fused C++ forms of what a 3D-aware convolution does beside convolving; `rodin.networks.aware_conv` has them in
PyTorch.

Maps are as `rodin.kernels.maps` takes them; lines are [N, H, C] along rows and [N, W, C] along columns. Sums are kept
in 32 bits whatever the type.
"""

from __future__ import annotations

from torch import Tensor

from rodin.kernels.maps import call, new_maps


def add_lines(x: Tensor, rows: Tensor, columns: Tensor) -> None:
    """x[n, c, h, w] += rows[n, h, c] + columns[n, w, c], in place."""
    call("rodin_add_lines", x, x, _like(x, rows), _like(x, columns))


def sum_lines(x: Tensor, mean: bool = False) -> tuple[Tensor, Tensor]:
    """Sums, or means, of each row [N, H, C] and of each column [N, W, C]."""
    count, channels, height, width = x.shape
    rows, columns = x.new_empty(count, height, channels), x.new_empty(count, width, channels)
    scales = (1 / width, 1 / height) if mean else (1.0, 1.0)
    call("rodin_sum_lines", x, x, rows, columns, *scales)
    return rows, columns


def pad_edges(x: Tensor) -> Tensor:
    """[N, C, H+2, W+2] with the edges repeated."""
    count, channels, height, width = x.shape
    padded = new_maps(x, count, channels, height + 2, width + 2)
    call("rodin_pad_edges", x, x, padded)
    return padded


def unpad_edges(padded: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gradient [N, C, H, W] by those of `pad_edges` and of the means of `sum_lines`."""
    count, channels, height, width = padded.shape
    x = new_maps(padded, count, channels, height - 2, width - 2)
    call("rodin_unpad_edges", x, padded, _like(x, rows), _like(x, columns), x)
    return x


def _like(x: Tensor, lines: Tensor) -> Tensor:
    return lines.to(x.dtype).contiguous()
