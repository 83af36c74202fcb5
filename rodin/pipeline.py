"""From nothing or a portrait to avatars: latent, base diffusion, planes (Rodin, Fig. 2).

A model folder has diffusers' layout, one sub-folder a part, each read by explicit code; nothing is unpickled:

    model_index.json            schema, the hash of all weights
    encoder/                    frozen CLIP, portrait -> z
    base/                       U-Net that denoises planes under z
    statistics/                 maps its unit-variance residuals to planes
    decoder/                    planes -> density and colour
    scheduler/                  diffusers' scheduler config
"""

from __future__ import annotations

import copy
import hashlib
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from PIL import ExifTags, Image
from torch import Tensor

from rodin.avatar import Avatar
from rodin.component import load_component, save_component
from rodin.dataset import read_image
from rodin.decoder import Decoder, DecoderConfig
from rodin.denoiser import load_denoiser, save_denoiser
from rodin.diffusion import DiffusionConfig, Scheduler, draw_noise, guided, make_scheduler, sample
from rodin.encoder import LATENT_DIM, Encoder
from rodin.errors import UserError
from rodin.files import atomic_path, read_json, write_json
from rodin.store import PlaneStatistics, PlaneStatisticsConfig, load_statistics, module_hash
from rodin.unet import UNet, UNetConfig

SCHEMA = "rodin-model-2"
INDEX_NAME = "model_index.json"
LARGEST_SEED = 2**62  # generators take 64 bits; seed + k must not run out of them
BATCH = 8  # avatars denoised together: bounds memory, never changes a result


