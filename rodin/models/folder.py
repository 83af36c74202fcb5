"""A model on disk: a folder of parts in diffusers' layout, each read by explicit code; nothing is unpickled.

    model_index.json   schema, the hash of all that shapes an avatar, the names of the parts, the scheduler's class
    encoder/           frozen CLIP: portrait -> z, text -> conditions of the prior
    prior/             denoises z under text, or under nothing
    base/              denoises small planes under z
    upsampler/         denoises large planes under small ones
    palette/           where the decoder has materials: z -> their colours
    words/             optional: reads texts in place of the encoder's text tower (`rodin.models.phrases`)
    refiner/           enlarges rendered pictures
    statistics/        maps the planes' unit-variance residuals, of which the two speak, to planes
    decoder/           planes -> density and colour
    preset.yaml        optional: that it was trained by
    scheduler/         the base model's sampler, as the config of diffusers' scheduler of the same kind

prior/, base/ and upsampler/ hold the diffusion that they were trained on beside their weights, the upsampler and the
refiner also by which features their perceptual loss was measured.

Training writes weights as float32. A model that ships has them as float16, with README.md, the model card, beside the
parts; loaded, all weights are float32.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rodin import checksums
from rodin.diffusion.config import DiffusionConfig, Sampler
from rodin.diffusion.sampling import Scheduler
from rodin.diffusion.schedule import noise_schedule
from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path, read_json, write_json, write_text
from rodin.models.clip import Encoder, check_folder
from rodin.models.denoiser import load_denoiser, save_denoiser
from rodin.models.index import INDEX_NAME, PRESET_NAME, SCHEMA, read_index
from rodin.models.palette import PaletteConfig, PaletteNetwork
from rodin.models.perceptual import record_features, recorded_features
from rodin.models.phrases import PhraseConfig, PhraseReader
from rodin.models.prior import Prior, PriorConfig
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import WEIGHTS_NAME, Part, load_component, module_hash, read_tensors, save_component
from rodin.render.decoder import Decoder, DecoderConfig

SCHEDULER_NAME = "scheduler_config.json"
CARD_NAME = "README.md"  # the model card, written by hand
SCHEDULERS: dict[Sampler, str] = {  # by diffusers' names
    "ancestral": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
}


@dataclass(frozen=True)
class Model:
    """All parts of a model, in eval mode.

    Args:
        encoder: reads the encoder. A function, as transformers takes two seconds to import, and only words and pictures
            need it.
        words: reads prompts; None = the encoder's text tower does.
        palette: of a decoder with materials, and of no other.
        statistics: of planes of the upsampler's size.
        scheduler: of the base model.
        perceptual: the features that the perceptual losses of upsampler and refiner were taken in.
        preset: that it was trained by, as YAML; None = nobody noted it.
    """

    encoder: Callable[[], Encoder]
    prior: Prior
    prior_diffusion: DiffusionConfig
    words: PhraseReader | None
    base: UNet
    diffusion: DiffusionConfig
    upsampler: UNet
    upsampler_diffusion: DiffusionConfig
    perceptual: dict[str, str]
    refiner: Refiner
    statistics: PlaneStatistics
    decoder: Decoder
    scheduler: Scheduler
    palette: PaletteNetwork | None = None
    preset: str | None = None

    def hash(self) -> str:
        """One hash of all that turns noise and z into an avatar: same hash, z and seed, same avatar."""
        parts = [self.base, self.upsampler, self.statistics, self.decoder, *filter(None, [self.palette])]
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
        materials = 0 if self.palette is None else self.palette.config.materials
        if materials != self.decoder.config.materials:
            raise UserError(
                f"{where}: palette and decoder are not of one model ({materials} materials, "
                f"{self.decoder.config.materials}); copy all parts of one"
            )
        if self.words is not None and self.prior.config.text_width != self.words.text_width:
            raise UserError(f"{where}: words and prior are not of one model; copy all parts of one")
        if not base.size <= upsampler.size == statistics.height == statistics.width:
            sizes = f"{base.size}, {upsampler.size}, {statistics.height} x {statistics.width}"
            raise UserError(
                f"{where}: base, upsampler and statistics are not of one model (planes of {sizes}); "
                "copy all parts of one"
            )


def load_model(folder: Path) -> Model:
    """Read a model folder. Weights are mapped into memory, so that only those in use are read; those that are stored as
    float16 are read at once.

    Raises:
        UserError: it is missing, of another schema, or a part of it is missing, damaged or of another model.
    """
    folder = Path(folder)
    index = read_index(folder)
    model = _parts(folder, folder / "statistics")
    checksums.check(folder, [INDEX_NAME, f"scheduler/{SCHEDULER_NAME}", *([PRESET_NAME] if model.preset else [])])
    model.check(folder)
    return replace(model, scheduler=Scheduler(model.diffusion, _sampler(folder / "scheduler", index, model.diffusion)))


def assemble(run: Path) -> Model:
    """The model of a finished run folder.

    Raises:
        UserError: a stage of the run is missing, damaged or of other settings.
    """
    run = Path(run)
    model = _parts(run, run / "planes" / "statistics")
    model.check(run)
    return model


def _parts(folder: Path, statistics: Path) -> Model:
    check_folder(folder / "encoder")
    base, diffusion = load_denoiser(UNet, UNetConfig, folder / "base")
    prior, prior_diffusion = load_denoiser(Prior, PriorConfig, folder / "prior")
    upsampler, upsampler_diffusion = load_denoiser(UNet, UNetConfig, folder / "upsampler")
    return Model(
        partial(Encoder.from_pretrained, folder / "encoder"),
        prior,
        prior_diffusion,
        _optional(PhraseReader, PhraseConfig, folder / "words"),
        base=base,
        diffusion=diffusion,
        upsampler=upsampler,
        upsampler_diffusion=upsampler_diffusion,
        perceptual={name: recorded_features(folder / name) for name in ("upsampler", "refiner")},
        refiner=load_component(Refiner, RefinerConfig, folder / "refiner"),
        statistics=load_component(PlaneStatistics, PlaneStatisticsConfig, statistics),
        decoder=load_component(Decoder, DecoderConfig, folder / "decoder").requires_grad_(False),
        scheduler=Scheduler(diffusion, "dpm++"),
        palette=_optional(PaletteNetwork, PaletteConfig, folder / "palette"),
        preset=_preset(folder / PRESET_NAME),
    )


def _preset(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); copy it again") from error


def _optional(part: type[Part], config: type[Any], folder: Path) -> Part | None:
    """A part that not every model has."""
    return load_component(part, config, folder) if folder.exists() else None


def save_model(model: Model, folder: Path) -> None:
    """Write a model folder, whole or not at all."""
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        model.encoder().save_pretrained(temporary / "encoder")
        save_denoiser(model.prior, model.prior_diffusion, temporary / "prior")
        for name, part in (("words", model.words), ("palette", model.palette)):
            if part is not None:
                save_component(part, temporary / name)
        save_denoiser(model.base, model.diffusion, temporary / "base")
        save_denoiser(model.upsampler, model.upsampler_diffusion, temporary / "upsampler")
        for name in ("refiner", "statistics", "decoder"):
            save_component(getattr(model, name), temporary / name)
        for name, features in model.perceptual.items():
            record_features(temporary / name, features)
        if model.preset is not None:
            write_text(temporary / PRESET_NAME, model.preset)
        (temporary / "scheduler").mkdir()
        write_json(temporary / "scheduler" / SCHEDULER_NAME, scheduler_config(model.scheduler))
        index: dict[str, Any] = {
            "schema": SCHEMA,
            "model_hash": model.hash(),
            "parts": sorted(path.name for path in temporary.iterdir() if path.is_dir()),
            "scheduler": ["diffusers", SCHEDULERS[model.scheduler.kind]],
        }
        write_json(temporary / INDEX_NAME, index)
        checksums.note(temporary)


def ship_model(source: Path, out: Path, limit_mb: float) -> float:
    """Write a model folder with its weights as float16: half as large, and no avatar looks another.

    A model card that lies in `out` stays.

    Args:
        source: a model folder.
        limit_mb: largest size of all its files together, in millions of bytes.

    Returns:
        that size.

    Raises:
        UserError: the model cannot be read, has weights beyond float16 or is larger; `out` holds anything else.
    """
    source, out = Path(source), Path(out)
    load_model(source)
    _check_place(out, source)
    card = out / CARD_NAME
    with atomic_path(out) as folder:
        shutil.copytree(source, folder)
        if card.is_file():
            shutil.copy(card, folder)
        for path in sorted(folder.rglob(WEIGHTS_NAME)):
            _halve(path, source)
        _note_again(folder)
        index = read_json(folder / INDEX_NAME)
        write_json(folder / INDEX_NAME, {**index, "model_hash": load_model(folder).hash()})
        _note_again(folder)
        sizes = {part.name: _megabytes(part) for part in sorted(folder.iterdir()) if part.is_dir()}
        size = _megabytes(folder)
        if size > limit_mb:
            parts = ", ".join(f"{name} {part:.1f}" for name, part in sizes.items())
            raise UserError(
                f"{source}: {size:.1f} MB as float16 ({parts}), the limit is {limit_mb:g}; "
                "train smaller networks, or raise it"
            )
    return size


def _note_again(folder: Path) -> None:
    """The checksums of a model whose files have changed: of its parts, then of all else."""
    for path in sorted(folder.glob(f"*/{checksums.NAME}")):
        checksums.note(path.parent)
    checksums.note(folder)


def _check_place(out: Path, source: Path) -> None:
    """Raise UserError if a model written to `out` would replace anything but a model and its card."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose a folder for the model")
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise UserError(f"{out}: is the model itself or lies in it; choose another folder")
    own = {path.name for path in source.iterdir()} | {CARD_NAME}
    foreign = sorted(path.name for path in out.iterdir() if path.name not in own) if out.is_dir() else []
    if foreign:
        raise UserError(f"{out}: holds other files than a model ({', '.join(foreign[:3])}); choose another folder")


