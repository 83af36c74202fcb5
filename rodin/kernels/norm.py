"""The fused C++ form of `rodin.networks.group_norm`. Maps are as `rodin.kernels.maps` takes them."""

from __future__ import annotations

from torch import Tensor

from rodin.kernels.maps import call, new_maps
from rodin.kernels.structs import CNorm


def norm(x: Tensor, gain: Tensor, offset: Tensor, how: CNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Group norm, gain and offset [N, C] in float32, SiLU where `how` says so.

    Returns:
        Maps like x, and what the gradient needs: mean and 1 / standard deviation [N, groups]
    """
    y = new_maps(x, *x.shape)
    mean, rstd = (gain.new_empty(x.shape[0], how.groups) for _ in range(2))
    call("rodin_norm", x, x, gain, offset, y, mean, rstd, norm=how)
    return y, mean, rstd


def norm_gradient(
    x: Tensor, grad_y: Tensor, gain: Tensor, offset: Tensor, mean: Tensor, rstd: Tensor, how: CNorm
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, gain and offset, by that of y (like x)."""
    grad_x = new_maps(x, *x.shape)
    grad_gain, grad_offset = gain.new_empty(gain.shape), offset.new_empty(offset.shape)
    tensors = (x, grad_y, gain, offset, mean, rstd, grad_x, grad_gain, grad_offset)
    call("rodin_norm_gradient", x, *tensors, norm=how)
    return grad_x, grad_gain, grad_offset
