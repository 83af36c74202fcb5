"""How well a denoiser meets subjects that it was not trained on, in figures that do not hang on what it predicts.

The error is that of x_0 in units of the standardised planes, clipped as in sampling, at noise levels that are fixed as
the noise's share of x_t's variance: epsilon, v and x_0 can be compared by it, and schedules too. 0 is perfect, and the
mean avatar has about 1.

Symbols: N subjects, C channels, D latent.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rodin.diffusion.losses import Diffusion
from rodin.diffusion.sampling import guided
from rodin.diffusion.schedule import Denoise
from rodin.train.loop import Measure

# 1 - abar_t: eyes and mouths are decided at the first, silhouettes and colours at the last.
LEVELS = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
JUDGED = 32  # subjects
SHARE = 0.02  # of the training's time, at most
STEP_COST = 3.0  # of a training step, in predictions


def validation(planes: Tensor, latents: Tensor | None, noising: Diffusion, clip: float, batch_size: int) -> Measure:
    """The mean squared error of x_0 over the levels, "x0", and at each of them, "x0_0.1" and so on.

    Args:
        planes: [N, 3, C, H, W] residuals of held-out subjects; `JUDGED` are enough.
        latents: [N, D] of them, or None for a network without.
        noising: the schedule and the prediction.
        clip: bound on the residual.
        batch_size: of the training, beside which the cost is kept small.
    """
    noise = torch.randn(planes.shape, generator=torch.Generator().manual_seed(0)).to(planes.device)
    times = nearest_timesteps(noising)

    def figures(network: nn.Module) -> list[float]:
        errors = []
        for time in times:
            parts = []
            for start in range(0, len(planes), batch_size):
                part = slice(start, start + batch_size)
                denoise = guided(network, None if latents is None else latents[part])
                parts.append(clean_error(denoise, planes[part].float(), noise[part], time, noising=noising, clip=clip))
            errors.append(torch.cat(parts).mean().item())
        return [sum(errors) / len(errors), *errors]

    every = math.ceil(len(LEVELS) * len(planes) / (SHARE * STEP_COST * batch_size))
    return Measure(names=("x0", *(f"x0_{level}" for level in LEVELS)), figures=figures, every=every)


def nearest_timesteps(noising: Diffusion) -> list[int]:
    """The timestep of each of `LEVELS`, by its log-SNR."""
    log_snr = torch.logit(noising.abar)
    return [int((log_snr - math.log((1 - level) / level)).abs().argmin()) for level in LEVELS]


def clean_error(denoise: Denoise, x0: Tensor, noise: Tensor, time: int, noising: Diffusion, clip: float) -> Tensor:
    """[B] mean squared errors of the denoiser's x_0 for planes x0 [B, 3, C, H, W], noised to one timestep."""
    t = torch.full((len(x0),), time, device=x0.device)
    x = noising.add_noise(x0, noise, t)
    prediction = denoise(x, t).float()[:, :, : x0.shape[2]]
    clean = noising.clean(prediction, x, t).clamp(-clip, clip)
    return (clean - x0).square().flatten(1).mean(dim=1)
