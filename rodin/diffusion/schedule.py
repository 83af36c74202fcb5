"""The noise schedules, and the algebra between what a network predicts and x_0 (Rodin, Sec. 3.2 and 3.3).

Symbols, here and in `rodin.diffusion`: x_0 clean planes, x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, with t from 0
(hardly noisy) to T - 1. abar_t is the product of alpha_s = 1 - beta_s up to t; log-SNR = log(abar_t / (1 - abar_t)).
Planes are [B, 3, C, H, W]; a network that learns the variance gives 2C channels: C of the prediction, then C of the
variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rodin.diffusion.config import DiffusionConfig, Prediction

#: A network with its conditions: x_t [B, 3, C, H, W] and t [B] -> [B, 3, C or 2C, H, W].
Denoise = Callable[[Tensor, Tensor], Tensor]

MAX_BETA = 0.999  # of the cosine schedules, whose last step would otherwise be singular (Nichol & Dhariwal, Sec. 3.2)


def noise_schedule(config: DiffusionConfig) -> Tensor:
    """betas [T], float64.

    The paper states that log-SNR falls linearly, not between which ends. We take those of DDPM's and ADM's betas (1e-4
    to 0.02 over 1000 steps): abar from 0.9999 to 4.04e-5. "shifted" is cos^6 over the last 8/10 of the quarter wave.
    """
    steps = config.train_steps
    if steps == 1:
        return torch.ones(1, dtype=torch.float64)  # abar 0: noise alone
    time = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    if config.schedule == "linear":
        first, last = math.log(0.9999 / 1e-4), math.log(4.04e-5)  # log-SNR; 1 - abar is 1 at the end
        log_snr = first + (last - first) * torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
        abar = torch.cat([torch.ones(1, dtype=torch.float64), log_snr.sigmoid()])
    elif config.schedule == "cosine":
        abar = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
    else:
        abar = torch.cos((0.2 + 0.8 * time) * math.pi / 2) ** 6
    betas = (1 - abar[1:] / abar[:-1]).clamp(max=MAX_BETA)
    if config.zero_terminal_snr:  # shift and stretch sqrt(abar): the last becomes 0, the first stays (Lin et al.)
        root = (1 - betas).cumprod(0).sqrt()
        abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        betas = 1 - abar / torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    return betas


def predicted_clean(
    kind: Prediction, prediction: Tensor, x: Tensor, signal: Tensor | float, sigma: Tensor | float
) -> Tensor:
    """The x_0 that a prediction at x_t stands for; signal is sqrt(abar_t), sigma is sqrt(1 - abar_t)."""
    match kind:
        case "epsilon":
            return (x - sigma * prediction) / signal
        case "v_prediction":
            return signal * x - sigma * prediction
        case "sample":
            return prediction
