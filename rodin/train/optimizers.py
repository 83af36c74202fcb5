"""What moves the weights: AdamW alone, or Muon (Jordan et al. 2024) for matrices and kernels and AdamW for the rest,
which are vectors and the layers that a model's output is read off (docs/training.md).

Muon takes the momentum of a matrix to the nearest orthogonal one, so that no few directions own the step. Scaled to the
size of AdamW's updates (Liu et al. 2025, arXiv 2502.16982, Sec. 2.2) it takes AdamW's learning rate and weight decay.
That costs five to ten times what AdamW does. Ranks would all do the same, and so share the matrices: each turns its own
and passes the result on (ZeRO, stage 1; Rajbhandari et al. 2020).
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

Kind = Literal["adamw", "muon"]


@runtime_checkable
class HasReadOuts(Protocol):
    """A model that says which weights its output is read off."""

    def read_outs(self) -> list[nn.Parameter]:
        """They."""
        ...


def make_optimizers(
    model: nn.Module, kind: Kind, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> list[Optimizer]:
    """Those that move all of a model's parameters that ask for gradients, each of them once.

    Args:
        model: on its device already; of several ranks each has it whole, with the same weights and gradients.
        betas: AdamW's.
    """
    apart = {id(one) for one in model.read_outs()} if isinstance(model, HasReadOuts) else set()
    parameters = [one for one in model.parameters() if one.requires_grad]
    matrices = [one for one in parameters if kind == "muon" and one.ndim >= 2 and id(one) not in apart]
    moved = {id(one) for one in matrices}
    others = [one for one in parameters if id(one) not in moved]
    chosen = [_muon(matrices, learning_rate, weight_decay)] if matrices else []
    if others:
        fused = others[0].device.type in ("cpu", "cuda")
        chosen.append(AdamW(others, learning_rate, betas, weight_decay=weight_decay, fused=fused))
    return chosen


def whole_state(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's `state_dict`, whole on rank 0 and empty elsewhere where the ranks share it. Ask on every rank."""
    if not hasattr(optimizer, "consolidate_state_dict"):
        return optimizer.state_dict()
    optimizer.consolidate_state_dict(to=0)
    return optimizer.state_dict() if torch.distributed.get_rank() == 0 else {}


def _muon(parameters: list[nn.Parameter], learning_rate: float, weight_decay: float) -> Optimizer:
    """Torch's Muon, which takes matrices alone, on parameters of more sides too: [O, I, ...] is a matrix [O, I ...]."""
    matrices = [nn.Parameter(one.detach().view(len(one), -1)) for one in parameters]  # of the same memory
    how: dict[str, Any] = {"lr": learning_rate, "weight_decay": weight_decay, "adjust_lr_fn": "match_rms_adamw"}
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        from torch.distributed.optim import ZeroRedundancyOptimizer  # a second of imports

        optimizer: Optimizer = ZeroRedundancyOptimizer(matrices, Muon, **how)
    else:
        optimizer = Muon(matrices, **how)

    def take(*_: Any) -> None:
        for matrix, parameter in zip(matrices, parameters, strict=True):
            matrix.grad = None if parameter.grad is None else parameter.grad.reshape(matrix.shape)

    def forget(*_: Any) -> None:
        for parameter in parameters:
            parameter.grad = None

    optimizer.register_step_pre_hook(take)
    optimizer.register_step_post_hook(forget)
    return optimizer
