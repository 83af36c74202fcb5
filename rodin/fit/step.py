"""One step of fitting: loss, gradients and Adam, for the planes of a subject, with materials its palette and, where it
learns too, the decoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rodin import triplane
from rodin.fit.losses import Batch, LossConfig, fitting_loss
from rodin.fit.scene import Scene
from rodin.render.decoder import Decoder
from rodin.render.materials import check_palette

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


class LearnedPalette:
    """The palette of a subject, which learns with its planes, with its own Adam state.

    Args:
        start: [K, 3] where it begins; not changed.
    """

    def __init__(self, start: Tensor) -> None:
        self.values = start.detach().float().clone(memory_format=torch.contiguous_format)
        self.moments = Moments(self.values)

    def move(self, gradient: Tensor, learning_rate: float) -> None:
        """One step of Adam, in place, and back to sRGB values."""
        self.moments.move(self.values, gradient, learning_rate)
        self.values.clamp_(0, 1)


class Gradients(NamedTuple):
    """The loss of a step and its gradients."""

    loss: float
    planes: Tensor  # [3, C, H, W]
    decoder: Tensor | None  # flat; None where it does not learn
    palette: Tensor | None  # [K, 3]; None without materials


class PlaneFit:
    """The planes of one subject while they are fitted, by autograd: the reference of `rodin.fit.fused`.

    Args:
        start: [3, C, H, W] where they begin.
        decoder: frozen, or one that learns along.
        palette: [K, 3] where the subject's begins, if the decoder has materials.

    Raises:
        ValueError: palette and decoder do not fit.
    """

    def __init__(
        self, start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig, palette: Tensor | None = None
    ) -> None:
        self.values = start.clone()
        self.moments = Moments(self.values)
        self.learned = decoder if isinstance(decoder, LearnedDecoder) else None
        self.decoder = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
        check_palette(palette, self.decoder.config.materials)
        self.learned_palette = None if palette is None else LearnedPalette(palette)
        self.loss = loss

    @property
    def planes(self) -> Tensor:
        """[3, C, H, W] as they are now."""
        return self.values.clone()

    @property
    def palette(self) -> Tensor | None:
        """[K, 3] as it is now; None without materials."""
        return None if self.learned_palette is None else self.learned_palette.values.clone()

    def step(
        self,
        scene: Scene,
        batch: Batch,
        size: int,
        learning_rate: float,
        *,
        palette_learning_rate: float = 0.0,
        noise: Tensor | None = None,
    ) -> float:
        """Move planes, palette and decoder once, and return the loss before.

        Args:
            size: the planes are rendered at `size` x `size`.
            learning_rate: of the planes.
            palette_learning_rate: 0 keeps the palette.
            noise: [3, C, size, size] on the planes that are rendered.
        """
        found = self.gradients(scene, batch, size, noise)
        self.moments.move(self.values, found.planes, learning_rate)
        if self.learned_palette is not None and found.palette is not None:
            self.learned_palette.move(found.palette, palette_learning_rate)
        if self.learned is not None and found.decoder is not None:
            self.learned.moments.move(self.learned.values, found.decoder, self.learned.learning_rate)
        return found.loss

    def gradients(self, scene: Scene, batch: Batch, size: int, noise: Tensor | None = None) -> Gradients:
        """The loss and its gradients, nothing moved."""
        with torch.enable_grad():
            values = self.values.clone().requires_grad_()
            palette = None if self.learned_palette is None else self.learned_palette.values.clone().requires_grad_()
            rendered = rescaled(values, size)
            if noise is not None:
                rendered = rendered + noise
            loss = fitting_loss(values, rendered, self.decoder, scene, batch=batch, config=self.loss, palette=palette)
            palettes = [] if palette is None else [palette]
            parameters = list(self.decoder.parameters()) if self.learned else []
            of_planes, *others = torch.autograd.grad(loss, [values, *palettes, *parameters])
        of_palettes, of_decoder = others[: len(palettes)], [one.reshape(-1) for one in others[len(palettes) :]]
        return Gradients(
            loss.item(),
            of_planes,
            decoder=torch.cat(of_decoder) if of_decoder else None,
            palette=of_palettes[0] if of_palettes else None,
        )


def rescaled(planes: Tensor, size: int) -> Tensor:
    """`planes` at `size` x `size`; the same tensor if it has that size."""
    return planes if planes.shape[-2:] == (size, size) else triplane.resize(planes, size, size)
