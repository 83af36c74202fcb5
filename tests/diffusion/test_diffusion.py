"""Contract: the arithmetic of the diffusion is that of its papers, held to computations that share no code with it.

The posterior is Bayes' rule on numbers; the bound is the divergence of torch's own Gaussians; every step is diffusers',
every sampler recovers a Gaussian whose perfect denoiser is known, and ten steps are enough on every schedule; guidance
is the paper's formula; a sample depends on its own generator alone.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import VLB_WEIGHT, Diffusion
from rodin.diffusion.sampling import Scheduler, draw_noise, guided, sample
from rodin.diffusion.schedule import Denoise, noise_schedule
from rodin.draws import Draws
from rodin.networks.unet import UNet, UNetConfig

SCHEDULES = ("linear", "cosine", "shifted")
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def config(prediction: str = "v_prediction", schedule: str = "shifted", **others: object) -> DiffusionConfig:
    zero = others.pop("zero_terminal_snr", prediction != "epsilon")
    return DiffusionConfig(prediction=prediction, schedule=schedule, zero_terminal_snr=zero, **others)  # type: ignore[arg-type]


def planes(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generators(count: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + index) for index in range(count)]


def draw(
    denoise: Denoise,
    scheduler: Scheduler,
    shape: tuple[int, ...],
    seeds: list[torch.Generator],
    steps: int,
    **others: Any,
) -> Tensor:
    return sample(denoise, scheduler, draw_noise(shape, seeds), seeds, steps, **others)


# ---- schedules


@pytest.mark.parametrize(("schedule", "zero"), itertools.product(SCHEDULES, (False, True)))
def test_noise_only_grows(schedule: str, zero: bool) -> None:
    betas = noise_schedule(config(schedule=schedule, zero_terminal_snr=zero))
    abar = (1 - betas).cumprod(0)
    assert betas.shape == (1000,)
    assert betas.dtype == torch.float64
    assert ((betas > 0) & (betas <= 1)).all()
    assert abar[0] > 0.99
    assert (abar[-1] == 0) == zero
    assert abar[-1] < 1e-4


def log_snr(schedule: str, times: list[float]) -> list[float]:
    abar = (1 - noise_schedule(config(schedule=schedule, zero_terminal_snr=False))).cumprod(0)
    return [torch.logit(abar[round(1000 * time) - 1]).item() for time in times]


def test_linear_is_the_papers_straight_line() -> None:
    first, *middle, last = log_snr("linear", [0.001, 0.25075, 0.5005, 0.75025, 1.0])
    assert first == pytest.approx(math.log(0.9999 / 0.0001))
    assert last == pytest.approx(math.log(4.04e-5), abs=1e-4)
    assert middle == pytest.approx([first + (last - first) * part for part in (0.25, 0.5, 0.75)], abs=0.02)


def test_shifted_has_the_published_log_snr() -> None:
    assert log_snr("shifted", [0.25, 0.5, 0.75]) == pytest.approx([-0.49, -2.83, -6.74], abs=0.01)


def test_cosine_is_nichol_and_dhariwals() -> None:
    abar = [math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2 for time in (0.0, 0.25, 0.5, 0.75)]
    wanted = [math.log(a / abar[0] / (1 - a / abar[0])) for a in abar[1:]]
    assert log_snr("cosine", [0.25, 0.5, 0.75]) == pytest.approx(wanted, abs=1e-6)


# ---- training targets


def test_posterior_is_bayes_rule() -> None:
    betas = noise_schedule(config(zero_terminal_snr=False))
    diffusion = Diffusion(config(zero_terminal_snr=False))
    x0, x = 0.7, -0.4
    for t in (1, 10, 500, 999):
        before = math.prod(1 - beta for beta in betas[:t].tolist())
        beta = betas[t].item()
        # N(x_{t-1}; sqrt(before) x_0, 1 - before) times N(x_t; sqrt(1 - beta) x_{t-1}, beta): precisions add up
        variance = 1 / (1 / (1 - before) + (1 - beta) / beta)
        mean = variance * (math.sqrt(before) * x0 / (1 - before) + math.sqrt(1 - beta) * x / beta)
        found = diffusion.posterior_clean[t] * x0 + diffusion.posterior_noisy[t] * x
        assert found.item() == pytest.approx(mean, rel=1e-5)
        assert diffusion.posterior_log_variance[t].exp().item() == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_targets_give_the_planes_back(prediction: str) -> None:
    diffusion = Diffusion(config(prediction))
    x0, noise, t = planes(4, 3, 2, 4, 4), planes(4, 3, 2, 4, 4, seed=1), torch.tensor([0, 300, 600, 900])
    x = diffusion.add_noise(x0, noise, t)
    torch.testing.assert_close(diffusion.clean(diffusion.target(x0, noise, t), x, t), x0, atol=1e-3, rtol=1e-3)


def test_noisy_planes_have_the_stated_mean_and_spread() -> None:
    diffusion = Diffusion(config())
    abar = (1 - noise_schedule(config())).cumprod(0)[400].item()
    x = diffusion.add_noise(torch.full((1, 3, 8, 64, 64), 2.0), planes(1, 3, 8, 64, 64), torch.tensor([400]))
    assert x.mean().item() == pytest.approx(2 * math.sqrt(abar), abs=0.01)
    assert x.std().item() == pytest.approx(math.sqrt(1 - abar), abs=0.01)


def test_timesteps_are_uniform_and_spread_over_the_batch() -> None:
    diffusion = Diffusion(config())
    drawn = torch.stack([diffusion.draw_timesteps(Draws(seed, 4)) for seed in range(2000)])
    assert drawn.min() == 0
    assert drawn.max() == 999
    assert drawn.float().mean().item() == pytest.approx(499.5, abs=10)
    assert (drawn.sort(dim=1).values.diff(dim=1) >= 249).all()


# ---- the variational bound


def test_bound_is_the_divergence_of_the_two_steps() -> None:
    settings = config("epsilon", "cosine", learned_variance=True)
    diffusion, betas = Diffusion(settings), noise_schedule(settings)
    abar = (1 - betas).cumprod(0)
    x0, noise = planes(4, 3, 2, 3, 5).double(), planes(4, 3, 2, 3, 5, seed=1).double()
    prediction, variance = noise + 0.3 * planes(4, 3, 2, 3, 5, seed=2), planes(4, 3, 2, 3, 5, seed=3).double()
    t = torch.tensor([1, 40, 500, 950])
    x = diffusion.add_noise(x0, noise, t)
    found = diffusion.variational_bound(prediction, variance, x0, x, t)
    for index, step in enumerate(t.tolist()):
        beta, now, before = betas[step], abar[step], abar[step - 1]

        def mean(clean: Tensor, beta=beta, now=now, before=before, index=index) -> Tensor:  # DDPM, Eq. 7
            return (before.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - before) * x[index]) / (1 - now)

        small = beta * (1 - before) / (1 - now)
        learned = beta ** ((variance[index] + 1) / 2) * small ** ((1 - variance[index]) / 2)
        guess = (x[index] - (1 - now).sqrt() * prediction[index]) / now.sqrt()
        true_step = Normal(mean(x0[index]), small.sqrt().expand_as(x0[index]))
        wanted = kl_divergence(true_step, Normal(mean(guess), learned.sqrt())).mean() / math.log(2)
        assert found[index].item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-9)


def test_bound_of_a_perfect_network_is_zero() -> None:
    diffusion = Diffusion(config(learned_variance=True))
    x0, noise, t = planes(3, 3, 2, 4, 4), planes(3, 3, 2, 4, 4, seed=1), torch.tensor([5, 500, 999])
    x = diffusion.add_noise(x0, noise, t)
    target = diffusion.target(x0, noise, t)
    torch.testing.assert_close(
        diffusion.variational_bound(target, -torch.ones_like(x0), x0, x, t), torch.zeros(3), atol=1e-5, rtol=0
    )


def test_first_step_is_the_density_of_the_planes() -> None:
    settings = config(learned_variance=True)
    diffusion = Diffusion(settings)
    betas = noise_schedule(settings)
    x0, noise, t = planes(1, 3, 2, 4, 4), planes(1, 3, 2, 4, 4, seed=1), torch.tensor([0])
    x = diffusion.add_noise(x0, noise, t)
    prediction = diffusion.target(x0, noise, t) + 0.1
    guess = diffusion.clean(prediction, x, t)  # at t = 0 the step's mean is the predicted planes
    deviation = betas[0].sqrt().float()  # variance output +1
    wanted = -Normal(guess, deviation).log_prob(x0).mean() / math.log(2)
    found = diffusion.variational_bound(prediction, torch.ones_like(x0), x0, x, t)
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-4)


class Affine(torch.nn.Module):
    """A network whose mean and variance channels hang on two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.variance = torch.nn.Parameter(torch.tensor(0.5)), torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([self.mean * x, self.variance * x], dim=2)


