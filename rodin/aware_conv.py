"""3D-aware convolution on tri-planes (Rodin, Sec. 3.2), in a form that never builds the concatenated maps.

A texel of one plane stands for a line of the volume, and that line is a whole column or row of the two other planes.
So the paper pools the other planes along that line, expands the two vectors to H x W, concatenates them with the plane
(3C channels) and convolves. With the cyclic planes of `rodin.triplane` the rule is the same for every plane p: the mean
over the ROWS of plane p+1 runs along the rows of plane p, the mean over the COLUMNS of plane p+2 along its columns.

An expanded map is constant along one axis, so its 3x3 convolution is a 1-D convolution of the pooled vector with the
kernel summed over that axis. `AwareConv` stores those 3-tap kernels: 15/27 of the parameters and about a third of the
arithmetic, for exactly the same function. `concatenated_reference` is the layer as the paper writes it; `fold_kernel`
takes its weights to the fast form, and the tests hold one to the other in value and gradient.

Edges are replicated in every term. (With zeros the constant maps would not be constant at the border, and the two forms
would differ there.) Planes ride in the batch dimension, N = 3B with the plane index fastest: the three planes share the
weights, and no convolution sees two of them across a seam.

Planes with H != W: the vector from plane p+1 has W entries for the H rows of plane p. Both cover the same axis of the
box, so it is resampled linearly from W to H texel centres (and H to W for the other one).
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from rodin.kernels import lines
from rodin.triplane import PLANES

TAPS = 3  # kernel size along each axis


class AwareConv(nn.Module):
    """3x3 convolution of every plane with itself and with the two others' pooled lines.

    Args:
        in_channels: C of the planes that come in.
        out_channels: C' of the planes that go out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.plane_kernel = nn.Parameter(torch.empty(out_channels, in_channels, TAPS, TAPS))
        self.row_kernel = nn.Parameter(torch.empty(out_channels, in_channels, TAPS))
        self.column_kernel = nn.Parameter(torch.empty(out_channels, in_channels, TAPS))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        # The uniform bound of torch's own 3x3 convolution. The pooled vectors are means over a whole line and so far
        # smaller than the plane's values: their kernels may start as large without upsetting the output's variance.
        bound = 1.0 / math.sqrt(in_channels * TAPS * TAPS)
        for kernel in (self.plane_kernel, self.row_kernel, self.column_kernel):
            nn.init.uniform_(kernel, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """[N=3B, C, H, W] -> [N, C', H, W], plane index fastest in N.

        Raises:
            ValueError: N is no multiple of 3, or the channels are not those of the layer.
        """
        if x.ndim != 4 or x.shape[0] % PLANES or x.shape[1] != self.plane_kernel.shape[1]:
            raise ValueError(f"planes must be [N=3B, C={self.plane_kernel.shape[1]}, H, W], got {list(x.shape)}")
        padded, row_means, column_means = PadAndPool.apply(x)
        rows, columns = _align(row_means, column_means)
        y = F.conv2d(padded, self.plane_kernel, self.bias)
        along_rows = F.conv1d(_repeat_ends(rows), self.row_kernel)  # [N, C', H]
        along_columns = F.conv1d(_repeat_ends(columns), self.column_kernel)  # [N, C', W]
        return AddLines.apply(y, along_rows, along_columns)


class PadAndPool(torch.autograd.Function):
    """Edge-replicated planes and their row and column means, in one node of the graph.

    Torch's own pad and mean make a full-size gradient each, and autocast takes its pad to float32; here the three
    gradients meet in one buffer, in one pass where the native kernels are at hand.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, C, H, W] -> [N, C, H+2, W+2], mean over rows [N, C, W], mean over columns [N, C, H]"""
        if lines.takes(x):
            column_means, row_means = lines.sum_lines(x, mean=True)
            return lines.pad_edges(x), row_means, column_means
        # Autocast would take the padding to float32. The meta device knows no autocast, so none to switch off.
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return padded, x.mean(dim=2), x.mean(dim=3)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        padded, row_means, column_means = grads
        if lines.takes(padded):
            return lines.unpad_edges(padded, column_means, row_means)
        columns = padded[..., 1:-1].clone()
        columns[..., 0] += padded[..., 0]
        columns[..., -1] += padded[..., -1]
        grad = columns[..., 1:-1, :]
        grad[..., 0, :] += columns[..., 0, :]
        grad[..., -1, :] += columns[..., -1, :]
        height, width = grad.shape[-2:]
        return _add_lines(grad, column_means / width, row_means / height)


class AddLines(torch.autograd.Function):
    """x [N, C, H, W] plus [N, C, H] along its rows and [N, C, W] along its columns.

    In place: no convolution needs its output for the backward pass. Torch makes two passes each way, and several where
    it must expand the lines.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, along_rows: Tensor, along_columns: Tensor) -> Tensor:
        """[N, C, H, W], [N, C, H], [N, C, W] -> the first, changed"""
        ctx.mark_dirty(x)
        return _add_lines(x, along_rows, along_columns)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,) = grads
        if lines.takes(grad):
            return grad, *lines.sum_lines(grad)
        return grad, grad.sum(dim=3), grad.sum(dim=2)


def pooled_lines(x: Tensor) -> tuple[Tensor, Tensor]:
    """The other planes, pooled along the lines that the texels of each plane stand for.

    Args:
        x: [N=3B, C, H, W], plane index fastest in N.

    Returns:
        [N, C, H], the mean over the rows of plane p+1, along the rows of plane p; and
        [N, C, W], the mean over the columns of plane p+2, along the columns of plane p.
    """
    return _align(x.mean(dim=2), x.mean(dim=3))


def _align(row_means: Tensor, column_means: Tensor) -> tuple[Tensor, Tensor]:
    """Each plane's own means [N, C, W], [N, C, H] -> the means that it takes from the others, [N, C, H], [N, C, W]."""
    (count, channels, width), height = row_means.shape, column_means.shape[-1]
    rows = row_means.unflatten(0, (-1, PLANES)).roll(-1, dims=1).reshape(count, channels, width)
    columns = column_means.unflatten(0, (-1, PLANES)).roll(-2, dims=1).reshape(count, channels, height)
    if height != width:
        rows = F.interpolate(rows, size=height, mode="linear", align_corners=False)
        columns = F.interpolate(columns, size=width, mode="linear", align_corners=False)
    return rows, columns


def _add_lines(x: Tensor, along_rows: Tensor, along_columns: Tensor) -> Tensor:
    """x [N, C, H, W] plus [N, C, H] and [N, C, W], in place."""
    if lines.takes(x):
        lines.add_lines(x, along_rows, along_columns)
        return x
    for line in (along_rows[..., :, None], along_columns[..., None, :]):
        # Torch adds a broadcast bfloat16 tensor one number at a time on the CPU; expanding it first is 5 times faster.
        x.add_(line if x.dtype == torch.float32 else line.expand_as(x).contiguous())
    return x


def _repeat_ends(line: Tensor) -> Tensor:
    """[N, C, L] -> [N, C, L+2]"""
    return torch.cat([line[..., :1], line, line[..., -1:]], dim=-1)


def concatenated_reference(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """The layer as the paper writes it: expand, concatenate to 3C channels, convolve.

    Args:
        x: [N=3B, C, H, W], plane index fastest in N.
        kernel: [C', 3C, 3, 3], input channels in the order plane, rows of p+1, columns of p+2.
        bias: [C'].

    Returns:
        [N, C', H, W]
    """
    rows, columns = pooled_lines(x)
    maps = torch.cat([x, rows[..., :, None].expand_as(x), columns[..., None, :].expand_as(x)], dim=1)
    return F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), kernel, bias)


def fold_kernel(kernel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the concatenated layer [C', 3C, 3, 3] -> plane [C', C, 3, 3], row and column kernels [C', C, 3]."""
    own, rows, columns = kernel.chunk(3, dim=1)
    return own, rows.sum(dim=3), columns.sum(dim=2)
