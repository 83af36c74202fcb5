"""Group norm with ADM's modulation and SiLU, in one node of the graph (Dhariwal & Nichol 2021, Sec. 3.1: AdaGN).

Torch's group norm is slow on the CPU where channels are last in memory, as the fast convolutions want them, and it, the
modulation and SiLU each pass over the maps again. The native kernel does all three in one, forward and backward;
`modulated_norm_reference` says what it computes, and takes its place on other devices.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from rodin.kernels import maps
from rodin.kernels.norm import norm, norm_gradient
from rodin.kernels.structs import CNorm


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`, then optionally a scale and shift of every channel, then optionally SiLU.

    Args:
        channels: C of the maps.
        groups: divides C.
        silu: whether SiLU follows.
    """

    def __init__(self, channels: int, groups: int, silu: bool = False) -> None:
        super().__init__(groups, channels)
        self.silu = silu

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Maps [N, C, H, W] and, together or not at all, [N, C] each -> f((1 + scale) norm(x) + shift), like x"""
        count = x.shape[0]
        gain, offset = self.weight.expand(count, -1), self.bias.expand(count, -1)
        if scale is not None and shift is not None:
            gain, offset = gain * (1 + scale), torch.addcmul(shift, offset, 1 + scale)
        if maps.takes(x):
            y: Tensor = FusedNorm.apply(x, gain.float(), offset.float(), self.num_groups, self.silu, self.eps)
            return y
        return modulated_norm_reference(x, gain, offset, self.num_groups, silu=self.silu, eps=self.eps)


def modulated_norm_reference(
    x: Tensor, gain: Tensor, offset: Tensor, groups: int, silu: bool, eps: float = 1e-5
) -> Tensor:
    """Maps [N, C, H, W], brought to mean 0 and variance 1 over every group of channels, times gain plus offset [N, C]
    each, then SiLU if asked for; like x."""
    normal = F.group_norm(x, groups, eps=eps)
    y = torch.addcmul(offset[..., None, None], normal, gain[..., None, None]).to(x)
    return F.silu(y) if silu else y


class FusedNorm(torch.autograd.Function):
    """`modulated_norm_reference` by the native kernels."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, gain: Tensor, offset: Tensor, groups: int, silu: bool, eps: float
    ) -> Tensor:
        """[N, C, H, W], [N, C], [N, C] -> like x"""
        gain, offset, how = gain.contiguous(), offset.contiguous(), CNorm(groups, silu, eps)
        y, mean, rstd = norm(x, gain, offset, how)
        ctx.save_for_backward(x, gain, offset, mean, rstd)
        ctx.how = how  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, offset, mean, rstd = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_y = grads[0].contiguous(memory_format=torch.channels_last)
        found = norm_gradient(x, grad_y, gain, offset, mean=mean, rstd=rstd, how=ctx.how)  # type: ignore[attr-defined]
        return *found, None, None, None
