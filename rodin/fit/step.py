"""One step of fitting: loss, gradients and Adam, for the planes of a subject and, where it is learned, the decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin import triplane
from rodin.decoder import Decoder
from rodin.fit.losses import Batch, LossConfig, fitting_loss
from rodin.fit.scene import Scene

BETAS = (0.9, 0.99)  # of Adam: short memories suit fits of a few hundred steps
EPSILON = 1e-8


class LearnedDecoder:
    """A decoder that learns along, with its own Adam state.

    Args:
        decoder: changed in place.
        learning_rate: of the coming steps; set it as they go.
    """

    def __init__(self, decoder: Decoder, learning_rate: float) -> None:
        self.decoder, self.learning_rate = decoder, learning_rate
        self.optimizer = torch.optim.Adam(decoder.parameters(), lr=learning_rate, betas=BETAS, eps=EPSILON)


class PlaneFit:
    """The planes of one subject while they are fitted, by autograd: the reference of the fused step.

    Args:
        start: [3, C, H, W] where they begin.
        decoder: frozen, or one that learns along.
    """

    def __init__(self, start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig) -> None:
        self.values = start.clone().requires_grad_()
        self.learned = decoder if isinstance(decoder, LearnedDecoder) else None
        self.decoder = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
        self.loss = loss
        self.optimizer = torch.optim.Adam([self.values], betas=BETAS, eps=EPSILON, fused=True)

    @property
    def planes(self) -> Tensor:
        """[3, C, H, W] as they are now."""
        return self.values.detach()

    def step(self, scene: Scene, batch: Batch, size: int, learning_rate: float, noise: Tensor | None = None) -> float:
        """Move planes and decoder once, and return the loss before.

        Args:
            size: the planes are rendered at `size` x `size`.
            noise: [3, C, size, size] on the planes that are rendered.
        """
        rendered = rescaled(self.values, size)
        if noise is not None:
            rendered = rendered + noise
        loss = fitting_loss(self.values, rendered, self.decoder, scene, batch, self.loss)
        also = list(self.decoder.parameters()) if self.learned else []
        self.values.grad, *others = torch.autograd.grad(loss, [self.values, *also])
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()
        if self.learned:
            for parameter, gradient in zip(also, others, strict=True):
                parameter.grad = gradient
            self.learned.optimizer.param_groups[0]["lr"] = self.learned.learning_rate
            self.learned.optimizer.step()
        return loss.item()


def rescaled(planes: Tensor, size: int) -> Tensor:
    """`planes` at `size` x `size`; the same tensor if it has that size."""
    return planes if planes.shape[-2:] == (size, size) else triplane.resize(planes, size, size)
