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
from rodin.fit.step import BETAS, EPSILON, Gradients, LearnedDecoder, LearnedPalette, Moments, PlaneFit
from rodin.kernels.structs import CFit, CResize, address, channels_first, channels_last, kernels
from rodin.render.decoder import Decoder
from rodin.render.described import describe, describe_rays, flat_parameters
from rodin.render.fused import at_hand
from rodin.render.materials import check_palette


def start_fit(
    start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig, palette: Tensor | None = None
) -> PlaneFit | FusedFit:
    """The planes [3, C, H, W], with materials the palette [K, 3] too, of a subject about to be fitted, by the kernels
    where they are at hand."""
    network = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
    return (FusedFit if at_hand(start, network) else PlaneFit)(start, decoder, loss, palette)


class FusedFit:
    """The planes of one subject while they are fitted; see `rodin.fit.step.PlaneFit`."""

    def __init__(
        self, start: Tensor, decoder: Decoder | LearnedDecoder, loss: LossConfig, palette: Tensor | None = None
    ) -> None:
        self.channels, self.loss, self.kernels = start.shape[1], loss, kernels()
        self.values = channels_last(start)
        self.moments = Moments(self.values)
        self.learned = decoder if isinstance(decoder, LearnedDecoder) else None
        self.decoder = decoder.decoder if isinstance(decoder, LearnedDecoder) else decoder
        check_palette(palette, self.decoder.config.materials)
        self.learned_palette = None if palette is None else LearnedPalette(palette)
        self.parameters = decoder.values if isinstance(decoder, LearnedDecoder) else flat_parameters(decoder)
        self.described = describe(self.decoder, self.parameters)

    @property
    def planes(self) -> Tensor:
        """[3, C, H, W] as they are now."""
        return channels_first(self.values, self.channels)

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
        """Move planes, palette and decoder once, and return the loss before; see `PlaneFit.step`."""
        self.moments.steps += 1
        step = self._settings()
        step.learning_rate, step.plane_step = learning_rate, self.moments.steps
        if self.learned_palette is not None:
            self.learned_palette.moments.steps += 1
            step.palette_learning_rate, step.palette_step = palette_learning_rate, self.learned_palette.moments.steps
        if self.learned is not None:
            self.learned.moments.steps += 1
            step.decoder_learning_rate, step.decoder_step = self.learned.learning_rate, self.learned.moments.steps
        return self._call(step, scene, batch, size, noise=noise)

    def gradients(self, scene: Scene, batch: Batch, size: int, noise: Tensor | None = None) -> Gradients:
        """The loss and its gradients, nothing moved; see `PlaneFit.gradients`."""
        planes = torch.empty_like(self.values)
        decoder = None if self.learned is None else torch.empty_like(self.parameters)
        palette = None if self.learned_palette is None else torch.empty_like(self.learned_palette.values)
        step = self._settings()
        step.plane_gradient = address(planes)
        step.decoder_gradient = None if decoder is None else address(decoder)
        step.palette_gradient = None if palette is None else address(palette)
        loss = self._call(step, scene, batch, size, noise=noise)
        return Gradients(loss, channels_first(planes, self.channels), decoder, palette)

    def _settings(self) -> CFit:
        """What is the same in all steps; all else of it is 0."""
        _, height, width, stride = self.values.shape
        step = CFit(
            planes=address(self.values),
            first=address(self.moments.first),
            second=address(self.moments.second),
            height=height,
            width=width,
            stride=stride,
            sparse=self.loss.sparse,
            smooth=self.loss.smooth,
            compact=self.loss.compact,
            empty=self.loss.empty,
            share=self.loss.shares,
            residual=self.loss.residual,
            shade=self.loss.shade,
            beta1=BETAS[0],
            beta2=BETAS[1],
            epsilon=EPSILON,
        )
        if self.learned is not None:
            step.decoder_parameters = address(self.learned.values)
            step.decoder_first = address(self.learned.moments.first)
            step.decoder_second = address(self.learned.moments.second)
        if self.learned_palette is not None:
            step.palette = address(self.learned_palette.values)
            step.palette_first = address(self.learned_palette.moments.first)
            step.palette_second = address(self.learned_palette.moments.second)
        return step

    def _call(self, step: CFit, scene: Scene, batch: Batch, size: int, *, noise: Tensor | None) -> float:
        _, height, width, _ = self.values.shape
        rays, bins = scene.rays[batch.ray], scene.bins[batch.ray]
        targets = scene.targets[batch.ray]
        shares = scene.shares_of(batch.ray, self.decoder.config.materials)
        noise = None if noise is None else channels_last(noise)
        if (height, width) != (size, size):
            step.rows, step.columns = pointer(resize(height, size).described), pointer(resize(width, size).described)
        step.noise = None if noise is None else address(noise)
        step.targets = address(targets)
        step.shares = None if shares is None else address(shares)
        step.outside, step.points = address(batch.outside), len(batch.outside)
        step.outside_step = 2 / bins.shape[1]
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
