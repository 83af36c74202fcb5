"""One step of fitting: loss, gradients and Adam, for the planes of a subject and, where it learns too, the decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin import triplane
from rodin.fit.losses import Batch, LossConfig, fitting_loss
from rodin.fit.scene import Scene
from rodin.render.decoder import Decoder

BETAS = (0.9, 0.99)  # of Adam: short memories suit fits of a few hundred steps
EPSILON = 1e-8


class Moments:
    """What Adam (Kingma & Ba 2015) remembers of some numbers' gradients."""

    def __init__(self, values: Tensor) -> None:
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = 0

    def move(self, values: Tensor, gradient: Tensor, learning_rate: float) -> None:
        """One step of Adam, in place."""
        self.steps += 1
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        spread = (self.second / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPSILON)
        values.addcdiv_(self.first, spread, value=-learning_rate / (1 - BETAS[0] ** self.steps))


class LearnedDecoder:
    """A decoder that learns along, with its own Adam state.

    Args:
        decoder: changed in place. Its parameters become views of one vector.
        learning_rate: of the coming steps; set it as they go.
    """

    def __init__(self, decoder: Decoder, learning_rate: float) -> None:
        self.decoder, self.learning_rate = decoder, learning_rate
        parameters = list(decoder.parameters())
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        for parameter, view in zip(parameters, self.values.split([p.numel() for p in parameters]), strict=True):
            parameter.data = view.view_as(parameter)
        self.moments = Moments(self.values)


class PlaneFit:
    """The planes of one subject while they are fitted, by autograd: the reference of `rodin.fit.fused`.

    Args:
        start: [3, C, H, W] where they begin.
        decoder: frozen, or one that learns along.
    """

    def __init__(self, start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig) -> None:
        self.values = start.clone()
        self.moments = Moments(self.values)
        self.learned = decoder if isinstance(decoder, LearnedDecoder) else None
        self.decoder = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
        self.loss = loss

    @property
    def planes(self) -> Tensor:
        """[3, C, H, W] as they are now."""
        return self.values.clone()

    def step(self, scene: Scene, batch: Batch, size: int, learning_rate: float, noise: Tensor | None = None) -> float:
        """Move planes and decoder once, and return the loss before.

        Args:
            size: the planes are rendered at `size` x `size`.
            noise: [3, C, size, size] on the planes that are rendered.
        """
        loss, gradient, others = self.gradients(scene, batch, size, noise)
        self.moments.move(self.values, gradient, learning_rate)
        if self.learned is not None and others is not None:
            self.learned.moments.move(self.learned.values, others, self.learned.learning_rate)
        return loss

    def gradients(
        self, scene: Scene, batch: Batch, size: int, noise: Tensor | None = None
    ) -> tuple[float, Tensor, Tensor | None]:
        """The loss, its gradient with respect to the planes [3, C, H, W] and, flat, to the decoder if it learns."""
        with torch.enable_grad():
            values = self.values.clone().requires_grad_()
            rendered = rescaled(values, size)
            if noise is not None:
                rendered = rendered + noise
            loss = fitting_loss(values, rendered, self.decoder, scene, batch=batch, config=self.loss)
            parameters = list(self.decoder.parameters()) if self.learned else []
            gradient, *others = torch.autograd.grad(loss, [values, *parameters])
        return loss.item(), gradient, torch.cat([one.reshape(-1) for one in others]) if others else None


def rescaled(planes: Tensor, size: int) -> Tensor:
    """`planes` at `size` x `size`; the same tensor if it has that size."""
    return planes if planes.shape[-2:] == (size, size) else triplane.resize(planes, size, size)
