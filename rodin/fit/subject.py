"""One subject: read as its decoder needs it, fitted, judged."""

from __future__ import annotations

import torch

from rodin.data.captures import MultiView, load_subject
from rodin.data.shards import (
    FittedSubject,
)
from rodin.data.worlds import Placement
from rodin.fit.measure import judge, overlap
from rodin.fit.palette import material_presence, mean_colours, shares_of
from rodin.fit.planes import FitConfig, FittedPlanes, fit_planes
from rodin.fit.scene import HeldOut, prepare
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.storage import Place, at_hand

SIZE_NAME = "fitting.planes.image_size of the preset (rodin preset prints one to edit)"


def load_for(decoder: DecoderConfig, folder: Place, size: int, placed: Placement | None = None) -> MultiView:
    """A subject as a decoder's fits need it: see `load_subject`; with its maps if the decoder has materials.

    Raises:
        UserError: as `load_subject`, or the capture has no maps, which such a decoder learns from.
    """
    with at_hand(folder) as local:
        subject = load_subject(local, size, maps=bool(decoder.materials), placed=placed, size_name=SIZE_NAME)
        if decoder.materials:
            shares_of(subject)
    return subject


def fit_subject(
    subject: MultiView, decoder: Decoder, start: torch.Tensor, config: FitConfig, seed: int
) -> FittedSubject:
    """Fit and judge one subject, which `load_for` has read."""
    scene, held_out = prepare(subject, config.samples, config.held_out)
    palette = mean_colours(scene) if decoder.config.materials else None
    fitted = fit_planes(scene, decoder, start, config, seed=seed, palette=palette)
    return judged(subject, fitted, decoder, held_out)


def judged(subject: MultiView, fitted: FittedPlanes, decoder: Decoder, held_out: HeldOut) -> FittedSubject:
    """What is kept of a subject and its fit."""
    psnr, ssim = judge(fitted.planes, decoder, held_out, fitted.palette)
    made_of: dict[str, torch.Tensor] = {}
    if fitted.palette is not None:
        presence = material_presence(subject)
        iou = overlap(fitted.planes, decoder, held_out, fitted.palette)
        made_of = {"palette": fitted.palette.cpu(), "presence": presence, "iou": iou}
    return FittedSubject(
        subject.name,
        fitted.planes.cpu(),
        subject.caption,
        subject.images[subject.frontal],
        psnr=psnr,
        ssim=ssim,
        captions=subject.captions,
        **made_of,
    )
