"""What moves the weights: AdamW alone, or Muon (Jordan et al. 2024) for matrices and kernels and AdamW for the rest,
which are vectors and the layers that a model's output is read off (docs/training.md).

Muon takes the momentum of a matrix to the nearest orthogonal one, so that no few directions own the step. Scaled to the
size of AdamW's updates (Liu et al. 2025, arXiv 2502.16982, Sec. 2.2) it takes AdamW's learning rate and weight decay.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

Kind = Literal["adamw", "muon"]


@runtime_checkable
class HasReadOuts(Protocol):
    """A model that says which weights its output is read off."""

    def read_outs(self) -> list[nn.Parameter]:
        """They."""
        ...


class KernelMuon(torch.optim.Muon):
    """Torch's Muon, which takes matrices alone, on parameters of more sides too: [O, I, ...] is a matrix [O, I ...].

    Args:
        parameters: contiguous, of two sides or more.
        learning_rate, weight_decay: AdamW's.
    """

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float, weight_decay: float) -> None:
        self._parameters = parameters
        self._matrices = [nn.Parameter(one.detach().view(len(one), -1)) for one in parameters]  # of the same memory
        super().__init__(self._matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: None = None) -> Tensor | None:  # type: ignore[override]
        """Move the parameters by their gradients."""
        for matrix, parameter in zip(self._matrices, self._parameters, strict=True):
            matrix.grad = None if parameter.grad is None else parameter.grad.reshape(matrix.shape)
        return super().step()  # type: ignore[no-any-return]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, the parameters' own too."""
        super().zero_grad(set_to_none)
        for parameter in self._parameters:
            parameter.grad = None


def make_optimizers(
    model: nn.Module, kind: Kind, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> list[Optimizer]:
    """Those that move all of a model's parameters that ask for gradients, each of them once.

    Args:
        model: on its device already.
        betas: AdamW's.
    """
    apart = {id(one) for one in model.read_outs()} if isinstance(model, HasReadOuts) else set()
    parameters = [one for one in model.parameters() if one.requires_grad]
    matrices = [one for one in parameters if kind == "muon" and one.ndim >= 2 and id(one) not in apart]
    moved = {id(one) for one in matrices}
    others = [one for one in parameters if id(one) not in moved]
    chosen: list[Optimizer] = [KernelMuon(matrices, learning_rate, weight_decay)] if matrices else []
    if others:
        fused = others[0].device.type in ("cpu", "cuda")
        chosen.append(AdamW(others, learning_rate, betas, weight_decay=weight_decay, fused=fused))
    return chosen
