"""Gaussian diffusion of tri-planes: noise schedules, training losses, guidance, sampling (Rodin, Sec. 3.2 and 3.3).

Symbols: x_0 clean planes, x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, with t from 0 (hardly noisy) to T - 1. abar_t
is the product of alpha_s = 1 - beta_s up to t; log-SNR = log(abar_t / (1 - abar_t)). Planes are [B, 3, C, H, W]; a
network that learns the variance gives 2C channels: C of the prediction, then C of the variance.

The steps of the samplers are those of diffusers' schedulers, to which the tests hold them. They are written here since
importing diffusers takes two seconds, which every command would pay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Prediction = Literal["epsilon", "v_prediction", "sample"]
Schedule = Literal["linear", "cosine", "shifted"]
Sampler = Literal["ancestral", "ddim", "dpm++"]
Predict = Callable[[Tensor, Tensor], Tensor]  # x_t [B, 3, C, H, W], t [B] -> [B, 3, C or 2C, H, W]

MAX_BETA = 0.999  # of the cosine schedules, whose last step would otherwise be singular (Nichol & Dhariwal, Sec. 3.2)
VLB_WEIGHT = 0.001  # lambda of L_hybrid = L_simple + lambda L_vlb (Nichol & Dhariwal, Sec. 3.1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffusionConfig:
    """What is noised how, and what the network predicts.

    Args:
        prediction: what the network gives: the noise, v = sqrt(abar) eps - sqrt(1 - abar) x_0, or x_0 ("sample").
        learned_variance: the network also gives the variance of each step, trained by the variational bound.
        schedule: how noise grows. "linear": log-SNR falls linearly, as in the paper; "cosine": Nichol & Dhariwal's;
            "shifted": RodinHD's, whose stronger noise suits planes, since they are more redundant than images.
        train_steps: T. 1 leaves nothing but noise to see: a plain decoder of z, the paper's auto-encoder baseline.
        zero_terminal_snr: the last step is pure noise (Lin et al. 2024).
        min_snr_gamma: a prediction's weight in x_0 terms is min(SNR, gamma) (Hang et al. 2023); 0 = plain L_simple.
        min_snr_plus: added to min(SNR, gamma). 1 makes it the error of v, in which every level of noise counts about
            alike (Salimans & Ho 2022, SNR + 1 weighting), but bounded.
    """

    prediction: Prediction = "v_prediction"
    learned_variance: bool = False
    schedule: Schedule = "shifted"
    train_steps: int = 1000
    zero_terminal_snr: bool = True
    min_snr_gamma: float = 0.0
    min_snr_plus: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("prediction", get_args(Prediction)), ("schedule", get_args(Schedule))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.train_steps < 1:
            raise ValueError(f"train_steps must be at least 1, got {self.train_steps}")
        if self.min_snr_gamma < 0:
            raise ValueError(f"min_snr_gamma must be positive, or 0 for off, got {self.min_snr_gamma}")
        if self.min_snr_plus < 0 or (self.min_snr_plus and not self.min_snr_gamma):
            raise ValueError(f"min_snr_plus must be 0, or positive beside a min_snr_gamma, got {self.min_snr_plus}")
        if self.prediction == "epsilon" and self.zero_terminal_snr:
            raise ValueError(
                "prediction 'epsilon' says nothing about x_0 at zero_terminal_snr: predict 'v_prediction' or 'sample', "
                "or set zero_terminal_snr to false"
            )
        plain = self.prediction == "sample" and self.zero_terminal_snr
        if self.train_steps == 1 and not (plain and not self.learned_variance and not self.min_snr_gamma):
            raise ValueError(
                "train_steps 1 sees pure noise alone: it needs prediction 'sample', zero_terminal_snr, "
                "no learned_variance and min_snr_gamma 0"
            )


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

    def draw_timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """[B] timesteps, uniform; one draw spread evenly over the batch, for less noise in the loss (VDM, App. I.1)."""
        start = torch.rand((), generator=generator, device=generator.device)
        spread = torch.arange(batch, device=generator.device) / batch
        steps = self.config.train_steps
        return ((start + spread) % 1.0 * steps).long().clamp(max=steps - 1)

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
        return _clean(self.config.prediction, prediction, x, *_signal_and_noise(self.abar, t, x.dtype))

    def losses(
        self,
        network: Callable[..., Tensor],
        x0: Tensor,
        z: Tensor | None,
        generator: torch.Generator,
        low_res: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One training step's losses at random timesteps.

        Args:
            network: called as `network(x_t, t, z, low_res)`.
            x0: [B, 3, C, H, W] clean planes.
            z: [B, D] or None, low_res: [B, 3, C', h, w] or None: passed on.
            generator: of timesteps and noise, on the device of `x0`.

        Returns:
            "loss", what to minimise; "simple", the squared error; "vlb", in bits a number, if the variance is learned.
        """
        t = self.draw_timesteps(x0.shape[0], generator)
        noise = torch.randn(x0.shape, generator=generator, device=generator.device, dtype=x0.dtype)
        x = self.add_noise(x0, noise, t)
        output = network(x, t, z, low_res).float()
        prediction = output[:, :, : x0.shape[2]]
        error = (prediction - self.target(x0, noise, t)).square().flatten(1).mean(dim=1)  # [B]
        simple = (self.snr_weight(t) * error).mean()
        if not self.config.learned_variance:
            return {"loss": simple, "simple": error.mean()}
        bound = self.variational_bound(prediction.detach(), output[:, :, x0.shape[2] :], x0, x, t).mean()
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