class RodinPipeline(DiffusionPipeline):
    """Draws avatars.

        pipe = RodinPipeline.from_pretrained("out/run/model")
        avatar = pipe(seed=3)[0]                      # from nothing
        avatar = pipe(image="portrait.png")[0]        # from a portrait

    `pipe.scheduler` may be replaced: `pipe.scheduler = make_scheduler(pipe.diffusion, "ddim")`.
    """

    def __init__(
        self,
        encoder: Encoder,
        base: UNet,
        statistics: PlaneStatistics,
        decoder: Decoder,
        scheduler: Scheduler,
        diffusion: DiffusionConfig,
    ) -> None:
        super().__init__()
        self.register_modules(encoder=encoder, base=base, statistics=statistics, decoder=decoder, scheduler=scheduler)
        self.diffusion = diffusion
        self.model_hash = combined_hash(base, statistics, decoder)

    @property
    def device(self) -> torch.device:
        """Where the parts lie; diffusers would ask the parts, but ours are plain modules, which do not know."""
        return next(self.base.parameters()).device

    def to(self, device: torch.device | str) -> RodinPipeline:  # type: ignore[override]
        """Move all parts, and return the pipeline. Avatars come out on the CPU wherever they were drawn."""
        for part in (self.encoder, self.base, self.statistics, self.decoder):
            part.to(device)
        return self

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor | Image.Image | str | Path | None = None,
        *,
        count: int = 1,
        seed: int = 0,
        generator: list[torch.Generator] | None = None,
        guidance_scale: float = 1.5,
        num_inference_steps: int = 20,
        callback_on_step_end: Callable[[int, Tensor], None] | None = None,
    ) -> list[Avatar]:
        """Draw avatars.

        Args:
            image: a portrait as [H, W, 3 or 4] in [0, 1], a PIL image or a file. What its alpha hides is left out, and
                it is cropped square. None draws from the base model without a condition.
            count: how many avatars.
            seed: avatar k is drawn with seed + k, whatever is drawn beside it.
            generator: one generator an avatar instead of `seed`.
            guidance_scale: lambda of the guidance, > 0; 1 follows the portrait as trained, more exaggerates it.
            num_inference_steps: denoising steps.
            callback_on_step_end: called as callback(step, x) with the noisy planes [B, 3, C, H, W].

        Raises:
            UserError: an argument is out of range, or the image cannot be read.
        """
        if count < 1:
            raise UserError(f"count: {count} avatars; choose 1 or more")
        if not (math.isfinite(guidance_scale) and guidance_scale > 0):
            raise UserError(f"guidance_scale: {guidance_scale}; choose a number above 0 (1 = no guidance)")
        if generator is not None and len(generator) != count:
            raise UserError(f"generator: {len(generator)} of them for {count} avatars; give one each")
        if not 0 <= seed < LARGEST_SEED:
            raise UserError(f"seed: {seed}; choose 0 or more, below {LARGEST_SEED}")
        generators = generator or [torch.Generator().manual_seed(seed + k) for k in range(count)]
        seeds = [g.initial_seed() for g in generators]
        latent = torch.zeros(LATENT_DIM) if image is None else self.encode_portrait(image)
        scale = 1.0 if image is None else guidance_scale  # without a condition there is nothing to be guided by
        decoder = copy.deepcopy(self.decoder).cpu()  # an avatar stays as it was drawn, whatever becomes of the pipeline
        avatars: list[Avatar] = []
        for start in range(0, count, BATCH):
            part = generators[start : start + BATCH]
            planes = self.draw_planes(latent, part, scale, num_inference_steps, callback_on_step_end)
            for offset, one in enumerate(planes):
                avatars.append(Avatar(one, decoder, latent, seeds[start + offset], self.model_hash))
        return avatars

    def draw_planes(
        self,
        latent: Tensor,
        generators: list[torch.Generator],
        guidance_scale: float,
        num_inference_steps: int,
        callback: Callable[[int, Tensor], None] | None,
    ) -> Tensor:
        """Planes [B, 3, C, H, W] for one latent [512] and B generators."""
        config = self.base.config
        z = latent.to(self.device).expand(len(generators), -1)
        try:
            residual = sample(
                guided(self.base, z, guidance_scale),
                self.scheduler,
                draw_noise((3, config.in_channels, config.size, config.size), generators, self.device),
                generators,
                num_inference_steps,
                clip=self.statistics.config.clip,
                callback=callback,
            )
        except ValueError as error:
            raise UserError(f"num_inference_steps: {error}") from error
        return self.statistics.denormalize(residual).cpu()

    def encode_portrait(self, image: Tensor | Image.Image | str | Path) -> Tensor:
        """The latent [512] of a portrait, unit length."""
        return self.encoder.encode_images(square_portrait(image)[None].to(self.device))[0].cpu()

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> RodinPipeline:  # type: ignore[override]
        """Read a model folder.

        Raises:
            UserError: it is missing, of another schema, or a part of it is missing or damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such model folder; train one with: rodin train all DATA --run RUN")
        path = folder / INDEX_NAME
        index = read_json(path)
        found = index.get("schema") if isinstance(index, dict) else None
        if found != SCHEMA:
            raise UserError(
                f"{path}: schema is {found!r}, this version reads {SCHEMA!r}; train again or get a newer model"
            )
        base, diffusion = load_denoiser(UNet, UNetConfig, folder / "base")
        statistics = load_component(PlaneStatistics, PlaneStatisticsConfig, folder / "statistics")
        decoder = load_component(Decoder, DecoderConfig, folder / "decoder").requires_grad_(False)
        scheduler = load_scheduler(folder / "scheduler", index)
        shape = (statistics.config.channels, statistics.config.height, statistics.config.width)
        size = base.config.size
        if shape != (base.config.in_channels, size, size) or decoder.config.channels != base.config.in_channels:
            raise UserError(f"{folder}: base, statistics and decoder are not of one model; copy all parts of one")
        return cls(Encoder.from_pretrained(folder / "encoder"), base, statistics, decoder, scheduler, diffusion)

    def save_pretrained(self, folder: str | Path) -> None:  # type: ignore[override]
        """Write a model folder, whole or not at all."""
        with atomic_path(Path(folder)) as temporary:
            temporary.mkdir()
            self.encoder.save_pretrained(temporary / "encoder")
            save_denoiser(self.base, self.diffusion, temporary / "base")
            for name in ("statistics", "decoder"):
                save_component(getattr(self, name), temporary / name)
            self.scheduler.save_pretrained(temporary / "scheduler")
            index: dict[str, Any] = {
                "_class_name": type(self).__name__,
                "schema": SCHEMA,
                "model_hash": self.model_hash,
                "encoder": ["rodin.encoder", "Encoder"],
                "base": ["rodin.unet", "UNet"],
                "statistics": ["rodin.store", "PlaneStatistics"],
                "decoder": ["rodin.decoder", "Decoder"],
                "scheduler": ["diffusers", type(self.scheduler).__name__],
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
        raise UserError(f"{folder}: not a scheduler's config ({' '.join(str(error).split())[:200]})") from error


def combined_hash(base: UNet, statistics: PlaneStatistics, decoder: Decoder) -> str:
    """One hash of all that turns noise and z into an avatar: same hash and seed, same avatar."""
    return hashlib.sha256("".join(module_hash(part) for part in (base, statistics, decoder)).encode()).hexdigest()


def square_portrait(image: Tensor | Image.Image | str | Path) -> Tensor:
    """A portrait as the encoder wants it: [S, S, 4] straight RGBA in [0, 1].

    Turned upright as the camera noted, then cropped to a square: the middle of a wide picture, the upper part of a tall
    one, where a portrait has its face.

    Raises:
        UserError: the file cannot be read as an image, or a tensor is no image.
    """
    if isinstance(image, (str, Path)):
        pixels = read_image(Path(image))
        with Image.open(image) as file:
            image = upright(pixels, orientation(file))
    elif isinstance(image, Image.Image):
        rgba = image.convert("RGBA")
        values = torch.frombuffer(bytearray(rgba.tobytes()), dtype=torch.uint8)
        image = upright(values.reshape(rgba.height, rgba.width, 4).float() / 255, orientation(image))
    if image.ndim != 3 or image.shape[-1] not in (3, 4) or 0 in image.shape or not image.is_floating_point():
        raise UserError(f"image: expected [H, W, 3 or 4] floats in [0, 1], got {list(image.shape)} {image.dtype}")
    if not torch.isfinite(image).all():
        raise UserError("image: expected [H, W, 3 or 4] floats in [0, 1], some are not finite; mend them")
    if image.shape[-1] == 3:
        image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
    height, width = image.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    return image[:side, left : left + side].clamp(0, 1)


def orientation(picture: Image.Image) -> int:
    """How the camera was held, EXIF's number 1 to 8; 1, as it is, where the picture does not say."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (ValueError, SyntaxError, OSError, struct.error):  # damaged notes; the pixels are whole
        return 1


def upright(image: Tensor, number: int) -> Tensor:
    """[H, W, 4] to [H or W, W or H, 4]: undo an EXIF orientation."""
    if number in (5, 6, 7, 8):
        image = image.transpose(0, 1)
    return image.flip({2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(number, ()))


def assemble(run: Path) -> RodinPipeline:
    """The pipeline of a finished run folder; write it with `save_pretrained`.

    Raises:
        UserError: a stage of the run is missing or damaged.
    """
    base, diffusion = load_denoiser(UNet, UNetConfig, run / "base")
    return RodinPipeline(
        Encoder.from_pretrained(run / "encoder"),
        base,
        load_statistics(run / "planes").resized(base.config.size),
        load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False),
        make_scheduler(diffusion, "dpm++"),
        diffusion,
    )
