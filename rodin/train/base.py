"""Train the base diffusion model: fitted planes and their latents to `RUN/base` (Rodin, Sec. 3.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.diffusion.sampling import Scheduler, draw_noise, guided, sample
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.models.denoiser import check_denoiser, save_denoiser, take_denoiser
from rodin.models.statistics import PlaneStatistics, load_statistics
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.storage import Place
from rodin.train.loop import LoopConfig, run_loop
from rodin.train.pictures import SHOWN, plane_rows
from rodin.train.ranks import process_state
from rodin.train.sketch import learn_sketch
from rodin.train.sources import SourceConfig, adopt_statistics, open_source
from rodin.train.subjects import blurred_latents, check_channels, count_subjects, load_subjects, split_subjects
from rodin.train.validate import JUDGED, validation

DRAWING_STEPS = 10  # of the pictures' sampler


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseTraining:
    """The base model and how it is trained.

    Args:
        network: its channels must be those of the planes, which are resampled to its size. Without a latent
            (latent_dim 0) it is the paper's ablation.
        diffusion: the schedule and the prediction.
        loop: how to train.
        latent_dropout: probability that z, if the network has one, is zeros, which makes guidance possible.
        latent_noise: length of the noise added to z, which has length 1 before and after. Ours: each training subject
            has one z, which a network would otherwise learn by heart; the prior's are never quite one of them.
        mirrored: each subject's mirror image is another subject. Ours: faces are as good either way round, and the
            network has twice as many to learn from. For captions that do not tell left from right.
        held_out_every: one subject of so many is never trained on, and the log tells how well the model meets those
            subjects (`rodin.train.validate`); 0 = none. None of fewer than twice as many either.
        buffer: subjects that each process holds at a time, with their mirror images, of a stream of shards
            (`rodin.train.sources`); 0 = all of them in memory.
    """

    network: UNetConfig
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    loop: LoopConfig
    latent_dropout: float = 0.2
    latent_noise: float = 0.0
    mirrored: bool = False
    held_out_every: int = 0
    buffer: int = 0

    def __post_init__(self) -> None:
        network, learned = self.network, self.diffusion.learned_variance
        channels = network.in_channels * (2 if learned else 1)
        if network.out_channels != channels or network.condition_channels:
            raise ValueError(
                f"network: with in_channels {network.in_channels}, learned_variance {learned} a base model has "
                f"out_channels {channels} and condition_channels 0, got {network.out_channels}, "
                f"{network.condition_channels}"
            )
        if not 0.0 <= self.latent_dropout <= 1.0:
            raise ValueError(f"latent_dropout must be a probability in [0, 1], got {self.latent_dropout}")
        if self.latent_noise < 0:
            raise ValueError(f"latent_noise must not be negative, got {self.latent_noise}")
        if self.held_out_every < 0 or self.held_out_every == 1:
            raise ValueError(f"held_out_every must be 0 for off or at least 2, got {self.held_out_every}")
        if self.buffer < 0:
            raise ValueError(f"buffer must be 0 for all subjects or a number of them, got {self.buffer}")


def train_base(
    run: Path,
    config: BaseTraining,
    hours: float | None = None,
    start: Path | None = None,
    planes: Place | None = None,
    trial: bool = False,
) -> None:
    """Train the base model of a run folder; a finished one is left as it is, an unfinished one goes on.

    Args:
        run: reads `planes/`, `decoder/` and `encoder/`; writes `base/` and, while training, `base.training/`. Its
            pictures have a row for each of some training subjects, then of held-out ones: the fitted planes, and what
            is drawn for the subject's latent.
        config: what to train, and how.
        hours: see `run_loop`.
        start: model folder whose base model to begin from; the sketch is learned anew.
        planes: the set of planes, if it is not the run's: a folder or a URL.
        trial: see `run_loop`.

    Raises:
        UserError: an input is missing or does not fit the settings, or the run was trained with other settings.
    """
    run = Path(run)
    output = run / "base"
    state = process_state()
    unet, loop = config.network, config.loop
    if output.exists():
        check_denoiser(output, unet, config.diffusion)
        state.print(f"base: {output} is trained already; delete it and base.training to train anew")
        return

    if planes is None:
        planes = run / "planes"
    else:
        adopt_statistics(planes, run, state)
    statistics = load_statistics(run / "planes").to(state.device)
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    trained, held_out = split_subjects(count_subjects(planes, decoder), config.held_out_every)
    shown = [load_subjects(run, unet.size, trained[:SHOWN], planes=planes).to(state.device)]
    check_channels(run, shown[0].planes, unet)
    _check_latents(run, shown[0].latents, unet)
    taken = SourceConfig(size=unet.size, mirrored=config.mirrored, buffer=config.buffer, seed=loop.seed)
    source = open_source(run, planes, trained, taken, state)
    noising = Diffusion(config.diffusion, state.device)

    def loss(network: nn.Module, draws: Draws) -> dict[str, Tensor]:
        chosen = source.draw(draws)
        z = None
        if unet.latent_dim:
            kept = draws.rand(1) >= config.latent_dropout
            z = blurred_latents(chosen.latents, config.latent_noise, draws) * kept
        return noising.losses(lambda x, t: network(x, t, z), chosen.planes.float(), draws)

    measure = None
    if held_out and state.is_main_process:  # which alone measures and draws
        others = load_subjects(run, unet.size, held_out[:JUDGED], planes=planes).to(state.device)
        known = others.latents if unet.latent_dim else None
        measure = validation(others.planes, known, noising, statistics.config.clip, batch_size=loop.batch_size)
        shown.append(others.at(slice(SHOWN)))
    decoder.to(state.device)
    true = torch.cat([some.planes for some in shown])
    palettes = [palette for some in shown if some.palettes is not None for palette in some.palettes]

    def draw(network: nn.Module) -> Tensor:
        z = torch.cat([some.latents for some in shown]) if unet.latent_dim else None
        drawn = draw_residuals(
            network, config.diffusion, z, tuple(true.shape), statistics=statistics, device=state.device
        )
        return plane_rows([true, drawn], statistics, decoder, palettes)

    torch.manual_seed(loop.seed)
    model = UNet(unet)
    if start is not None:
        take_denoiser(model, config.diffusion, start / "base")
    model.to(state.device)
    if model.sketch is not None:
        learn_sketch(model.sketch, source.share(), config.latent_noise)
    scratch = run / "base.training"
    settings = {**asdict(config), "start": start and str(start)}
    average = run_loop(
        model,
        loss,
        loop,
        scratch,
        label="base",
        settings=settings,
        hours=hours,
        measure=measure,
        draw=draw,
        trial=trial,
    )
    if state.is_main_process:
        save_denoiser(average, config.diffusion, output)  # type: ignore[arg-type]
    state.wait_for_everyone()


def _check_latents(run: Path, latents: Tensor, network: UNetConfig) -> None:
    """Raise UserError unless the encoder's latents [N, D] are those that the network takes, if it takes any."""
    if network.latent_dim not in (0, latents.shape[1]):
        found = f"latents have {latents.shape[1]} numbers, the network is for {network.latent_dim}"
        raise UserError(f"{run / 'encoder'}: {found}")


def draw_residuals(
    network: nn.Module,
    diffusion: DiffusionConfig,
    z: Tensor | None,
    shape: tuple[int, ...],
    statistics: PlaneStatistics,
    device: torch.device,
) -> Tensor:
    """Residuals [N, 3, C, H, W] that a network draws for latents z [N, D] or None, sample k always from the same noise.

    Without guidance: as trained.
    """
    seeds = [torch.Generator().manual_seed(index) for index in range(shape[0])]
    scheduler, steps = Scheduler(diffusion, "dpm++"), min(DRAWING_STEPS, diffusion.train_steps)
    noise = draw_noise(shape[1:], seeds, device)
    return sample(guided(network, z), scheduler, noise, seeds, steps=steps, clip=statistics.config.clip)
