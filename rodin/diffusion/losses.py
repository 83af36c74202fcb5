"""What a denoiser is trained by: L_simple, or L_simple + L_VLB where it learns the variance (Rodin, Sec. 3.2).

Symbols as in `rodin.diffusion.schedule`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.schedule import Denoise, noise_schedule, predicted_clean
from rodin.draws import Draws

VLB_WEIGHT = 0.001  # lambda of L_hybrid = L_simple + lambda L_vlb (Nichol & Dhariwal, Sec. 3.1)


class Diffusion:
    """The constants of one schedule, and the losses that train a network on it.

    The constants are float64 until they meet planes: at small t, 1 - abar of float32 would keep three digits.

    Args:
        config: the schedule and the prediction.
        device: where the planes lie.
    """

    def __init__(self, config: DiffusionConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        betas = noise_schedule(config)
        abar = (1 - betas).cumprod(0)
        before = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])  # abar_{t-1}
        variance = betas * (1 - before) / (1 - abar)
        variance[0] = variance[:2][-1]  # q(x_{-1} | x_0) is a point: take the next step's (Nichol & Dhariwal)
        self.abar = abar.to(device)
        # q(x_{t-1} | x_t, x_0) = N(clean x_0 + noisy x_t, variance) (DDPM, Eq. 6 and 7)
        self.posterior_clean = (before.sqrt() * betas / (1 - abar)).to(device)
        self.posterior_noisy = ((1 - betas).sqrt() * (1 - before) / (1 - abar)).to(device)
        self.posterior_log_variance = variance.log().to(device)
        self.log_betas = betas.log().to(device)

    def draw_timesteps(self, draws: Draws) -> Tensor:
        """[B] timesteps, uniform; one draw spread evenly over the batch, for less noise in the loss (VDM, App. I.1)."""
        steps = self.config.train_steps
        return (draws.spread() * steps).long().clamp(max=steps - 1)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t [B, 3, C, H, W] of clean planes, noise of the same shape and t [B]."""
        signal, sigma = _signal_and_noise(self.abar, t, x0.dtype)
        return signal * x0 + sigma * noise

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should give for x_t, [B, 3, C, H, W]."""
        signal, sigma = _signal_and_noise(self.abar, t, x0.dtype)
        match self.config.prediction:
            case "epsilon":
                return noise
            case "v_prediction":
                return signal * noise - sigma * x0
            case "sample":
                return x0

    def clean(self, prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The x_0 [B, 3, C, H, W] that a prediction (without variance channels) at x_t, t [B] stands for."""
        return predicted_clean(self.config.prediction, prediction, x, *_signal_and_noise(self.abar, t, x.dtype))

    def losses(self, denoise: Denoise, x0: Tensor, draws: Draws) -> dict[str, Tensor]:
        """One training step's losses at random timesteps.

        Args:
            denoise: the network with its conditions, called as `denoise(x_t, t)`.
            x0: [B, 3, C, H, W] clean planes.
            draws: timesteps and noise.

        Returns:
            "loss", what to minimise; "simple", the squared error; "vlb", in bits a number, if the variance is learned.
        """
        t = self.draw_timesteps(draws)
        noise = draws.noise(*x0.shape[1:]).to(x0)
        x = self.add_noise(x0, noise, t)
        output = denoise(x, t).float()
        prediction = output[:, :, : x0.shape[2]]
        error = (prediction - self.target(x0, noise, t)).square().flatten(1).mean(dim=1)  # [B]
        simple = (self.snr_weight(t) * error).mean()
        if not self.config.learned_variance:
            return {"loss": simple, "simple": error.mean()}
        bound = self.variational_bound(prediction.detach(), output[:, :, x0.shape[2] :], x0, x, t=t).mean()
        # E_t times T estimates the sum over all steps, which is the bound.
        return {"loss": simple + VLB_WEIGHT * self.config.train_steps * bound, "simple": error.mean(), "vlb": bound}

    def snr_weight(self, t: Tensor) -> Tensor:
        """[B] weights of the squared error: min(SNR, gamma) + plus in x_0 terms, taken to the prediction's own."""
        if not self.config.min_snr_gamma:
            return torch.ones_like(t, dtype=torch.float32)
        abar = self.abar[t]
        snr = (abar / (1 - abar)).float()
        weight = snr.clamp(max=self.config.min_snr_gamma) + self.config.min_snr_plus
        match self.config.prediction:
            case "epsilon":
                return weight / snr
            case "v_prediction":
                return weight / (snr + 1)
            case "sample":
                return weight

    def variational_bound(self, prediction: Tensor, variance: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """L_t of the variational bound, in bits a number (Nichol & Dhariwal, Eq. 4 to 6 and 15).

        t > 0: the divergence from q(x_{t-1} | x_t, x_0) to the network's step. t = 0: the negative log-density of x_0;
        planes are continuous numbers, so it is the Gaussian's own density, not images' discretised one, and can be
        negative.

        Args:
            prediction: [B, 3, C, H, W]; detach it, so that the bound trains the variance alone.
            variance: [B, 3, C, H, W], -1 = the posterior's variance, +1 = beta_t, between them by the logarithm.
            x0, x: [B, 3, C, H, W] clean and noisy planes.
            t: [B]

        Returns:
            [B]
        """
        true_log, top_log = (_at(table, t, x.dtype) for table in (self.posterior_log_variance, self.log_betas))
        fraction = (variance + 1) / 2
        log_variance = fraction * top_log + (1 - fraction) * true_log
        clean, noisy = (_at(table, t, x.dtype) for table in (self.posterior_clean, self.posterior_noisy))
        difference = clean * (x0 - self.clean(prediction, x, t))  # of the means; x_t's part is the same in both
        ratio = (true_log - log_variance).exp()
        divergence = 0.5 * (log_variance - true_log - 1 + ratio + difference.square() * (-log_variance).exp())
        mean = clean * self.clean(prediction, x, t) + noisy * x
        density = 0.5 * (math.log(2 * math.pi) + log_variance + (x0 - mean).square() * (-log_variance).exp())
        per_sample = torch.where((t == 0).view(-1, 1, 1, 1, 1), density, divergence)
        return per_sample.flatten(1).mean(dim=1) / math.log(2)


def _at(table: Tensor, t: Tensor, dtype: torch.dtype) -> Tensor:
    """Entries t [B] of a table [T], as [B, 1, 1, 1, 1] of a type."""
    return table[t].view(-1, 1, 1, 1, 1).to(dtype)


def _signal_and_noise(abar: Tensor, t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t), each [B, 1, 1, 1, 1]."""
    return _at(abar.sqrt(), t, dtype), _at((1 - abar).sqrt(), t, dtype)