def test_the_bound_trains_the_variance_alone() -> None:
    diffusion, x0 = Diffusion(config(learned_variance=True)), planes(4, 3, 2, 4, 4)
    network = Affine()
    both = diffusion.losses(network, x0, Draws(0, 4))
    assert both["loss"].item() == pytest.approx((both["simple"] + VLB_WEIGHT * 1000 * both["vlb"]).item(), rel=1e-5)
    of_bound = torch.autograd.grad(both["vlb"], [network.mean, network.variance], retain_graph=True, allow_unused=True)
    of_simple = torch.autograd.grad(both["simple"], [network.mean, network.variance], allow_unused=True)
    assert of_bound[0] is None or of_bound[0] == 0
    assert of_bound[1] != 0
    assert of_simple[0] != 0
    assert of_simple[1] is None or of_simple[1] == 0


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_agree_between_predictions(prediction: str) -> None:
    """One error in x_0 weighs min(SNR, gamma), whatever terms it is predicted in."""
    settings = config(prediction, "cosine", min_snr_gamma=5.0, zero_terminal_snr=False)
    diffusion = Diffusion(settings)
    x0, noise, t = planes(3, 3, 2, 4, 4), planes(3, 3, 2, 4, 4, seed=1), torch.tensor([100, 500, 800])
    x = diffusion.add_noise(x0, noise, t)
    prediction_off = diffusion.target(x0, noise, t) + 0.1
    error = (diffusion.clean(prediction_off, x, t) - x0).square().mean(dim=(1, 2, 3, 4))
    abar = (1 - noise_schedule(settings)).cumprod(0)[t]
    snr = (abar / (1 - abar)).float()
    torch.testing.assert_close(diffusion.snr_weight(t) * 0.01, snr.clamp(max=5.0) * error, rtol=1e-3, atol=1e-6)