class Scheduler:
    """The steps from noise to planes.

    Args:
        config: what the network was trained on.
        kind: "ancestral" draws each step from the learned Gaussian (the paper's, 100 steps); "ddim" (Song et al. 2021)
            and "dpm++", DPM-Solver++ of second order with multiple steps (Lu et al. 2022), are deterministic after the
            first noise and need 5 to 10 steps. ValueError if there is no such kind.
    """

    timesteps: Tensor  # [steps], falling; the first is T - 1, where all is noise (Lin et al. 2024)

    def __init__(self, config: DiffusionConfig, kind: Sampler) -> None:
        if kind not in get_args(Sampler):
            raise ValueError(f"sampler must be one of {', '.join(get_args(Sampler))}, got {kind!r}")
        self.config, self.kind = config, kind
        self._abar = (1 - noise_schedule(config)).cumprod(0).tolist()

    def set_timesteps(self, steps: int) -> None:
        """Prepare for a number of steps.

        Raises:
            ValueError: it is not from 1 to T.
        """
        total = self.config.train_steps
        if not 1 <= steps <= total:
            raise ValueError(f"steps must be 1 to {total}, got {steps}")
        # Even in the angle arccos(sqrt(abar)) between x_t and x_0, whatever the schedule; 5 of them come nearer to the
        # limit of many steps than 20 that are even in t, on "shifted". The nearest whole timesteps, none twice.
        angles = torch.tensor([math.acos(math.sqrt(abar)) for abar in self._abar], dtype=torch.float64)
        place = torch.arange(steps)
        nearest = (angles[:, None] - angles[-1] * (place + 1) / steps).abs().argmin(dim=0)
        self.timesteps = ((nearest - place).clamp(max=total - steps).cummax(dim=0).values + place).flip(0)
        self._clean: Tensor | None = None  # of the step before

    def step(
        self, output: Tensor, index: int, x: Tensor, generators: list[torch.Generator], clip: float | None = None
    ) -> Tensor:
        """x [B, 3, C, H, W] at the timestep after number `index`.

        Args:
            output: [B, 3, C or 2C, H, W] of the network at x.
            x: at timestep number `index`; the steps must be made in order.
            generators: one a sample.
            clip: keep the predicted x_0 within +-clip; the noise is what is then left of x.
        """
        times, channels = self.timesteps.tolist(), x.shape[2]
        now, after = (self._abar[t] if t >= 0 else 1.0 for t in (*times, -1)[index : index + 2])
        clean = _clean(self.config.prediction, output[:, :, :channels], x, math.sqrt(now), math.sqrt(1 - now))
        if clip is not None:
            clean = clean.clamp(-clip, clip)
        if after == 1.0:
            return clean
        if self.kind == "ancestral":
            return self._draw(clean, output[:, :, channels:], x, now, after, generators)
        target = clean
        if self.kind == "dpm++" and self._clean is not None:
            # Carry on as x_0 has moved since the step before; not from zero SNR, which is infinitely far away
            first, second, third = (_log_snr(abar) for abar in (self._abar[times[index - 1]], now, after))
            target = clean + (third - second) / (second - first) / 2 * (clean - self._clean)
        self._clean = clean
        ratio = math.sqrt((1 - after) / (1 - now))
        return ratio * x + (math.sqrt(after) - ratio * math.sqrt(now)) * target

    def _draw(
        self, clean: Tensor, variance: Tensor, x: Tensor, now: float, after: float, generators: list[torch.Generator]
    ) -> Tensor:
        """A step from abar `now` to `after`, drawn from its Gaussian (Nichol & Dhariwal, Eq. 19)."""
        beta = 1 - now / after
        mean = (math.sqrt(after) * beta * clean + math.sqrt(1 - beta) * (1 - after) * x) / (1 - now)
        low, high = math.log(beta * (1 - after) / (1 - now)), math.log(beta)
        fraction = (variance + 1) / 2 if self.config.learned_variance else x.new_zeros(())
        noise = _normal(tuple(x.shape[1:]), generators, x.device)
        return mean + torch.exp((low + fraction * (high - low)) / 2) * noise


