"""Train the base diffusion model: fitted planes and their latents to `RUN/base` (Rodin, Sec. 3.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.denoiser import check_denoiser, save_denoiser
from rodin.diffusion import Diffusion, DiffusionConfig
from rodin.encoder import Encoder
from rodin.errors import UserError
from rodin.store import FittedSubject, load_statistics, read_index, read_shards
from rodin.train.loop import LoopConfig, process_state, run_loop
from rodin.triplane import resize
from rodin.unet import UNet, UNetConfig

ENCODED_AT_ONCE = 32  # frontal images


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseTraining:
    """The base model and how it is trained.

    Args:
        network: its channels must be those of the planes, which are resampled to its size. Without a latent
            (latent_dim 0) it is the paper's ablation.
        diffusion: the schedule and the prediction.
        loop: how to train.
        latent_dropout: probability that z, if the network has one, is zeros, which makes guidance possible.
    """

    network: UNetConfig
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    loop: LoopConfig
    latent_dropout: float = 0.2

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


def train_base(run: Path, config: BaseTraining) -> None:
    """Train the base model of a run folder; a finished one is left as it is, an unfinished one goes on.

    Args:
        run: reads `planes/` and `encoder/`; writes `base/` and, while training, `base.training/`.
        config: what to train, and how.

    Raises:
        UserError: an input is missing or does not fit the settings, or the run was trained with other settings.
    """
    run = Path(run)
    output = run / "base"
    state = process_state()
    unet, loop = config.network, config.loop
    if output.exists():
        check_denoiser(output, unet, config.diffusion)
        state.print(f"base: {output} is trained already; delete it to train anew")
        return

    planes, latents = load_subjects(run, unet.size, state.process_index, state.num_processes)
    check_channels(run, planes, unet)
    if unet.latent_dim not in (0, latents.shape[1]):
        raise UserError(
            f"{run / 'encoder'}: latents have {latents.shape[1]} numbers, the network is for {unet.latent_dim}"
        )
    planes, latents = planes.to(state.device), latents.to(state.device)
    noising = Diffusion(config.diffusion, state.device)

    def loss(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        kind = {"generator": generator, "device": state.device}
        chosen = torch.randint(len(planes), (loop.batch_size,), **kind)  # type: ignore[call-overload]
        kept = torch.rand(loop.batch_size, 1, **kind) >= config.latent_dropout  # type: ignore[arg-type]
        z = latents[chosen] * kept if unet.latent_dim else None
        return noising.losses(network, planes[chosen].float(), z, generator)

    torch.manual_seed(loop.seed)
    average = run_loop(UNet(unet), loss, loop, run / "base.training", "base", asdict(config))
    if state.is_main_process:
        save_denoiser(average, config.diffusion, output)  # type: ignore[arg-type]
    state.wait_for_everyone()


@torch.no_grad()
def load_subjects(run: Path, size: int, rank: int, ranks: int) -> tuple[Tensor, Tensor]:
    """This rank's share of the subjects: normalised planes [N, 3, C, size, size] (fp16), latents [N, D] of unit length.

    Raises:
        UserError: as `read_share`, or the encoder is missing or damaged.
    """
    share = read_share(run, size, rank, ranks)
    encoder = Encoder.from_pretrained(run / "encoder")
    planes: list[Tensor] = []
    latents: list[Tensor] = []
    frontals: list[Tensor] = []
    for subject in share:
        planes.append(subject.planes.half())
        frontals.append(subject.frontal)
        if len(frontals) == ENCODED_AT_ONCE:
            latents.append(encoder.encode_images(torch.stack(frontals)))
            frontals.clear()
    if frontals:
        latents.append(encoder.encode_images(torch.stack(frontals)))
    return torch.stack(planes), torch.cat(latents).float()


def check_channels(run: Path, planes: Tensor, network: UNetConfig) -> None:
    """Raise UserError unless a run's planes [N, 3, C, H, W] have the network's channels."""
    if planes.shape[2] != network.in_channels:
        found = f"{planes.shape[2]} channels, the network is for {network.in_channels}"
        raise UserError(f"{run / 'planes'}: planes have {found}; fit and train with one preset")


def read_share(run: Path, size: int, rank: int, ranks: int) -> Iterator[FittedSubject]:
    """This rank's share of a run's subjects, their planes normalised and [3, C, size, size], one at a time.

    The planes were fitted at the upsampler's size; the base model learns them resampled to its own.

    Raises:
        UserError: the planes are missing, damaged or smaller than `size`, or there are fewer subjects than ranks.
    """
    fitted = load_statistics(run / "planes")
    if size > min(fitted.config.height, fitted.config.width):
        found = f"{fitted.config.height} x {fitted.config.width}"
        raise UserError(f"{run / 'planes'}: planes are {found}, the network is for {size}; fit larger ones")
    statistics = fitted.resized(size)
    if read_index(run / "planes").count < ranks:
        raise UserError(f"{run / 'planes'}: fewer subjects than the {ranks} processes; start fewer or fit more")
    return (
        dataclasses.replace(subject, planes=statistics.normalize(resize(subject.planes, size, size)))
        for index, subject in enumerate(read_shards(run / "planes"))
        if index % ranks == rank
    )