def test_snr_and_one_is_the_error_of_v() -> None:
    """While gamma is out of reach, the error of x_0 so weighted is that of the v that it stands for."""
    settings = config("sample", "cosine", min_snr_gamma=1e9, min_snr_plus=1.0)
    diffusion, velocity = Diffusion(settings), Diffusion(config("v_prediction", "cosine"))
    x0, noise, t = planes(3, 3, 2, 4, 4), planes(3, 3, 2, 4, 4, seed=1), torch.tensor([100, 500, 999])
    guess = x0 + 0.1 * planes(3, 3, 2, 4, 4, seed=2)
    signal, sigma = (
        part.view(-1, 1, 1, 1, 1).float() for part in (diffusion.abar[t].sqrt(), (1 - diffusion.abar[t]).sqrt())
    )
    x = diffusion.add_noise(x0, noise, t)
    implied = (signal * x - guess) / sigma  # v of x_t and a guess of x_0
    error = (implied - velocity.target(x0, noise, t)).square().mean(dim=(1, 2, 3, 4))
    found = diffusion.snr_weight(t) * (guess - x0).square().mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(found, error, rtol=1e-3, atol=1e-6)


# ---- samplers


def gaussian_denoiser(settings: DiffusionConfig, mean: float, deviation: float, seen: list | None = None):
    """The perfect network for planes drawn from N(mean, deviation^2), from E[x_0 | x_t] of two Gaussians."""
    abar = (1 - noise_schedule(settings)).cumprod(0)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        a = abar[t].float().view(-1, 1, 1, 1, 1)
        clean = mean + a.sqrt() * deviation**2 / (a * deviation**2 + 1 - a) * (x - a.sqrt() * mean)
        if seen is not None:
            seen.append(clean)
        match settings.prediction:
            case "sample":
                out = clean
            case "epsilon":
                out = (x - a.sqrt() * clean) / (1 - a).sqrt()
            case _:
                out = a.sqrt() * (x - a.sqrt() * clean) / (1 - a).sqrt() - (1 - a).sqrt() * clean
        return torch.cat([out, torch.zeros_like(out)], dim=2) if settings.learned_variance else out

    return predict