def _halve(path: Path, model: Path) -> None:
    """Store the weights in a safetensors file as float16."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()  # by which transformers knows whose tensors they are
    halves = {}
    for name, value in read_tensors(path).items():
        halves[name] = value.half() if value.is_floating_point() else value.clone()
        if not torch.isfinite(halves[name]).all():
            where = f"{model / path.parent.name / path.name}: {name}"
            raise UserError(f"{where} has no float16 (largest: {value.abs().max():g}); train that part again")
    save_file(halves, path, metadata=metadata)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def scheduler_config(scheduler: Scheduler) -> dict[str, Any]:
    """The config of diffusers' scheduler that makes the same steps between the same timesteps."""
    config = scheduler.config
    common = {
        "_class_name": SCHEDULERS[scheduler.kind],
        "num_train_timesteps": config.train_steps,
        "prediction_type": config.prediction,
        "trained_betas": noise_schedule(config).tolist(),
        "timestep_spacing": "trailing",
    }
    match scheduler.kind:
        case "ancestral":
            variance = "learned_range" if config.learned_variance else "fixed_small"
            return {**common, "variance_type": variance, "clip_sample": False}
        case "ddim":
            return {**common, "clip_sample": False}
        case "dpm++":  # the flag keeps its log-SNR finite at zero terminal SNR; our betas stay as they are
            flags = {"final_sigmas_type": "zero", "rescale_betas_zero_snr": config.zero_terminal_snr}
            return {**common, "algorithm_type": "dpmsolver++", "solver_order": 2, **flags}


def _sampler(folder: Path, index: dict[str, Any], diffusion: DiffusionConfig) -> Sampler:
    """The sampler that the index names, by diffusers' name; its config must be of the base model."""
    entry = index.get("scheduler")
    name = str(entry[-1] if isinstance(entry, list) and entry else entry)
    kinds = {known: kind for kind, known in SCHEDULERS.items()}
    if name not in kinds:
        raise UserError(f"{folder}: scheduler {shown(name)} is not known; choose one of {', '.join(kinds)}")
    path = folder / SCHEDULER_NAME
    config = read_json(path)
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected a mapping, found {shown(config)}; copy it again")
    wanted = {"num_train_timesteps": diffusion.train_steps, "prediction_type": diffusion.prediction}
    for field, value in wanted.items():
        if config.get(field) != value:
            raise UserError(
                f"{path}: {field} is {shown(config.get(field))}, of base {shown(value)}; copy all parts of one model"
            )
    return kinds[name]
