"""A model on disk: a folder of parts in diffusers' layout, each read by explicit code; nothing is unpickled.

    model_index.json   schema, the hash of all that shapes an avatar, the class of each part
    encoder/           frozen CLIP: portrait -> z, text -> conditions of the prior
    prior/             denoises z under text, or under nothing
    base/              denoises small planes under z
    upsampler/         denoises large planes under small ones
    refiner/           enlarges rendered pictures
    statistics/        maps the planes' unit-variance residuals, of which the two speak, to planes
    decoder/           planes -> density and colour
    scheduler/         diffusers' config of the base model's sampler

prior/, base/ and upsampler/ hold the diffusion that they were trained on beside their weights, the upsampler and the
refiner also by which features their perceptual loss was measured.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers

from rodin.component import load_component, save_component
from rodin.decoder import Decoder, DecoderConfig
from rodin.denoiser import load_denoiser, save_denoiser
from rodin.diffusion import DiffusionConfig, Scheduler, make_scheduler
from rodin.encoder import Encoder
from rodin.errors import UserError, one_line
from rodin.files import atomic_path, read_json, write_json
from rodin.prior import Prior, PriorConfig
from rodin.refiner import Refiner, RefinerConfig
from rodin.store import PlaneStatistics, PlaneStatisticsConfig, module_hash
from rodin.train.upsampler import PERCEPTUAL_NAME
from rodin.unet import UNet, UNetConfig

SCHEMA = "rodin-model-2"
INDEX_NAME = "model_index.json"


@dataclass(frozen=True)
class Model:
    """All parts of a model, in eval mode.

    Args:
        statistics: of planes of the upsampler's size.
        scheduler: of the base model.
        upsampler_perceptual: the features that the upsampler's perceptual loss was measured by.
    """

    encoder: Encoder
    prior: Prior
    prior_diffusion: DiffusionConfig
    base: UNet
    diffusion: DiffusionConfig
    upsampler: UNet
    upsampler_diffusion: DiffusionConfig
    upsampler_perceptual: str
    refiner: Refiner
    statistics: PlaneStatistics
    decoder: Decoder
    scheduler: Scheduler

    def hash(self) -> str:
        """One hash of all that turns noise and z into an avatar: same hash, z and seed, same avatar."""
        parts = (self.base, self.upsampler, self.statistics, self.decoder)
        return hashlib.sha256("".join(module_hash(part) for part in parts).encode()).hexdigest()

    def check(self, where: Path) -> None:
        """Raise UserError unless the parts are of one model; `where` names it."""
        base, upsampler, statistics = self.base.config, self.upsampler.config, self.statistics.config
        channels = base.in_channels
        found = {
            "upsampler": (upsampler.in_channels, upsampler.condition_channels),
            "statistics": (statistics.channels, statistics.channels),
            "decoder": (self.decoder.config.channels, channels),
            "refiner": (self.refiner.config.channels, channels),
        }
        for name, numbers in found.items():
            if set(numbers) != {channels}:
                raise UserError(
                    f"{where}: {name} and base are not of one model ({numbers[0]} channels, {channels}); "
                    "copy all parts of one"
                )
        if not base.size <= upsampler.size == statistics.height == statistics.width:
            sizes = f"{base.size}, {upsampler.size}, {statistics.height} x {statistics.width}"
            raise UserError(
                f"{where}: base, upsampler and statistics are not of one model (planes of {sizes}); "
                "copy all parts of one"
            )


def load_model(folder: Path) -> Model:
    """Read a model folder.

    Raises:
        UserError: it is missing, of another schema, or a part of it is missing, damaged or of another model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder; train one with: rodin train all DATA --run RUN")
    path = folder / INDEX_NAME
    index = read_json(path)
    found = index.get("schema") if isinstance(index, dict) else None
    if found != SCHEMA:
        raise UserError(f"{path}: schema is {found!r}, this version reads {SCHEMA!r}; train again or get a newer model")
    model = _parts(folder, folder / "statistics", load_scheduler(folder / "scheduler", index))
    model.check(folder)
    return model