@pytest.mark.parametrize(
    ("kind", "steps", "prediction", "learned"),
    [
        *itertools.product(("ancestral",), (250,), PREDICTIONS, (False, True)),
        *itertools.product(("ddim",), (100,), PREDICTIONS, (False, True)),
        *itertools.product(("dpm++",), (25,), PREDICTIONS, (False, True)),
    ],
)
def test_samplers_recover_a_gaussian(kind: str, steps: int, prediction: str, learned: bool) -> None:
    settings = config(prediction, "cosine", learned_variance=learned)
    denoise = gaussian_denoiser(settings, mean=0.8, deviation=0.5)
    drawn = draw(denoise, Scheduler(settings, kind), (3, 4, 16, 16), generators(8), steps)
    assert drawn.shape == (8, 3, 4, 16, 16)
    assert drawn.mean().item() == pytest.approx(0.8, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.025)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_samplers_suit_every_schedule(schedule: str) -> None:
    settings = config(schedule=schedule)
    denoise = gaussian_denoiser(settings, mean=-0.5, deviation=0.7)
    for kind, steps in (("ancestral", 500), ("ddim", 200), ("dpm++", 50)):
        drawn = draw(denoise, Scheduler(settings, kind), (3, 4, 16, 16), generators(6), steps)
        assert drawn.mean().item() == pytest.approx(-0.5, abs=0.03), kind
        assert drawn.std().item() == pytest.approx(0.7, abs=0.035), kind


def diffusers_scheduler(settings: DiffusionConfig, kind: str) -> Any:
    import diffusers

    common = {
        "num_train_timesteps": settings.train_steps,
        "trained_betas": noise_schedule(settings).tolist(),
        "prediction_type": settings.prediction,
        "timestep_spacing": "trailing",
    }
    if kind == "ancestral":
        variance = "learned_range" if settings.learned_variance else "fixed_small"
        return diffusers.DDPMScheduler(**common, variance_type=variance, clip_sample=False)
    if kind == "ddim":
        return diffusers.DDIMScheduler(**common, clip_sample=False)
    return diffusers.DPMSolverMultistepScheduler(**common, final_sigmas_type="zero")


