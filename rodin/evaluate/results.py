"""All that an evaluation found, before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.data.shards import FittedSubject
from rodin.evaluate.accuracy import Reading
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.looks import Looks
from rodin.evaluate.measure import Distances, Inversion, Reality
from rodin.evaluate.neighbours import Neighbours
from rodin.evaluate.prompts import PromptSet
from rodin.evaluate.variants import Variant
from rodin.fit.planes import FitConfig


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one model drew from nothing, and how far it is from real avatars.

    Args:
        pictures: [N, V, S, S, 4].
        distances: of them.
    """

    variant: Variant
    pictures: Tensor
    distances: Distances


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the model drew from one set of prompts.

    Args:
        sentences: whether the general sentence encoder translated unknown words.
        unread: prompts without a word that the model knows, of which nothing was drawn.
        pictures: [N, 2, S, S, 4] uint8 of all, from the front and from the side; empty where nothing was drawn.
        agreement: how far the reader agrees with each prompt, see `rodin.evaluate.accuracy.agreement_with`; -inf where
            nothing was drawn.
        readings: of each attribute, over the prompts that name it.
        people: of all attributes together, by whom the prompts describe, see `rodin.evaluate.accuracy.judge_people`.
    """

    prompts: PromptSet
    sentences: bool
    unread: int
    pictures: Tensor
    agreement: list[float]
    readings: dict[str, Reading]
    people: dict[str, dict[str, Reading]]

    @property
    def name(self) -> str:
        """Of the prompts, and by what they were read."""
        return f"{self.prompts.name}-sentences" if self.sentences else self.prompts.name


@dataclass(frozen=True, kw_only=True)
class Results:
    """An evaluation.

    Args:
        drawn: the model's own first, then the others'.
        samples: avatars from nothing.
        refined: the distances of the model's samples, their pictures passed through the refiner.
        diversity: mean distance between samples over mean distance between training subjects, frontal features.
        floating: [N] of each sample, see `rodin.evaluate.floaters`.
        looks: of the model's samples and of what it draws for real subjects' latents.
        asked: one of each set of prompts, and of each reader of prompts.
        real_readings, real_people: likewise, over real pictures of all held-out subjects.
        inverted, inversion: by the encoder alone, [N, V, S, S, 4].
        refined_inverted, refined_inversion: with refinement; None if there was none.
        fit_pictures: [V, S, S, 4] of each, from the cameras of the subject's pictures.
        data: where the training and the held-out subjects lie.
        seconds: by the clock, that each part took.
    """

    settings: EvaluationConfig
    fit: FitConfig
    model_hash: str
    reality: Reality
    drawn: list[Drawn]
    samples: list[Avatar]
    refined: Distances
    diversity: float
    floating: Tensor
    looks: Looks
    asked: list[Asked]
    real_readings: dict[str, Reading]
    real_people: dict[str, dict[str, Reading]]
    inverted: Tensor
    inversion: Inversion
    refined_inverted: Tensor | None
    refined_inversion: Inversion | None
    neighbours: Neighbours
    fits: list[FittedSubject]
    fit_pictures: list[Tensor]
    data: tuple[str, str]
    seconds: dict[str, float]
