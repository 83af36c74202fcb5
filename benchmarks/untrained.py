"""A whole pipeline whose networks have learned nothing: what its parts cost does not depend on it."""

from __future__ import annotations

from rodin.decoder import Decoder
from rodin.diffusion import Scheduler
from rodin.encoder import small_clip
from rodin.model import Model
from rodin.pipeline import RodinPipeline
from rodin.presets import Preset
from rodin.prior import Prior
from rodin.refiner import Refiner
from rodin.store import PlaneStatistics
from rodin.unet import UNet


def untrained(preset: Preset, decoder: Decoder, statistics: PlaneStatistics, caption: str) -> RodinPipeline:
    """A pipeline of a preset's sizes with random networks, whose words are those of one caption."""
    return RodinPipeline(
        Model(
            encoder=lambda: small_clip(preset.encoder.network, [caption]),
            prior=Prior(preset.prior.network).eval(),
            prior_diffusion=preset.prior.diffusion,
            base=UNet(preset.base.network).eval(),
            diffusion=preset.base.diffusion,
            upsampler=UNet(preset.upsampler.network).eval(),
            upsampler_diffusion=preset.upsampler.diffusion,
            upsampler_perceptual="",
            refiner=Refiner(preset.refiner.network).eval(),
            statistics=statistics,
            decoder=decoder,
            words=None,
            scheduler=Scheduler(preset.base.diffusion, "dpm++"),
        )
    )