@pytest.mark.parametrize(
    ("kind", "prediction", "learned"),
    [
        *itertools.product(("ancestral", "ddim", "dpm++"), PREDICTIONS, (False,)),
        ("ancestral", "v_prediction", True),
    ],
)
def test_steps_are_those_of_diffusers(kind: Any, prediction: str, learned: bool) -> None:
    """Between the same timesteps; without zero terminal SNR, where diffusers puts a number for the infinite log-SNR."""
    settings = config(prediction, "linear", learned_variance=learned, zero_terminal_snr=False)
    denoise = gaussian_denoiser(settings, 0.8, 0.5)
    ours, theirs = Scheduler(settings, kind), diffusers_scheduler(settings, kind)
    theirs.set_timesteps(10)
    ours.set_timesteps(10)
    ours.timesteps = theirs.timesteps
    x = planes(2, 3, 2, 4, 4)
    for index, t in enumerate(theirs.timesteps):
        output = denoise(x, t.expand(2))
        found = ours.step(output, index, x, generators(2))
        if learned and index == 9:
            break  # diffusers adds noise after the last step, too
        if kind == "ancestral":  # it splits dimension 1, which is the planes of ours: fold planes and channels into one
            folded = torch.cat([part.flatten(1, 2) for part in output.split(2, dim=2)], dim=1)
            x = theirs.step(folded, t, x.flatten(1, 2), generator=generators(2)).prev_sample.view_as(x)
        else:
            x = theirs.step(output, t, x).prev_sample
        torch.testing.assert_close(found, x, atol=2e-5, rtol=1e-4)


@given(st.sampled_from(SCHEDULES), st.booleans(), st.sampled_from((20, 100, 1000)), st.floats(0, 1))
def test_timesteps_are_distinct_and_even_in_angle(schedule: str, zero: bool, total: int, share: float) -> None:
    settings = config(schedule=schedule, zero_terminal_snr=zero, train_steps=total)
    steps = 1 + round(share * (total - 1))
    scheduler = Scheduler(settings, "dpm++")
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps
    assert len(times) == steps
    assert times[0] == total - 1
    assert times[-1] >= 0
    assert (times.diff() < 0).all()
    if steps <= total // 50:
        angles = (1 - noise_schedule(settings)).cumprod(0).sqrt().arccos()
        ideal = angles[-1] * torch.arange(steps, 0, -1) / steps
        finest = angles.diff().max()
        torch.testing.assert_close(angles[times], ideal, atol=float(finest), rtol=0)


def modes_denoiser(settings: DiffusionConfig) -> Denoise:
    """The perfect network for numbers of three kinds, around -1, 0.3 and 1.2: paths bend where they choose."""
    abar = (1 - noise_schedule(settings)).cumprod(0)
    modes, deviation = (-1.0, 0.3, 1.2), 0.15

    def predict(x: Tensor, t: Tensor) -> Tensor:
        a = abar[t].float().view(-1, 1, 1, 1, 1)
        variance = a * deviation**2 + 1 - a
        chances = torch.stack([-(x - a.sqrt() * mode).square() / (2 * variance) for mode in modes]).softmax(dim=0)
        means = torch.stack([mode + a.sqrt() * deviation**2 / variance * (x - a.sqrt() * mode) for mode in modes])
        return (chances * means).sum(dim=0)

    return predict


@pytest.mark.parametrize(("schedule", "zero"), itertools.product(SCHEDULES, (False, True)))
def test_ten_steps_are_enough_on_every_schedule(schedule: str, zero: bool) -> None:
    """Timesteps even in t miss this bound on "shifted", by nearly three times."""
    settings = config("sample", schedule, zero_terminal_snr=zero)
    denoise = modes_denoiser(settings)
    few, many = (draw(denoise, Scheduler(settings, "dpm++"), (3, 4, 8, 8), generators(4), n) for n in (10, 500))
    assert (few - many).square().mean().sqrt() < 0.07


