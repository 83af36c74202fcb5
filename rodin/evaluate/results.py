"""All that an evaluation found, before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rodin.avatar import Avatar
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.draw import Variant
from rodin.evaluate.measure import AttributeReading, Distances, Inversion, Reality
from rodin.evaluate.neighbours import Neighbours
from rodin.fit.planes import FitConfig
from rodin.store import FittedSubject


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one model drew, and how it measures.

    Args:
        samples: avatars from nothing.
        sample_pictures: [N, V, S, S, 4] of them.
        caption_pictures: [N, V, S, S, 4] of avatars from the first held-out captions.
        inverted: [N, V, S, S, 4] of avatars from the first held-out portraits, by the encoder alone.
    """

    variant: Variant
    samples: list[Avatar]
    sample_pictures: Tensor
    distances: Distances
    caption_pictures: Tensor
    readings: list[AttributeReading]
    inverted: Tensor
    inversion: Inversion


@dataclass(frozen=True, kw_only=True)
class Results:
    """An evaluation.

    Args:
        drawn: the model's own first, then the others'.
        refined: the distances of the model's samples, their pictures passed through the refiner.
        inverted, inversion: with refinement; None if there was none.
        fit_pictures: [V, S, S, 4] of each, from the cameras of the subject's pictures.
        skipped: attributes that no classifier was trained for, and why.
        data: where the training and the held-out subjects lie.
        seconds: that it took, by the clock.
    """

    settings: EvaluationConfig
    fit: FitConfig
    model_hash: str
    reality: Reality
    drawn: list[Drawn]
    refined: Distances
    inverted: Tensor | None
    inversion: Inversion | None
    neighbours: Neighbours
    fits: list[FittedSubject]
    fit_pictures: list[Tensor]
    skipped: dict[str, str]
    data: tuple[str, str]
    seconds: float
