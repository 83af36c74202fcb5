"""From noise to planes: the samplers, classifier-free guidance, the loop (Rodin, Sec. 3.2).

The steps of the samplers are those of diffusers' schedulers, to which the tests hold them. They are written here since
importing diffusers takes two seconds, which every command would pay. Symbols as in `rodin.diffusion.schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig, Sampler
from rodin.diffusion.schedule import Denoise, noise_schedule, predicted_clean


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
        clean = self.clean(output, index, x, clip)
        return self.advance(clean, index, x, generators, variance=output[:, :, x.shape[2] :])

    def clean(self, output: Tensor, index: int, x: Tensor, clip: float | None = None) -> Tensor:
        """The x_0 [B, 3, C, H, W] that the network's output at x stands for; arguments as of `step`."""
        now = self._abar[int(self.timesteps[index])]
        prediction = output[:, :, : x.shape[2]]
        clean = predicted_clean(self.config.prediction, prediction, x, math.sqrt(now), sigma=math.sqrt(1 - now))
        return clean if clip is None else clean.clamp(-clip, clip)

    def advance(
        self,
        clean: Tensor,
        index: int,
        x: Tensor,
        generators: list[torch.Generator],
        variance: Tensor | None = None,
    ) -> Tensor:
        """x at the timestep after number `index`, given x_0: the noise is what is left of x beside it.

        Args:
            clean: [B, 3, C, H, W] x_0, as the network predicts it or moved from there.
            variance: [B, 3, C, H, W] of a network that learns it, for the ancestral sampler.
        """
        times = self.timesteps.tolist()
        now, after = (self._abar[t] if t >= 0 else 1.0 for t in (*times, -1)[index : index + 2])
        if after == 1.0:
            return clean
        if self.kind == "ancestral":
            return self._draw(clean, variance, x, now, after=after, generators=generators)
        target = clean
        if self.kind == "dpm++" and self._clean is not None:
            # Carry on as x_0 has moved since the step before; not from zero SNR, which is infinitely far away
            first, second, third = (_log_snr(abar) for abar in (self._abar[times[index - 1]], now, after))
            target = clean + (third - second) / (second - first) / 2 * (clean - self._clean)
        self._clean = clean
        ratio = math.sqrt((1 - after) / (1 - now))
        return ratio * x + (math.sqrt(after) - ratio * math.sqrt(now)) * target

    def _draw(
        self,
        clean: Tensor,
        variance: Tensor | None,
        x: Tensor,
        now: float,
        after: float,
        generators: list[torch.Generator],
    ) -> Tensor:
        """A step from abar `now` to `after`, drawn from its Gaussian (Nichol & Dhariwal, Eq. 19)."""
        beta = 1 - now / after
        mean = (math.sqrt(after) * beta * clean + math.sqrt(1 - beta) * (1 - after) * x) / (1 - now)
        low, high = math.log(beta * (1 - after) / (1 - now)), math.log(beta)
        fraction = x.new_zeros(()) if variance is None or not self.config.learned_variance else (variance + 1) / 2
        noise = _normal(tuple(x.shape[1:]), generators, x.device)
        return mean + torch.exp((low + fraction * (high - low)) / 2) * noise


def _log_snr(abar: float) -> float:
    return math.log(abar / (1 - abar)) if abar else -math.inf


def guided(network: nn.Module, z: Tensor | None, scale: float = 1.0) -> Denoise:
    """Classifier-free guidance: eps = scale eps(y, z) + (1 - scale) eps(y) (Rodin, Sec. 3.2), for `sample`.

    The prediction may be eps, v or x_0, since each is linear in the others. The variance is the conditional pass's.

    Args:
        network: called as `network(x_t, t, z)`.
        z: [B, D] latents, or None for a network without; null (zeros) is the condition left out.
        scale: 1 = the condition as trained, in one pass; more pushes away from what is likely without it.
    """
    if z is None and scale != 1.0:
        raise ValueError(f"guidance needs a latent z to leave out, got none with scale {scale}; use scale 1")

    def predict(x: Tensor, t: Tensor) -> Tensor:
        if z is None or scale == 1.0:
            return network(x, t, z)
        both = network(torch.cat([x, x]), torch.cat([t, t]), torch.cat([z, torch.zeros_like(z)]))
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
    denoise: Denoise,
    scheduler: Scheduler,
    noise: Tensor,
    generators: list[torch.Generator],
    steps: int,
    clip: float | None = None,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Draw planes.

    Args:
        denoise: the network with its conditions, see `guided`.
        scheduler: how the steps are made.
        noise: [B, 3, C, H, W] x_T, see `draw_noise`; on the device of the network.
        generators: one a sample, of the noise that the ancestral sampler adds at each step.
        steps: denoising steps, 1 to T.
        clip: see `Scheduler.step`.
        callback: called after each step with its index, x, and the x_0 that the network saw in it.

    Returns:
        [B, 3, C, H, W]

    Raises:
        ValueError: the number of steps is out of range.
    """
    scheduler.set_timesteps(steps)
    x = noise
    for index, t in enumerate(scheduler.timesteps):
        output = denoise(x, t.to(x.device).expand(len(x))).float()
        clean = scheduler.clean(output, index, x, clip)
        x = scheduler.advance(clean, index, x, generators, variance=output[:, :, x.shape[2] :])
        if callback is not None:
            callback(index, x, clean)
    return x