@pytest.mark.parametrize("learned", [False, True])
def test_ancestral_step_is_the_posterior_of_the_subsequence(learned: bool) -> None:
    """K of T steps by hand: mean and variance of q between two timesteps that are kept (Nichol & Dhariwal, Eq. 19)."""
    settings = config(learned_variance=learned, zero_terminal_snr=False)
    scheduler = Scheduler(settings, "ancestral")
    abar = (1 - noise_schedule(settings)).cumprod(0)
    states: list[Tensor] = []
    predicted: list[Tensor] = []
    denoise = gaussian_denoiser(settings, 0.8, 0.5, predicted)
    last = draw(denoise, scheduler, (3, 2, 4, 4), generators(1), 4, callback=lambda _, x, __: states.append(x.clone()))
    times = scheduler.timesteps.tolist()
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 2, 4, 4, generator=noise).half().float()
    for index, (t, previous) in enumerate(itertools.pairwise(times)):
        now, before = abar[t], abar[previous]
        beta = 1 - now / before
        small = beta * (1 - before) / (1 - now)
        variance = (beta * small).sqrt() if learned else small  # the network's 0: half way, by the logarithm
        mean = (before.sqrt() * beta * predicted[index] + (1 - beta).sqrt() * (1 - before) * x) / (1 - now)
        fresh = torch.randn(1, 6, 4, 4, generator=noise) if learned else torch.randn(1, 3, 2, 4, 4, generator=noise)
        x = (mean + variance.sqrt() * fresh.view_as(x)).float()
        torch.testing.assert_close(states[index], x, atol=2e-3, rtol=1e-3)
        x = states[index]
    torch.testing.assert_close(last, predicted[-1], atol=1e-5, rtol=1e-5)  # the last step adds no noise


