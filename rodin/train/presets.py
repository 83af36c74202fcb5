"""The sizes of the system, as plain functions; each stage's config lives beside its stage.

`rodin preset NAME` prints one as YAML; `--preset FILE.yaml` takes it back, changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from rodin.diffusion.config import DiffusionConfig
from rodin.errors import UserError
from rodin.fit.config import FittingConfig
from rodin.fit.losses import LossConfig
from rodin.fit.planes import FitConfig
from rodin.fit.shared import SharedConfig
from rodin.materials import MATERIALS
from rodin.models.clip import LATENT_DIM, EncoderConfig
from rodin.models.folder import Model
from rodin.models.index import PRESET_NAME
from rodin.models.palette import PaletteConfig
from rodin.models.prior import PriorConfig
from rodin.models.refiner import RefinerConfig
from rodin.models.upsampler import LEVELS
from rodin.networks.unet import UNetConfig
from rodin.parts import config_from_dict
from rodin.render.decoder import DecoderConfig
from rodin.train.augment import AugmentConfig
from rodin.train.base import BaseTraining
from rodin.train.encoder import EncoderTraining
from rodin.train.loop import LoopConfig
from rodin.train.palette import PaletteTraining
from rodin.train.patches import PatchConfig
from rodin.train.preset_file import PresetName, parse_yaml, read_preset_file
from rodin.train.prior import PriorTraining
from rodin.train.refiner import RefinerTraining
from rodin.train.upsampler import UpsamplerTraining

FACE = (0.0, 0.0, 0.45)  # where synthetic avatars have it; nothing else in training knows


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """Everything that training reads.

    Args:
        palette: where the decoder has materials, and nowhere else.
    """

    encoder: EncoderTraining
    fitting: FittingConfig
    base: BaseTraining
    prior: PriorTraining
    upsampler: UpsamplerTraining
    refiner: RefinerTraining
    palette: PaletteTraining | None = None

    def __post_init__(self) -> None:
        channels, plane_size = self.fitting.decoder.channels, self.fitting.planes.plane_size
        upsampler = self.upsampler.network
        wanted = {
            "palette.network.materials": (
                0 if self.palette is None else self.palette.network.materials,
                self.fitting.decoder.materials,
                "the decoder's",
            ),
            "base.network.in_channels": (self.base.network.in_channels, channels, "the decoder's"),
            "upsampler.network.in_channels": (upsampler.in_channels, channels, "the decoder's"),
            "refiner.network.channels": (self.refiner.network.channels, channels, "the decoder's"),
            "upsampler.network.size": (upsampler.size, plane_size, "the fitted planes'"),
            "base.network.size": (
                self.base.network.size,
                upsampler.size // self.upsampler.scale,
                "the upsampler's size by its scale",
            ),
            "prior.network.text_width": (
                self.prior.network.text_width,
                LATENT_DIM if self.prior.phrases else self.encoder.network.text_width,
                "that of phrases" if self.prior.phrases else "the encoder's",
            ),
        }
        for name, (found, value, whose) in wanted.items():
            if found != value:
                raise ValueError(f"{name} must be {value} as {whose}, got {found}")
        if self.refiner.redrawn not in (0, self.base.network.size):
            raise ValueError(
                f"refiner.redrawn must be {self.base.network.size}, the base model's planes' size, or 0, "
                f"got {self.refiner.redrawn}"
            )


def smoke() -> Preset:
    """The whole chain in under 5 minutes on 2 cores: for tests and `make smoke`."""
    return Preset(
        encoder=EncoderTraining(
            network=EncoderConfig(
                image_size=32, patch_size=8, width=128, layers=2, heads=4, text_width=64, text_layers=1, text_heads=2
            ),
            # The recipe's paraphrases leave attributes out by themselves.
            augment=AugmentConfig(phrase_drop=0.0),
            loop=LoopConfig(
                steps=400,
                batch_size=42,
                learning_rate=1e-3,
                warmup_steps=20,
                weight_decay=0.05,
                betas=(0.9, 0.98),
                ema_decay=0.99,
            ),
        ),
        fitting=FittingConfig(
            decoder=DecoderConfig(channels=8, materials=len(MATERIALS)),
            shared=SharedConfig(subjects=8, common_steps=60, steps=200),
            planes=FitConfig(
                plane_size=64, image_size=64, samples=48, steps=110, rays=512, learning_rate=0.15, smallest_scale=0.25
            ),
        ),
        base=BaseTraining(
            network=UNetConfig(
                size=16,
                in_channels=8,
                out_channels=8,
                width=48,
                multipliers=(1,),
                blocks=1,
                attention=(),
                head_width=48,
                patch=2,
            ),
            # Patches of 128 numbers go through 48 channels: too few for the noise that v would need, enough for x_0.
            diffusion=DiffusionConfig(prediction="sample"),
            loop=LoopConfig(steps=600, batch_size=16, learning_rate=4e-3, warmup_steps=50, ema_decay=0.998, bf16=True),
        ),
        prior=PriorTraining(
            network=PriorConfig(width=128, layers=2, heads=4, text_width=512, residual=True),
            phrases=True,
            full_captions=True,
            loop=LoopConfig(steps=300, batch_size=32, learning_rate=1e-3, warmup_steps=30, ema_decay=0.99),
        ),
        upsampler=UpsamplerTraining(
            network=UNetConfig(
                size=64,
                in_channels=8,
                out_channels=8,
                width=48,
                multipliers=(1,),
                blocks=1,
                attention=(),
                head_width=48,
                patch=4,
                latent_dim=LEVELS,
                condition_channels=8,
                condition_skip=True,
            ),
            loop=LoopConfig(steps=300, batch_size=4, learning_rate=2e-3, warmup_steps=20, ema_decay=0.99, bf16=True),
            patches=PatchConfig(
                size=28, image_size=64, samples=48, focus_probability=0.4, focus=FACE, focus_radius=0.3
            ),
            perceptual_weight=0.1,
        ),
        refiner=RefinerTraining(
            network=RefinerConfig(channels=8, width=32, blocks=4, scale=2, enlarge="resize"),
            # One clip for both networks would let the discriminator's gradients drown the refiner's.
            loop=LoopConfig(
                steps=400, batch_size=8, learning_rate=2e-3, warmup_steps=10, ema_decay=0.98, gradient_clip=0.0
            ),
            image_size=32,
            views=8,
            patch=16,
        ),
        palette=PaletteTraining(
            network=PaletteConfig(materials=len(MATERIALS), hidden=64),
            loop=LoopConfig(steps=400, batch_size=32, learning_rate=2e-3, weight_decay=0.05, ema_decay=0.98),
        ),
    )


def mini() -> Preset:
    """The size that trains in hours on 2 cores, in minutes on a GPU."""
    return Preset(
        encoder=EncoderTraining(
            network=EncoderConfig(
                image_size=96, convolutions=(32, 64, 128, 192), text_width=96, text_heads=2, context=72
            ),
            loop=LoopConfig(
                steps=1800,
                batch_size=64,
                learning_rate=1e-3,
                warmup_steps=50,
                weight_decay=0.05,
                betas=(0.9, 0.98),
                ema_decay=0.995,
                bf16=True,
            ),
            # Colours alone tell most subjects apart: thumbnails and phrases teach shapes, and grey views, which must
            # find their partners by shape.
            augment=AugmentConfig(mirror=0.5, grey_probability=0.15),
            phrase_weight=20.0,
            thumbnail_weight=10.0,
            latent_noise=0.2,
            held_out_every=16,
        ),
        fitting=FittingConfig(
            decoder=DecoderConfig(channels=16, hidden=32, materials=len(MATERIALS)),
            shared=SharedConfig(subjects=24, common_steps=100, steps=1500),
            # Random sizes down to the base model's, whose planes then render well by themselves; smoothness halves what
            # two fits of one subject differ by, which the diffusion would have to learn, at no loss (docs/training.md).
            planes=FitConfig(
                plane_size=128,
                image_size=128,
                samples=96,
                steps=400,
                rays=2048,
                learning_rate=0.15,
                smallest_scale=0.25,
                loss=LossConfig(smooth=1e-2),
            ),
        ),
        base=BaseTraining(
            network=UNetConfig(
                size=32,
                in_channels=16,
                out_channels=16,
                width=96,
                multipliers=(1, 2),
                blocks=1,
                attention=(8,),
                head_width=96,
                patch=2,
                input_skip=True,
                sketch_rank=44,
            ),
            # x_0, since v's noise must pass the patches' narrow channels; faces are decided where there is little
            # noise, which so needs its share of the steps and of the loss (docs/training.md).
            diffusion=DiffusionConfig(prediction="sample", schedule="cosine", min_snr_gamma=20.0, min_snr_plus=1.0),
            # Muon is worth its step, whose cost hangs on no batch: so larger ones than AdamW's (docs/training.md).
            loop=LoopConfig(
                steps=10_000, batch_size=32, learning_rate=1e-3, optimizer="muon", ema_decay=0.9995, bf16=True
            ),
            latent_noise=0.4,
            mirrored=True,
            held_out_every=16,
        ),
        prior=PriorTraining(
            network=PriorConfig(width=192, layers=3, heads=4, text_width=512, residual=True),
            # A thousand subjects teach a text tower too little (docs/training.md).
            phrases=True,
            # Prompts are completed before they are read.
            full_captions=True,
            mirrored=True,
            loop=LoopConfig(steps=3000, batch_size=32, learning_rate=6e-4, ema_decay=0.998),
        ),
        upsampler=UpsamplerTraining(
            network=UNetConfig(
                size=128,
                in_channels=16,
                out_channels=16,
                width=64,
                multipliers=(1, 2),
                blocks=1,
                attention=(),
                patch=4,
                latent_dim=LEVELS,
                condition_channels=16,
                condition_skip=True,
            ),
            loop=LoopConfig(steps=10_000, batch_size=8, learning_rate=8e-4, ema_decay=0.9995, bf16=True),
            patches=PatchConfig(
                size=56, image_size=128, samples=96, focus_probability=0.4, focus=FACE, focus_radius=0.3
            ),
            perceptual_weight=0.1,
        ),
        refiner=RefinerTraining(
            network=RefinerConfig(channels=16, width=48, blocks=8, scale=4, enlarge="resize"),
            loop=LoopConfig(steps=10_000, batch_size=8, learning_rate=1e-3, ema_decay=0.999, gradient_clip=0.0),
            image_size=128,
            views=4,
            patch=32,
            perceptual=0.05,
            # A network without noise to start from weaves hair of what it cannot foretell, to please a discriminator.
            adversarial=0.0,
            redrawn=32,
        ),
        palette=PaletteTraining(
            network=PaletteConfig(materials=len(MATERIALS)),
            loop=LoopConfig(steps=3000, batch_size=64, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.995),
        ),
    )


def mini_gpu() -> Preset:
    """mini's networks on one GPU: larger batches, compiled. Chosen without one: docs/gpu.md says what was measured."""
    preset = mini()
    base, upsampler, refiner, prior = preset.base, preset.upsampler, preset.refiner, preset.prior
    return replace(
        preset,
        base=replace(base, loop=replace(base.loop, batch_size=128, learning_rate=1.1e-3, compile=True)),
        prior=replace(prior, loop=replace(prior.loop, batch_size=256, bf16=True)),
        upsampler=replace(upsampler, loop=replace(upsampler.loop, batch_size=32, compile=True)),
        refiner=replace(refiner, loop=replace(refiner.loop, batch_size=32, bf16=True)),
    )


