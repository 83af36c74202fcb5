"""The measurements of an evaluation that compare pictures: one function and one result each.

Symbols: N avatars or subjects, V views of each, S side of the images in pixels, D numbers of a feature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.data.shards import FittedSubject
from rodin.evaluate.features import features, top1
from rodin.evaluate.fid import Distance, distance
from rodin.evaluate.subjects import RealSet
from rodin.fit.planes import FitConfig
from rodin.fit.subject import fit_subject, load_for
from rodin.images import over, psnr
from rodin.models.clip import Encoder
from rodin.render.decoder import Decoder


@dataclass(frozen=True)
class Reality:
    """Real subjects with their features, by the encoder of the model under evaluation.

    Args:
        training, held_out: the subjects.
        encoder: gives the features.
        training_features, held_out_features: [N, V, D].
    """

    training: RealSet
    held_out: RealSet
    encoder: Encoder
    training_features: Tensor
    held_out_features: Tensor

    @staticmethod
    def measure(training: RealSet, held_out: RealSet, encoder: Encoder) -> Reality:
        """Encode both sets."""
        found = [features(encoder, real.images) for real in (training, held_out)]
        return Reality(training, held_out, encoder, found[0], held_out_features=found[1])

    def identified(self, pictures: Tensor) -> tuple[float, float]:
        """How often the nearest real frontal view is the subject's own: among held-out subjects, and among all.

        Args:
            pictures: [N, S, S, 4] of the first N held-out subjects.
        """
        queries, owners = features(self.encoder, pictures), list(range(len(pictures)))
        held_out = self.held_out_features[:, 0]
        everyone = torch.cat([held_out, self.training_features[:, 0]])
        return top1(queries, held_out, owners), top1(queries, everyone, owners)


@dataclass(frozen=True)
class Distances:
    """Of drawn avatars to both sets of real subjects."""

    to_training: Distance
    to_held_out: Distance


@dataclass(frozen=True)
class Inversion:
    """How well portraits became avatars.

    Args:
        frontal_psnr: in dB, of the view that was given, over white.
        other_psnr: of the subject's other views of the front half, which were not given; NaN if there are none.
        held_out_top1, everyone_top1: see `Reality.identified`, by the avatars' frontal views.
        oblique_top1: the first of the two, by the view of the avatar that is farthest from the frontal one.
    """

    frontal_psnr: float
    other_psnr: float
    held_out_top1: float
    everyone_top1: float
    oblique_top1: float


def measure_distances(samples: Tensor, reality: Reality, seed: int) -> Distances:
    """Distances of drawn avatars' features [N, V, D]."""
    return Distances(
        distance(samples, reality.training_features, None, seed),
        distance(samples, reality.held_out_features, reality.training_features, seed),
    )


def measure_inversion(pictures: Tensor, reality: Reality) -> Inversion:
    """Compare avatars' pictures [N, V, S, S, 4] with those of the first N held-out subjects, whose portraits they
    follow, from the same cameras."""
    real = reality.held_out.images[: len(pictures)]
    held_out, everyone = reality.identified(pictures[:, 0])
    others = mean_psnr(pictures[:, 1:], real[:, 1:]) if pictures.shape[1] > 1 else math.nan
    oblique = reality.identified(pictures[:, -1])[0]
    return Inversion(mean_psnr(pictures[:, 0], real[:, 0]), others, held_out, everyone, oblique_top1=oblique)


def mean_psnr(pictures: Tensor, real: Tensor) -> float:
    """Mean PSNR in dB of pictures [N, ..., S, S, 4] over white, N subjects."""
    return fmean(map(psnr, over(pictures, 1.0), over(real, 1.0)))


def fit_held_out(
    folders: list[Path], decoder: Decoder, start: Tensor, config: FitConfig, seed: int
) -> list[FittedSubject]:
    """Fit planes to subjects that the decoder has never seen; their views are split as in training.

    Args:
        start: [3, C, H, W] the mean planes of the training subjects.

    Raises:
        UserError: a subject cannot be fitted.
    """
    bar = tqdm(folders, desc="fitting held-out subjects", unit="subject", leave=False)
    return [
        fit_subject(load_for(decoder.config, folder, config.image_size), decoder, start, config, seed=seed)
        for folder in bar
    ]