def tiny(learned: bool = False) -> UNet:
    torch.manual_seed(0)
    network = UNet(
        UNetConfig(
            size=4,
            in_channels=2,
            out_channels=4 if learned else 2,
            width=8,
            multipliers=(1,),
            blocks=1,
            attention=(),
            head_width=8,
        )
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
    return network.eval()


@pytest.mark.parametrize("kind", ["ancestral", "ddim", "dpm++"])
@pytest.mark.parametrize("learned", [False, True])
def test_a_sample_hangs_on_its_own_generator_alone(kind: str, learned: bool) -> None:
    network, settings = tiny(learned), config(learned_variance=learned)
    z = torch.nn.functional.normalize(planes(3, 512), dim=-1)

    def drawn(first: int, last: int) -> Tensor:
        denoise = guided(network, z[first:last], 1.5)
        seeds = generators(last - first, first)
        return draw(denoise, Scheduler(settings, kind), (3, 2, 4, 4), seeds, 10, clip=4.0)

    together = drawn(0, 3)
    assert torch.equal(together, drawn(0, 3))
    for index in range(3):
        torch.testing.assert_close(together[index : index + 1], drawn(index, index + 1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", ["ancestral", "ddim", "dpm++"])
def test_clipping_moves_noise_and_planes_together(kind: str, prediction: str) -> None:
    """A network far outside the clip ends exactly on it, and a DDIM step uses the noise that goes with it."""
    settings = config(prediction, "cosine")
    far = gaussian_denoiser(settings, mean=9.0, deviation=0.1)
    drawn = draw(far, Scheduler(settings, kind), (3, 2, 8, 8), generators(2), 20, clip=2.0)
    torch.testing.assert_close(drawn, torch.full_like(drawn, 2.0), atol=1e-3, rtol=0)

    if kind == "ddim":
        states: list[Tensor] = []
        scheduler = Scheduler(settings, kind)
        start = draw_noise((3, 2, 8, 8), generators(1))
        draw(
            far, scheduler, (3, 2, 8, 8), generators(1), 2, clip=2.0, callback=lambda _, x, __: states.append(x.clone())
        )
        abar = (1 - noise_schedule(settings)).cumprod(0)
        noise = (start - abar[999].sqrt() * 2.0) / (1 - abar[999]).sqrt()
        after = abar[scheduler.timesteps[1]]
        wanted = after.sqrt() * 2.0 + (1 - after).sqrt() * noise
        torch.testing.assert_close(states[0], wanted.float(), atol=5e-3, rtol=0)


def test_a_wide_clip_changes_nothing() -> None:
    settings = config()
    denoise = gaussian_denoiser(settings, 0.2, 0.5)
    free, wide = (
        draw(denoise, Scheduler(settings, "ddim"), (3, 2, 8, 8), generators(2), 20, clip=clip) for clip in (None, 50.0)
    )
    torch.testing.assert_close(free, wide, atol=1e-4, rtol=1e-4)


def test_guidance_is_the_papers_formula() -> None:
    network = tiny(learned=True)
    x, t, z = planes(2, 3, 2, 4, 4), torch.tensor([10, 500]), torch.nn.functional.normalize(planes(2, 512), dim=-1)
    conditional, null = network(x, t, z), network(x, t, torch.zeros_like(z))
    found = guided(network, z, 2.5)(x, t)
    wanted = 2.5 * conditional[:, :, :2] + (1 - 2.5) * null[:, :, :2]
    torch.testing.assert_close(found[:, :, :2], wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[:, :, 2:], conditional[:, :, 2:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(guided(network, z, 0.0)(x, t)[:, :, :2], null[:, :, :2], atol=1e-5, rtol=1e-5)


def test_scale_one_is_a_single_pass() -> None:
    calls: list[int] = []

    def network(x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        calls.append(len(x))
        return x

    guided(network, torch.zeros(2, 512))(planes(2, 3, 2, 4, 4), torch.zeros(2))  # type: ignore[arg-type]
    assert calls == [2]


# ---- one step: the auto-encoder baseline


@pytest.mark.parametrize("kind", ["ancestral", "ddim", "dpm++"])
def test_one_step_is_a_plain_decoder_of_z(kind: str) -> None:
    """Trained on noise that says nothing of x_0, a network that knows x_0 from z alone has no loss, and every sampler
    gives what the network says, whatever the noise."""
    settings = config("sample", train_steps=1)
    x0 = planes(2, 3, 2, 4, 4)
    seen: list[Tensor] = []

    class Decoder(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            seen.append(x)
            return x0

    losses = Diffusion(settings).losses(Decoder(), x0, Draws(0, 2))
    assert float(losses["loss"]) == 0.0
    Diffusion(settings).losses(Decoder(), 100 * x0, Draws(0, 2))
    assert torch.equal(seen[0], seen[1])  # what it saw is the noise, whatever x_0
    drawn = draw(lambda x, t: x0, Scheduler(settings, kind), (3, 2, 4, 4), generators(2), 1)  # type: ignore[arg-type]
    assert torch.allclose(drawn, x0)


# ---- what cannot work says so


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prediction": "epsilon", "zero_terminal_snr": True}, "zero_terminal_snr"),
        ({"prediction": "noise"}, "prediction"),
        ({"schedule": "cosine6"}, "schedule"),
        ({"train_steps": 0}, "train_steps"),
        ({"train_steps": 1}, "train_steps 1"),
        ({"train_steps": 1, "prediction": "sample", "zero_terminal_snr": False}, "train_steps 1"),
        ({"train_steps": 1, "prediction": "sample", "min_snr_gamma": 5.0}, "train_steps 1"),
        ({"min_snr_gamma": -1.0}, "min_snr_gamma"),
        ({"min_snr_plus": 1.0}, "min_snr_plus"),
        ({"min_snr_gamma": 5.0, "min_snr_plus": -1.0}, "min_snr_plus"),
    ],
)
def test_impossible_configs_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**fields)


def test_impossible_sampling_is_refused() -> None:
    denoise, settings = gaussian_denoiser(config(), 0.0, 1.0), config()
    for steps in (0, 1001):
        with pytest.raises(ValueError, match=f"steps must be 1 to 1000, got {steps}"):
            draw(denoise, Scheduler(settings, "dpm++"), (3, 2, 4, 4), generators(1), steps)
    with pytest.raises(ValueError, match="ancestral, ddim"):
        Scheduler(settings, "euler")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="latent z"):
        guided(tiny(), None, 2.0)
