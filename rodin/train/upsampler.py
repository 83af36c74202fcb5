"""Train the upsampler: fitted planes and their latents to `RUN/upsampler` (Rodin, Sec. 3.2).

Each step draws fitted planes, their reduced and damaged copies as the condition, and noise. The network's x_0 is
compared with the planes themselves, and for some of the batch a random patch of its render with that of the planes.

RUN/upsampler/                   the denoiser
RUN/upsampler/perceptual.json    which features the perceptual loss was taken in
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.models.clip import Encoder
from rodin.models.denoiser import check_denoiser, save_denoiser, take_denoiser
from rodin.models.perceptual import (
    RECORD_NAME,
    Features,
    load_features,
    perceptual_distance,
    record_features,
    recorded_features,
)
from rodin.models.statistics import load_statistics
from rodin.models.upsampler import LEVELS, LEVELS_AND_LATENT, network_vector, takes_latent
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.storage import Place
from rodin.train.condition_augmentation import ConditionAugment, augment_condition
from rodin.train.loop import LoopConfig, Measure, run_loop
from rodin.train.patches import PatchConfig, rendered_patches
from rodin.train.pictures import SHOWN, plane_rows
from rodin.train.ranks import process_state
from rodin.train.redrawn import STEPS, draw_again
from rodin.train.sources import SourceConfig, adopt_statistics, open_source
from rodin.train.subjects import Loaded, blurred_latents, check_channels, count_subjects, load_subjects, split_subjects
from rodin.train.validate import JUDGED, SHARE, STEP_COST
from rodin.triplane import resize


@dataclass(frozen=True, kw_only=True, slots=True)
class UpsamplerTraining:
    """The upsampler and how it is trained.

    Args:
        network: its size is that of the fitted planes, its vector the levels of augmentation, and z if it is wide
            enough for both (`rodin.models.upsampler.takes_latent`).
        diffusion: predicts x_0 ("sample").
        loop: how to train.
        scale: side of the planes, divided by that of the low-resolution ones.
        augment: the damage to the condition.
        latent_noise: length of the noise added to z, as in `rodin.train.base`; of a network that takes z.
        patches: what is looked at in renders.
        held_out_every: as in `rodin.train.base`: one subject of so many is never trained on, and the log tells how far
            from its planes those lie that are drawn for them reduced; 0 = none.
        buffer: as in `rodin.train.base`.
        rendered: samples of each step's batch that are rendered, one patch each; 0 = L2 on the planes alone. They are
            the first ones of the batch, so that more processes want more of them.
        pixel_weight: of the squared error of a patch's pixels.
        perceptual_weight: of a patch's perceptual distance.
    """

    network: UNetConfig
    diffusion: DiffusionConfig = field(
        default_factory=lambda: DiffusionConfig(
            prediction="sample", schedule="linear", train_steps=100, zero_terminal_snr=False
        )
    )
    loop: LoopConfig
    scale: int = 4
    augment: ConditionAugment = field(default_factory=ConditionAugment)
    latent_noise: float = 0.0
    held_out_every: int = 0
    buffer: int = 0
    patches: PatchConfig
    rendered: int = 1
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.5

    def __post_init__(self) -> None:
        network, diffusion = self.network, self.diffusion
        channels = network.in_channels
        widths = (LEVELS, LEVELS_AND_LATENT)
        if (network.out_channels, network.condition_channels) != (channels, channels) or (
            network.latent_dim not in widths
        ):
            raise ValueError(
                f"network: with in_channels {channels} an upsampler has out_channels {channels}, condition_channels "
                f"{channels} and latent_dim {LEVELS}, or {LEVELS_AND_LATENT} with z, got {network.out_channels}, "
                f"{network.condition_channels}, {network.latent_dim}"
            )
        if self.latent_noise < 0 or (self.latent_noise and not takes_latent(network)):
            raise ValueError(
                f"latent_noise must be at least 0, and 0 where the network takes no z, got {self.latent_noise}"
            )
        if diffusion.prediction != "sample" or diffusion.learned_variance:
            found = f"{diffusion.prediction!r}, {diffusion.learned_variance}"
            raise ValueError(f"an upsampler has prediction 'sample' and learned_variance False, got {found}")
        if self.scale < 2 or network.size % self.scale:
            raise ValueError(f"scale must divide the network's size {network.size} and be at least 2, got {self.scale}")
        if not 0 <= self.rendered <= self.loop.batch_size:
            raise ValueError(f"rendered must lie in 0 to batch_size {self.loop.batch_size}, got {self.rendered}")
        if self.held_out_every < 0 or self.held_out_every == 1:
            raise ValueError(f"held_out_every must be 0 for off or at least 2, got {self.held_out_every}")
        if self.buffer < 0:
            raise ValueError(f"buffer must be 0 for all subjects or a number of them, got {self.buffer}")
        for name in ("pixel_weight", "perceptual_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def train_upsampler(
    run: Path,
    config: UpsamplerTraining,
    vgg: Path | None,
    hours: float | None = None,
    start: Path | None = None,
    planes: Place | None = None,
    trial: bool = False,
) -> None:
    """Train the upsampler of a run folder; a finished one is left as it is, an unfinished one goes on.

    Args:
        run: reads `planes/`, `decoder/` and `encoder/`; writes `upsampler/` and, while training, `upsampler.training/`.
            Its pictures have a row for each of some subjects: the low-resolution planes, enlarged by a bicubic, then
            as the model does it, then the fitted ones.
        config: what to train, and how.
        vgg: file of VGG-16's weights for the perceptual loss; None takes the run's own encoder.
        hours: see `run_loop`.
        start: model folder whose upsampler to begin from.
        planes: the set of planes, if it is not the run's: a folder or a URL.
        trial: see `run_loop`.

    Raises:
        UserError: an input is missing or does not fit the settings, or the run was trained with other settings.
    """
    run = Path(run)
    output = run / "upsampler"
    state = process_state()
    features = load_features(Encoder.from_pretrained(run / "encoder"), vgg).to(state.device)
    if output.exists():
        _check_finished(output, config, features)
        state.print(f"upsampler: {output} is trained already; delete it and upsampler.training to train anew")
        return

    if planes is None:
        planes = run / "planes"
    else:
        adopt_statistics(planes, run, state)
    size = config.network.size
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False).to(state.device)
    trained, held_out = split_subjects(count_subjects(planes, decoder), config.held_out_every)
    some = load_subjects(run, size, trained[:SHOWN], planes=planes).to(state.device)
    check_channels(run, some.planes, config.network)
    taken = SourceConfig(size=size, buffer=config.buffer, seed=config.loop.seed)
    source = open_source(run, planes, trained, taken, state)
    statistics = load_statistics(run / "planes").resized(size).to(state.device)
    noising = Diffusion(config.diffusion, state.device)
    state.print(f"upsampler: perceptual loss by {features.name}")

    def loss(network: nn.Module, draws: Draws) -> dict[str, Tensor]:
        chosen = source.draw(draws)
        x0 = chosen.planes.float()
        clean = predict_clean(network, x0, chosen.latents, noising, config, draws)
        error = (clean - x0).square().mean()
        if not config.rendered:
            return {"loss": error, "planes": error}
        seeds = draws.seeds()[: max(0, config.rendered - draws.own.start)]
        pixel = perceptual = torch.zeros((), device=state.device)
        if seeds:
            true, predicted = (statistics.denormalize(values[: len(seeds)]) for values in (x0, clean))
            # In a mean over the parts, each of the rendered samples shall count alike.
            weight = len(seeds) / config.rendered * draws.batch / len(draws)
            pixel, perceptual = (
                weight * one
                for one in rendered_losses(
                    predicted,
                    true,
                    decoder,
                    features,
                    config=config.patches,
                    seeds=seeds,
                    palettes=None if chosen.palettes is None else chosen.palettes[: len(seeds)],
                )
            )
        total = error + config.pixel_weight * pixel + config.perceptual_weight * perceptual
        return {"loss": total, "planes": error, "pixel": pixel, "perceptual": perceptual}

    def redraw(network: nn.Module, some: Loaded) -> tuple[Tensor, Tensor]:
        """Planes reduced, and what the network makes of them."""
        z = some.latents if takes_latent(config.network) else None
        return draw_again(
            network, config.diffusion, some.planes.float(), size // config.scale, statistics.config.clip, z
        )

    def draw(network: nn.Module) -> Tensor:
        colours = () if some.palettes is None else list(some.palettes)
        return plane_rows([*redraw(network, some), some.planes.float()], statistics, decoder, colours)

    measure = None
    if held_out and state.is_main_process:  # which alone measures and draws
        others = load_subjects(run, size, held_out[:JUDGED], planes=planes).to(state.device)

        def figures(network: nn.Module) -> list[float]:
            return [(redraw(network, others)[1] - others.planes.float()).square().mean().item()]

        cost = STEPS * len(others.planes) / (STEP_COST * config.loop.batch_size)  # in steps of the training
        measure = Measure(names=("x0",), figures=figures, every=ceil(cost / SHARE))

    torch.manual_seed(config.loop.seed)
    settings = {**asdict(config), "perceptual": features.name, "start": start and str(start)}
    scratch = run / "upsampler.training"
    model = UNet(config.network)
    if start is not None:
        take_denoiser(model, config.diffusion, start / "upsampler")
    average = run_loop(
        model,
        loss,
        config.loop,
        scratch,
        label="upsampler",
        settings=settings,
        hours=hours,
        measure=measure,
        draw=draw,
        trial=trial,
    )
    if state.is_main_process:
        with atomic_path(output) as temporary:
            save_denoiser(average, config.diffusion, temporary)  # type: ignore[arg-type]
            record_features(temporary, features.name)
    state.wait_for_everyone()


def predict_clean(
    network: nn.Module,
    x0: Tensor,
    latents: Tensor,
    noising: Diffusion,
    config: UpsamplerTraining,
    draws: Draws,
) -> Tensor:
    """The network's x_0 [B, 3, C, H, W] of planes x0 of that shape, from noised planes and a damaged condition.

    Args:
        latents: [B, D] of unit length; a network that takes no z does not see them.
    """
    side = config.network.size // config.scale
    low_res, levels = augment_condition(resize(x0, side, side), config.augment, draws)
    t = noising.draw_timesteps(draws)
    noise = draws.noise(*x0.shape[1:])
    z = blurred_latents(latents, config.latent_noise, draws) if takes_latent(config.network) else None
    return network(noising.add_noise(x0, noise, t), t, network_vector(levels, z), low_res).float()


def rendered_losses(
    predicted: Tensor,
    true: Tensor,
    decoder: Decoder,
    features: Features,
    *,
    config: PatchConfig,
    seeds: Sequence[int],
    palettes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Squared error of pixels and perceptual distance of one random patch a sample, means over the samples.

    Args:
        predicted, true: [B, 3, C, H, W] planes that the decoder reads.
        seeds: B, of the patches.
        palettes: [B, K, 3] where it has materials.
    """
    images, targets = rendered_patches(predicted, true, decoder, config, seeds=seeds, palettes=palettes)
    with torch.autocast(true.device.type, enabled=False):
        return (images - targets).square().mean(), perceptual_distance(features, images, targets).mean()


def _check_finished(output: Path, config: UpsamplerTraining, features: Features) -> None:
    """Raises UserError if the finished upsampler was trained with another network, diffusion or other features."""
    check_denoiser(output, config.network, config.diffusion)
    if (found := recorded_features(output)) != features.name:
        raise UserError(
            f"{output / RECORD_NAME}: the perceptual loss was by {found}, not {features.name}; "
            f"give the same, another run folder, or delete {output}"
        )
