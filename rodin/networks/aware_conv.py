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

Channels are last in memory, whatever the order of the shape: so the matrix units take the planes as they lie, and a
1-D convolution of lines [N, L, C] is one matrix product.

Planes with H != W: the vector from plane p+1 has W entries for the H rows of plane p. Both cover the same axis of the
box, so it is resampled linearly from W to H texel centres (and H to W for the other one).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from rodin.kernels import lines, maps
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
        x = x.contiguous(memory_format=torch.channels_last)
        native = maps.takes(x)
        padded, row_means, column_means = PadAndPool.apply(x) if native else pad_and_pool_reference(x)
        rows, columns = _align(row_means, column_means)
        y = F.conv2d(padded, self.plane_kernel, self.bias)
        rows, columns = _convolve(rows, self.row_kernel), _convolve(columns, self.column_kernel)
        if native and maps.takes(y):
            lines_added: Tensor = AddLines.apply(y, rows, columns)
            return lines_added
        return add_lines_reference(y, rows, columns)


def pad_and_pool_reference(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[N, C, H, W] -> [N, C, H+2, W+2], mean over rows [N, W, C], mean over columns [N, H, C]; in plain operations,
    which compilers fuse. (Of torch's own pad they misjudge how its gradient lies in memory.)"""
    wide = torch.cat([x[..., :1], x, x[..., -1:]], dim=3)
    return torch.cat([wide[:, :, :1], wide, wide[:, :, -1:]], dim=2), x.mean(dim=2).mT, x.mean(dim=3).mT


class PadAndPool(torch.autograd.Function):
    """`pad_and_pool_reference` by the native kernels, in one node of the graph.

    Torch's own pad and mean make a full-size gradient each, and autocast takes its pad to float32; here the three
    gradients meet in one buffer, in one pass.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, C, H, W] -> [N, C, H+2, W+2], mean over rows [N, W, C], mean over columns [N, H, C]"""
        column_means, row_means = lines.sum_lines(x, mean=True)
        return lines.pad_edges(x), row_means, column_means

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        padded, row_means, column_means = grads
        return lines.unpad_edges(padded.contiguous(memory_format=torch.channels_last), column_means, row_means)


def add_lines_reference(x: Tensor, along_rows: Tensor, along_columns: Tensor) -> Tensor:
    """x [N, C, H, W] plus [N, H, C] along its rows and [N, W, C] along its columns, in plain operations."""
    return x + along_rows.mT[..., :, None] + along_columns.mT[..., None, :]


class AddLines(torch.autograd.Function):
    """`add_lines_reference` by the native kernels, in place: no convolution needs its output for the backward pass.

    Torch makes two passes each way, and several where it must expand the lines.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, along_rows: Tensor, along_columns: Tensor) -> Tensor:
        """[N, C, H, W], [N, H, C], [N, W, C] -> the first, changed"""
        ctx.mark_dirty(x)
        lines.add_lines(x, along_rows, along_columns)
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        return grad, *lines.sum_lines(grad)


def pooled_lines(x: Tensor) -> tuple[Tensor, Tensor]:
    """The other planes, pooled along the lines that the texels of each plane stand for.

    Args:
        x: [N=3B, C, H, W], plane index fastest in N.

    Returns:
        [N, H, C], the mean over the rows of plane p+1, along the rows of plane p; and
        [N, W, C], the mean over the columns of plane p+2, along the columns of plane p.
    """
    return _align(x.mean(dim=2).mT, x.mean(dim=3).mT)


def _align(row_means: Tensor, column_means: Tensor) -> tuple[Tensor, Tensor]:
    """Each plane's own means [N, W, C], [N, H, C] -> the means that it takes from the others, [N, H, C], [N, W, C]."""
    rows = row_means.unflatten(0, (-1, PLANES)).roll(-1, dims=1).flatten(0, 1)
    columns = column_means.unflatten(0, (-1, PLANES)).roll(-2, dims=1).flatten(0, 1)
    height, width = columns.shape[1], rows.shape[1]
    if height != width:
        rows = F.interpolate(rows.mT, size=height, mode="linear", align_corners=False).mT
        columns = F.interpolate(columns.mT, size=width, mode="linear", align_corners=False).mT
    return rows, columns


def _convolve(line: Tensor, kernel: Tensor) -> Tensor:
    """[N, L, C], [C', C, 3] -> [N, L, C'], the ends of the line repeated: `conv1d`, as one product of matrices."""
    padded = torch.cat([line[:, :1], line, line[:, -1:]], dim=1)
    windows = torch.cat([padded[:, tap : tap + line.shape[1]] for tap in range(TAPS)], dim=2)  # [N, L, 3C]
    return F.linear(windows, kernel.mT.flatten(1))


def concatenated_reference(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """The layer as the paper writes it: expand, concatenate to 3C channels, convolve.

    Args:
        x: [N=3B, C, H, W], plane index fastest in N.
        kernel: [C', 3C, 3, 3], input channels in the order plane, rows of p+1, columns of p+2.
        bias: [C'].

    Returns:
        [N, C', H, W]
    """
    rows, columns = (line.mT for line in pooled_lines(x))
    joined = torch.cat([x, rows[..., :, None].expand_as(x), columns[..., None, :].expand_as(x)], dim=1)
    return F.conv2d(F.pad(joined, (1, 1, 1, 1), mode="replicate"), kernel, bias)


def fold_kernel(kernel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the concatenated layer [C', 3C, 3, 3] -> plane [C', C, 3, 3], row and column kernels [C', C, 3]."""
    own, rows, columns = kernel.chunk(3, dim=1)
    return own, rows.sum(dim=3), columns.sum(dim=2)