def assemble(run: Path) -> Model:
    """The model of a finished run folder.

    Raises:
        UserError: a stage of the run is missing, damaged or of other settings.
    """
    run = Path(run)
    model = _parts(run, run / "planes" / "statistics", None)
    model.check(run)
    return model


def _parts(folder: Path, statistics: Path, scheduler: Scheduler | None) -> Model:
    base, diffusion = load_denoiser(UNet, UNetConfig, folder / "base")
    prior, prior_diffusion = load_denoiser(Prior, PriorConfig, folder / "prior")
    upsampler, upsampler_diffusion = load_denoiser(UNet, UNetConfig, folder / "upsampler")
    return Model(
        Encoder.from_pretrained(folder / "encoder"),
        prior,
        prior_diffusion,
        base,
        diffusion,
        upsampler,
        upsampler_diffusion,
        _perceptual(folder / "upsampler" / PERCEPTUAL_NAME),
        load_component(Refiner, RefinerConfig, folder / "refiner"),
        load_component(PlaneStatistics, PlaneStatisticsConfig, statistics),
        load_component(Decoder, DecoderConfig, folder / "decoder").requires_grad_(False),
        scheduler or make_scheduler(diffusion, "dpm++"),
    )


def save_model(model: Model, folder: Path) -> None:
    """Write a model folder, whole or not at all."""
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        model.encoder.save_pretrained(temporary / "encoder")
        save_denoiser(model.prior, model.prior_diffusion, temporary / "prior")
        save_denoiser(model.base, model.diffusion, temporary / "base")
        save_denoiser(model.upsampler, model.upsampler_diffusion, temporary / "upsampler")
        write_json(temporary / "upsampler" / PERCEPTUAL_NAME, {"features": model.upsampler_perceptual})
        for name in ("refiner", "statistics", "decoder"):
            save_component(getattr(model, name), temporary / name)
        model.scheduler.save_pretrained(temporary / "scheduler")
        index: dict[str, Any] = {
            "_class_name": "RodinPipeline",
            "schema": SCHEMA,
            "model_hash": model.hash(),
            "encoder": ["rodin.encoder", "Encoder"],
            "prior": ["rodin.prior", "Prior"],
            "base": ["rodin.unet", "UNet"],
            "upsampler": ["rodin.unet", "UNet"],
            "refiner": ["rodin.refiner", "Refiner"],
            "statistics": ["rodin.store", "PlaneStatistics"],
            "decoder": ["rodin.decoder", "Decoder"],
            "scheduler": ["diffusers", type(model.scheduler).__name__],
        }
        write_json(temporary / INDEX_NAME, index)


def load_scheduler(folder: Path, index: dict[str, Any]) -> Scheduler:
    """The diffusers scheduler that the index names."""
    known = {kind.__name__: kind for kind in (diffusers.DDPMScheduler, diffusers.DDIMScheduler)}
    known["DPMSolverMultistepScheduler"] = diffusers.DPMSolverMultistepScheduler
    entry = index.get("scheduler")
    name = str(entry[-1] if isinstance(entry, list) and entry else entry)
    if name not in known:
        raise UserError(f"{folder}: scheduler {name!r} is not known; choose one of {', '.join(known)}")
    config = read_json(folder / "scheduler_config.json")
    if not isinstance(config, dict):  # diffusers would take it for a name and ask the hub
        raise UserError(f"{folder / 'scheduler_config.json'}: expected a mapping, found {config!r}; copy it again")
    try:
        return known[name].from_config(config)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{folder}: not a scheduler's config ({one_line(error)})") from error


def _perceptual(path: Path) -> str:
    """Which features the upsampler's perceptual loss was measured by."""
    document = read_json(path)
    found = document.get("features") if isinstance(document, dict) else None
    if not isinstance(found, str):
        raise UserError(f"{path}: features is {found!r}; copy the file again")
    return found
