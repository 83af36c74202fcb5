"""One step of fitting in one native call: what `rodin.fit.step` does by autograd, an order of magnitude faster.

Planes and their Adam moments are kept channels last, [3, H, W, stride], as the kernels want them.
"""

from __future__ import annotations

from ctypes import byref, pointer
from functools import lru_cache

import torch
from torch import Tensor

from rodin.fit.losses import Batch, LossConfig
from rodin.fit.scene import Scene
from rodin.fit.step import BETAS, EPSILON, LearnedDecoder, Moments, PlaneFit
from rodin.kernels.structs import CFit, CResize, address, channels_first, channels_last, kernels
from rodin.render.decoder import Decoder
from rodin.render.described import describe, describe_rays, flat_parameters
from rodin.render.fused import at_hand


def start_fit(start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig) -> PlaneFit | FusedFit:
    """The planes [3, C, H, W] of a subject about to be fitted, by the kernels where they are at hand."""
    network = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
    return (FusedFit if at_hand(start, network) else PlaneFit)(start, decoder, loss)


class FusedFit:
    """The planes of one subject while they are fitted; see `rodin.fit.step.PlaneFit`."""

    def __init__(self, start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig) -> None:
        self.channels, self.loss, self.kernels = start.shape[1], loss, kernels()
        self.values = channels_last(start)
        self.moments = Moments(self.values)
        self.learned = decoder if isinstance(decoder, LearnedDecoder) else None
        self.decoder = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
        self.parameters = decoder.values if isinstance(decoder, LearnedDecoder) else flat_parameters(decoder)
        self.described = describe(self.decoder, self.parameters)

    @property
    def planes(self) -> Tensor:
        """[3, C, H, W] as they are now."""
        return channels_first(self.values, self.channels)

    def step(self, scene: Scene, batch: Batch, size: int, learning_rate: float, noise: Tensor | None = None) -> float:
        """Move planes and decoder once, and return the loss before; see `PlaneFit.step`."""
        self.moments.steps += 1
        if self.learned is not None:
            self.learned.moments.steps += 1
        return self._call(scene, batch, size, learning_rate, noise=noise, gradient=None, others=None)

    def gradients(
        self, scene: Scene, batch: Batch, size: int, noise: Tensor | None = None
    ) -> tuple[float, Tensor, Tensor | None]:
        """The loss and its gradients, nothing moved; see `PlaneFit.gradients`."""
        gradient = torch.empty_like(self.values)
        others = None if self.learned is None else torch.empty_like(self.parameters)
        loss = self._call(scene, batch, size, 0.0, noise=noise, gradient=gradient, others=others)
        return loss, channels_first(gradient, self.channels), others

    def _call(
        self,
        scene: Scene,
        batch: Batch,
        size: int,
        learning_rate: float,
        noise: Tensor | None,
        gradient: Tensor | None,
        others: Tensor | None,
    ) -> float:
        _, height, width, stride = self.values.shape
        rays, bins = scene.rays[batch.ray], scene.bins[batch.ray]
        targets = scene.targets[batch.ray]
        noise = None if noise is None else channels_last(noise)
        resized = (height, width) != (size, size)
        rows, columns = (resize(height, size), resize(width, size)) if resized else (None, None)
        learned = self.learned
        step = CFit(
            planes=address(self.values),
            first=address(self.moments.first),
            second=address(self.moments.second),
            height=height,
            width=width,
            stride=stride,
            rows=None if rows is None else pointer(rows.described),
            columns=None if columns is None else pointer(columns.described),
            noise=None if noise is None else address(noise),
            targets=address(targets),
            outside=address(batch.outside),
            points=len(batch.outside),
            outside_step=2 / bins.shape[1],
            sparse=self.loss.sparse,
            smooth=self.loss.smooth,
            compact=self.loss.compact,
            empty=self.loss.empty,
            learning_rate=learning_rate,
            decoder_learning_rate=0.0 if learned is None else learned.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            epsilon=EPSILON,
            plane_step=self.moments.steps,
            decoder_step=0 if learned is None else learned.moments.steps,
            decoder_first=None if learned is None else address(learned.moments.first),
            decoder_second=None if learned is None else address(learned.moments.second),
            decoder_parameters=None if learned is None else address(learned.values),
            plane_gradient=None if gradient is None else address(gradient),
            decoder_gradient=None if others is None else address(others),
        )
        described = describe_rays(rays, bins.shape[1], bins=bins, jitter=batch.jitter)
        return float(
            self.kernels.functions.rodin_fit(self.kernels.number, byref(self.described), byref(described), byref(step))
        )


class Resize:
    """How planes of one size become another along one dimension: `triplane.resize`, as starts and weights."""

    def __init__(self, size: int, to: int) -> None:
        matrix = torch.nn.functional.interpolate(
            torch.eye(size)[None, None], size=(to, size), mode="bilinear", align_corners=False, antialias=True
        )[0, 0]  # [to, size]
        used = matrix != 0
        taps = int((used * torch.arange(1, size + 1)).amax(dim=1).sub(used.int().argmax(dim=1)).max())
        self.starts = used.int().argmax(dim=1).clamp(max=size - taps).int()
        self.weights = torch.stack([row[start : start + taps] for row, start in zip(matrix, self.starts, strict=True)])
        self.described = CResize(address(self.starts, torch.int32), address(self.weights), to, taps)


resize = lru_cache(maxsize=256)(Resize)
