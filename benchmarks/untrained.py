"""A whole pipeline whose networks have learned nothing: what its parts cost does not depend on it."""

from __future__ import annotations

from rodin.avatars.pipeline import RodinPipeline
from rodin.diffusion.sampling import Scheduler
from rodin.models.clip import small_clip
from rodin.models.folder import Model
from rodin.models.prior import Prior
from rodin.models.refiner import Refiner
from rodin.models.statistics import PlaneStatistics
from rodin.networks.unet import UNet
from rodin.render.decoder import Decoder
from rodin.train.presets import Preset


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
            perceptual={"upsampler": "untrained", "refiner": "untrained"},
            refiner=Refiner(preset.refiner.network).eval(),
            statistics=statistics,
            decoder=decoder,
            words=None,
            scheduler=Scheduler(preset.base.diffusion, "dpm++"),
        )
    )
