"""The measurements of an evaluation: one function and one result each.

Symbols: N avatars or subjects, V views of each, S side of the images in pixels, D numbers of a feature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.dataset import load_subject
from rodin.decoder import Decoder
from rodin.encoder import Encoder
from rodin.evaluate.attributes import Classifier, Reading, judge, total
from rodin.evaluate.distribution import Distance, distance
from rodin.evaluate.features import features
from rodin.evaluate.real import RealSet
from rodin.evaluate.retrieval import top1
from rodin.fit.planes import FitConfig
from rodin.fit.run import fit_subject
from rodin.render import over
from rodin.store import FittedSubject


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
        return Reality(training, held_out, encoder, found[0], found[1])

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


@dataclass(frozen=True)
class AttributeReading:
    """One attribute: how far its classifier can be trusted, and what it reads.

    Args:
        classifier: its name and values.
        real: on the real pictures of all held-out subjects.
        prompted: on the real pictures of those whose caption says the value.
        drawn: on the avatars drawn from these captions.
    """

    classifier: Classifier
    real: Reading
    prompted: Reading
    drawn: Reading

    @property
    def trusted(self) -> bool:
        """Whether the classifier beats the commonest value on held-out subjects by more than a standard error, which
        of a share among N is at most 0.5 / sqrt(N)."""
        return self.real.right - self.real.by_chance > 0.5 * math.sqrt(self.real.count)


def measure_distances(samples: Tensor, reality: Reality, seed: int) -> Distances:
    """Distances of drawn avatars' pictures [N, V, S, S, 4]."""
    drawn = features(reality.encoder, samples)
    return Distances(
        distance(drawn, reality.training_features, None, seed),
        distance(drawn, reality.held_out_features, reality.training_features, seed),
    )


def read_attributes(classifiers: list[Classifier], pictures: Tensor, held_out: RealSet) -> list[AttributeReading]:
    """Read avatars [N, V, S, S, 4] drawn from the captions of the first N held-out subjects."""
    count = len(pictures)
    truth, captions = held_out.attributes[:count], held_out.captions[:count]
    return [
        AttributeReading(
            one,
            judge(one, held_out.images, held_out.attributes, None),
            judge(one, held_out.images[:count], truth, captions),
            judge(one, pictures, truth, captions),
        )
        for one in classifiers
    ]


def drawn_in_total(readings: list[AttributeReading]) -> tuple[Reading, Reading]:
    """Of all attributes with a trusted classifier: the drawn avatars, and the real pictures of the same subjects."""
    trusted = [one for one in readings if one.trusted]
    return total([one.drawn for one in trusted]), total([one.prompted for one in trusted])


def measure_inversion(pictures: Tensor, reality: Reality) -> Inversion:
    """Compare avatars' pictures [N, V, S, S, 4] with those of the first N held-out subjects, whose portraits they
    follow, from the same cameras."""
    real = reality.held_out.images[: len(pictures)]
    held_out, everyone = reality.identified(pictures[:, 0])
    others = psnr(pictures[:, 1:], real[:, 1:]) if pictures.shape[1] > 1 else math.nan
    oblique = reality.identified(pictures[:, -1])[0]
    return Inversion(psnr(pictures[:, 0], real[:, 0]), others, held_out, everyone, oblique)


def psnr(pictures: Tensor, real: Tensor) -> float:
    """Mean PSNR in dB of pictures [N, ..., S, S, 4] over white, N subjects."""
    errors = (over(pictures, 1.0) - over(real, 1.0)).square().flatten(1).mean(dim=1)
    return float((-10 * errors.clamp_min(1e-10).log10()).mean())


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
    return [fit_subject(load_subject(folder, config.image_size), decoder, start, config, seed) for folder in bar]