def _log_snr(abar: float) -> float:
    return math.log(abar / (1 - abar)) if abar else -math.inf


def guided(network: nn.Module, z: Tensor | None, scale: float = 1.0, low_res: Tensor | None = None) -> Predict:
    """Classifier-free guidance: eps = scale eps(y, z) + (1 - scale) eps(y) (Rodin, Sec. 3.2), for `sample`.

    The prediction may be eps, v or x_0, since each is linear in the others. The variance is the conditional pass's.

    Args:
        network: called as `network(x_t, t, z, low_res)`.
        z: [B, D] latents, or None for a network without; null (zeros) is the condition left out.
        scale: 1 = the condition as trained, in one pass; more pushes away from what is likely without it.
        low_res: [B, 3, C', h, w] or None, the condition that is never left out.
    """
    if z is None and scale != 1.0:
        raise ValueError(f"guidance needs a latent z to leave out, got none with scale {scale}; use scale 1")

    def predict(x: Tensor, t: Tensor) -> Tensor:
        if z is None or scale == 1.0:
            return network(x, t, z, low_res)
        twice = None if low_res is None else torch.cat([low_res, low_res])
        both = network(torch.cat([x, x]), torch.cat([t, t]), torch.cat([z, torch.zeros_like(z)]), twice)
        conditional, null = both.chunk(2)
        channels = x.shape[2]
        prediction = scale * conditional[:, :, :channels] + (1 - scale) * null[:, :, :channels]
        return torch.cat([prediction, conditional[:, :, channels:]], dim=2)

    return predict


def draw_noise(shape: tuple[int, ...], generators: list[torch.Generator], device: torch.device | str = "cpu") -> Tensor:
    """x_T [B, *shape], one generator a sample, so that a sample does not depend on what is drawn beside it.

    Rounded to half precision, in which an avatar's file keeps it: drawn again from the file, it is the same avatar.
    Generators of the CPU give the same noise on every device.
    """
    return _normal(shape, generators, device).half().float()


def _normal(shape: tuple[int, ...], generators: list[torch.Generator], device: torch.device | str) -> Tensor:
    """[B, *shape] standard normal numbers, sample k's from generator k, on the device."""
    return torch.stack([torch.randn(shape, generator=one, device=one.device) for one in generators]).to(device)


@torch.no_grad()
def sample(
    denoise: Predict,
    scheduler: Scheduler,
    noise: Tensor,
    generators: list[torch.Generator],
    steps: int,
    clip: float | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Draw planes.

    Args:
        denoise: the network with its conditions, see `guided`.
        scheduler: how the steps are made.
        noise: [B, 3, C, H, W] x_T, see `draw_noise`; on the device of the network.
        generators: one a sample, of the noise that the ancestral sampler adds at each step.
        steps: denoising steps, 1 to T.
        clip: see `Scheduler.step`.
        callback: called after each step with its index and x.

    Returns:
        [B, 3, C, H, W]

    Raises:
        ValueError: the number of steps is out of range.
    """
    scheduler.set_timesteps(steps)
    x = noise
    for index, t in enumerate(scheduler.timesteps):
        output = denoise(x, t.to(x.device).expand(len(x))).float()
        x = scheduler.step(output, index, x, generators, clip)
        if callback is not None:
            callback(index, x)
    return x


def _at(table: Tensor, t: Tensor, dtype: torch.dtype) -> Tensor:
    """Entries t [B] of a table [T], as [B, 1, 1, 1, 1] of a type."""
    return table[t].view(-1, 1, 1, 1, 1).to(dtype)


def _signal_and_noise(abar: Tensor, t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t), each [B, 1, 1, 1, 1]."""
    return _at(abar.sqrt(), t, dtype), _at((1 - abar).sqrt(), t, dtype)


def _clean(kind: Prediction, prediction: Tensor, x: Tensor, signal: Tensor | float, sigma: Tensor | float) -> Tensor:
    match kind:
        case "epsilon":
            return (x - sigma * prediction) / signal
        case "v_prediction":
            return signal * x - sigma * prediction
        case "sample":
            return prediction
