"""Attributes read off pictures by classifiers of ours, to judge whether avatars show what their caption says.

One logistic regression an attribute, on the pixels of pictures averaged down to a few squares: trained on real pictures
of the training subjects, it knows nothing of the model's encoder. Which attributes there are, the data says: every one
whose values are words or yes and no, and repeat among the subjects. How far a classifier can be trusted is its accuracy
on real pictures of held-out subjects, against that of the commonest value.

Symbols: N subjects, V views of each, S side of the images, K values of an attribute.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from rodin.dataset import area_resize
from rodin.evaluate.real import RealSet
from rodin.render import over

SIDE = 16  # squares of the picture along each edge
PENALTY = 3e-4  # on the squared weights; the best of 1e-4 to 3e-3 by cross-validation on the demo set
STEPS = 60  # of L-BFGS


@dataclass(frozen=True)
class Classifier:
    """Reads one attribute.

    Args:
        name: of the attribute.
        values: K values.
        commonest: the one that most training subjects have.
        weight, bias: [F, K], [K].
        mean, scale: [F] of the pixels, as the training pictures have them.
    """

    name: str
    values: tuple[str, ...]
    commonest: str
    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def read(self, images: Tensor) -> list[str]:
        """The values that subjects have by their pictures [N, V, S, S, 4], all views taken together."""
        data = (pixels(images.flatten(0, 1)) - self.mean) / self.scale
        scores = (data @ self.weight + self.bias).log_softmax(dim=1).unflatten(0, images.shape[:2]).sum(dim=1)
        return [self.values[k] for k in scores.argmax(dim=1).tolist()]


@dataclass(frozen=True)
class Reading:
    """How often an attribute is read right.

    Args:
        count: subjects that count.
        right: those that are read right.
        by_chance: those that would be right if the commonest value were always said.
    """

    count: int
    right: int
    by_chance: int

    @property
    def accuracy(self) -> float:
        """Share that is read right; NaN where none counts."""
        return self.right / self.count if self.count else math.nan

    @property
    def chance(self) -> float:
        """Share that the commonest value gets right; NaN where none counts."""
        return self.by_chance / self.count if self.count else math.nan


def pixels(images: Tensor) -> Tensor:
    """[N, S, S, 4] straight RGBA to [N, F = 3 SIDE^2], over white."""
    side = min(SIDE, images.shape[1])
    return over(area_resize(images, side, side), 1.0).flatten(1)


def usable_attributes(attributes: list[dict[str, Any]]) -> tuple[list[str], dict[str, str]]:
    """The names of attributes that can be learned, and why the others cannot."""
    names = sorted({name for one in attributes for name in one})
    usable, skipped = [], {}
    for name in names:
        found = [one.get(name) for one in attributes]
        distinct = len(set(map(str, found)))
        if not all(isinstance(value, (str, bool)) for value in found):
            skipped[name] = "numbers, or missing for some"
        elif distinct == 1:
            skipped[name] = "the same for all"
        elif 2 * distinct > len(found):
            skipped[name] = f"{distinct} values among {len(found)} subjects"
        else:
            usable.append(name)
    return usable, skipped


def learn_classifiers(real: RealSet, names: list[str]) -> list[Classifier]:
    """A classifier of each attribute, from all views of the subjects."""
    views = real.images.shape[1]
    data = pixels(real.images.flatten(0, 1))
    mean, scale = data.mean(dim=0), (data.std(dim=0) + 1e-3) * data.shape[1] ** 0.5
    data = (data - mean) / scale
    found = []
    for name in tqdm(names, desc="attribute classifiers", leave=False):
        truth = [str(one[name]) for one in real.attributes]
        values = tuple(sorted(set(truth)))
        target = torch.tensor([values.index(value) for value in truth]).repeat_interleave(views)
        commonest = Counter(sorted(truth)).most_common(1)[0][0]
        found.append(Classifier(name, values, commonest, *_logistic(data, target, len(values)), mean, scale))
    return found


def _logistic(data: Tensor, target: Tensor, values: int) -> tuple[Tensor, Tensor]:
    """Weight [F, K] and bias [K] of a penalised logistic regression from [N, F] to values [N]."""
    weight = torch.zeros(data.shape[1], values, requires_grad=True)
    bias = torch.zeros(values, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(data @ weight + bias, target) + PENALTY * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return weight.detach(), bias.detach()


def mentioned(caption: str, name: str, value: object) -> bool:
    """Whether a caption says that the attribute has this value: by the value's words, or, where it is yes, its name."""
    if value is False:
        return False
    words = name.replace("_", " ") if value is True else str(value)
    return re.search(rf"\b{re.escape(words.lower())}\b", caption.lower()) is not None


def judge(classifier: Classifier, images: Tensor, truth: list[dict[str, Any]], captions: list[str] | None) -> Reading:
    """Read pictures [N, V, S, S, 4] of subjects whose attributes are known.

    Args:
        captions: N texts: only subjects whose caption says the value count. None counts all.
    """
    values = [one[classifier.name] for one in truth]
    counts = [captions is None or mentioned(captions[k], classifier.name, value) for k, value in enumerate(values)]
    read = classifier.read(images)
    pairs = [(str(value), found) for value, found, counted in zip(values, read, counts, strict=True) if counted]
    right = sum(value == found for value, found in pairs)
    return Reading(len(pairs), right, sum(value == classifier.commonest for value, _ in pairs))


def total(readings: list[Reading]) -> Reading:
    """All readings as one."""
    return Reading(
        sum(one.count for one in readings), sum(one.right for one in readings), sum(one.by_chance for one in readings)
    )