def paper() -> Preset:
    """The paper's sizes and diffusion (ADM at 64; linear schedule, epsilon, learned variance): for a cluster.

    Base model and upsampler are cut up among the processes, and read their subjects from shards as they need them.
    """
    return Preset(
        encoder=EncoderTraining(
            network=EncoderConfig(
                image_size=224, patch_size=16, width=768, layers=12, heads=12, text_width=512, text_heads=8
            ),
            loop=LoopConfig(steps=100_000, batch_size=256, learning_rate=5e-4, warmup_steps=2000, bf16=True),
        ),
        fitting=FittingConfig(
            decoder=DecoderConfig(channels=32, hidden=128, colour_layers=2, frequencies=2),
            shared=SharedConfig(subjects=512, common_steps=1000, steps=500_000, learning_rate=2e-3),
            planes=FitConfig(
                plane_size=256,
                image_size=256,
                samples=192,
                steps=10_000,
                rays=8192,
                learning_rate=0.02,
                smallest_scale=0.25,
                held_out=8,
            ),
            per_shard=128,
        ),
        base=BaseTraining(
            network=UNetConfig(size=64, in_channels=32, out_channels=64, width=192, dropout=0.1),
            diffusion=DiffusionConfig(
                prediction="epsilon", learned_variance=True, schedule="linear", zero_terminal_snr=False
            ),
            loop=LoopConfig(
                steps=1_000_000, batch_size=48, learning_rate=5e-5, weight_decay=0.0, bf16=True, sharding="fsdp"
            ),
            buffer=4096,  # 3.2 GB
        ),
        prior=PriorTraining(
            network=PriorConfig(width=512, layers=6, heads=8, text_width=512),
            loop=LoopConfig(
                steps=300_000,
                batch_size=256,
                learning_rate=1.1e-4,
                warmup_steps=2000,
                weight_decay=0.06,
                betas=(0.9, 0.96),
                bf16=True,
            ),
        ),
        # The batch is the paper's 16, all of it rendered. The skip is ours; 0.5 is RodinHD's weight, for VGG.
        upsampler=UpsamplerTraining(
            network=UNetConfig(
                size=256,
                in_channels=32,
                out_channels=32,
                width=192,
                multipliers=(1, 1, 2, 2, 4, 4),
                blocks=2,
                latent_dim=LEVELS,
                condition_channels=32,
                condition_skip=True,
                checkpointing=True,
            ),
            loop=LoopConfig(
                steps=1_000_000, batch_size=16, learning_rate=5e-5, weight_decay=0.0, bf16=True, sharding="fsdp"
            ),
            rendered=16,
            buffer=512,  # 6.4 GB
            patches=PatchConfig(
                size=112, image_size=256, samples=192, focus_probability=0.4, focus=FACE, focus_radius=0.3
            ),
        ),
        refiner=RefinerTraining(
            network=RefinerConfig(channels=32, width=96, blocks=16, scale=4, enlarge="resize"),
            loop=LoopConfig(steps=500_000, batch_size=16, learning_rate=2e-4, gradient_clip=0.0),
            image_size=256,
            samples=192,
            views=8,
            patch=64,
        ),
    )


PRESETS: dict[PresetName, Callable[[], Preset]] = {
    "smoke": smoke,
    "mini": mini,
    "mini-gpu": mini_gpu,
    "paper": paper,
}


def load_preset(name_or_file: str) -> Preset:
    """A preset by name, or one written by `preset_yaml` and perhaps changed.

    Raises:
        UserError: no such name or file, or the file does not describe a preset.
    """
    if name_or_file in PRESETS:
        return PRESETS[name_or_file]()
    path = Path(name_or_file)
    return config_from_dict(Preset, read_preset_file(path), str(path))


def preset_of(model: Model) -> Preset:
    """That a model was trained by.

    Raises:
        UserError: nobody noted it, or it is damaged.
    """
    if model.preset is None:
        raise UserError(f"--preset: the model has no {PRESET_NAME}; name the preset that it was trained by")
    return config_from_dict(Preset, parse_yaml(model.preset, PRESET_NAME), PRESET_NAME)


def preset_yaml(preset: Preset) -> str:
    """The preset as YAML, every field written out."""
    return yaml.safe_dump(_plain(dataclasses.asdict(preset)), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
