"""Attributes read off pictures by a classifier of ours, to judge whether avatars show what their words say.

A small convolutional network with one linear head an attribute, trained on real pictures of the training subjects: it
knows nothing of the encoder that drives the model. A subject is read from several sides of the front, by the mean of
the views' log probabilities, so that the views that show most decide. Avatars are softer than real pictures; the reader
reduces all that it sees, and training blurs some of it further, so that softness is no reason to err. Four of five
subjects have no beard; rare values weigh more in training, or whoever has a faint one would be read as the most are.

Colours are read off pictures in colour, everything else off grey ones whose brightness means nothing: the colours of
hair, skin and clothes together tell the training subjects apart, and a reader that sees them learns who has glasses
instead of what glasses look like.

Where both real pictures and avatars say what each pixel is made of, the reader is told: what is hair, and what a hat of
the hair's colour, is then no guess. It is told the one material that a pixel has most of.

Symbols: N subjects, V views of each, M pictures in all, B of a batch, K values of an attribute, S side of a picture, L
materials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from rodin.images import area_resize, from_bytes, over
from rodin.materials import MATERIALS

SIDE = 96  # pixels of what is kept of a picture along each edge
SEEN = 64  # to which these are reduced before they are read: sharper ones are read worse, for their noise is their own
MIDDLE = 0.75  # share of a picture that is kept along each edge: the avatar stands in the middle of an empty margin
WIDTHS = (24, 48, 96, 160)  # channels of the layers
ROWS = 4  # that the last layer's picture is pooled to
BATCH = 64
COLOURED = 16  # of a batch; colours are learned soon, the other attributes slowly
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.02
SMOOTHING = 0.05  # of the labels
DROPOUT = 0.2
SHIFT = 0.1  # of half the picture, at most
TURN = 0.15  # radians at most
STRETCH = 0.1
SOFTEST = 36  # pixels that a picture is averaged down to at most before it is enlarged again
HIDDEN = -100  # label of what does not show
THIN = ("lips", "iris", "frame", "jewellery")  # materials that count twice, or they would have most of no pixel


class AttributeReader(nn.Module):
    """Pictures to log probabilities of each attribute's values.

    Args:
        values: the values of each attribute, by its name.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.values = {name: tuple(words) for name, words in values.items()}
        first, second, third, last = WIDTHS
        layers = [
            nn.Conv2d(3 + len(MATERIALS), first, 5, stride=2, padding=2, bias=False),  # 64 -> 32
            *(nn.BatchNorm2d(first), nn.ReLU()),
            *(*convolution(first, second), nn.MaxPool2d(2)),  # -> 16
            *(Residual(second), *convolution(second, third), nn.MaxPool2d(2)),  # -> 8
            *(Residual(third), *convolution(third, last)),
        ]
        # What is where in height matters, hair above and clothes below; from left to right it turns with the view.
        rows = [nn.AdaptiveMaxPool2d((ROWS, 1)), nn.Flatten(), nn.Dropout(DROPOUT)]
        self.trunk = nn.Sequential(*layers, *rows)
        self.heads = nn.ModuleList([nn.Linear(ROWS * last, len(words)) for words in self.values.values()])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[B, 3 + L, SIDE, SIDE] in [0, 1], colours and materials -> scores [B, K] of each attribute."""
        seen = F.interpolate(pictures, (SEEN, SEEN), mode="bilinear", antialias=True)
        found = self.trunk(torch.cat([4 * (seen[:, :3] - 0.5), 2 * seen[:, 3:]], dim=1))
        return [head(found) for head in self.heads]

    def read(self, images: Tensor, labels: Tensor | None = None) -> dict[str, list[str]]:
        """The value of each attribute that N subjects have by their pictures; arguments as of `log_probabilities`."""
        found = self.log_probabilities(images, labels)
        return {name: [words[int(k)] for k in found[name].argmax(dim=1)] for name, words in self.values.items()}

    @torch.no_grad()
    def log_probabilities(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """[N, K] of each attribute's values, for N subjects by their pictures [N, V, S, S, 4].

        Args:
            labels: [N, V, S, S] of `labels_of`, where the reader was trained with such.
        """
        found: dict[str, list[Tensor]] = {name: [] for name in self.values}
        for k, views in enumerate(images):
            pictures = channels_first(over(read_size(views), 1.0))
            made_of = one_hot(torch.zeros(len(views), SIDE, SIDE) if labels is None else label_size(labels[k]))
            grey = pictures.mean(dim=1, keepdim=True).expand_as(pictures)
            coloured, grey = self(torch.cat([pictures, made_of], dim=1)), self(torch.cat([grey, made_of], dim=1))
            for place, name in enumerate(self.values):
                scores = (coloured if is_colour(name) else grey)[place].log_softmax(dim=1).mean(dim=0)
                found[name].append(scores.log_softmax(dim=0))
        return {name: torch.stack(rows) for name, rows in found.items()}


class Residual(nn.Module):
    """Two convolutions whose result is added to what they are given, [B, C, H, W] -> the same; nothing at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        normed = nn.BatchNorm2d(channels)
        nn.init.zeros_(normed.weight)
        second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.layers = nn.Sequential(*convolution(channels, channels), second, normed)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


def convolution(channels: int, out_channels: int) -> list[nn.Module]:
    """[B, channels, H, W] -> [B, out_channels, H, W]"""
    return [nn.Conv2d(channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]


@dataclass(frozen=True)
class Lesson:
    """What a reader is trained on.

    Args:
        pictures: [M, SIDE, SIDE, 4] uint8 straight RGBA, of all subjects.
        owners: [M] which of the N subjects each shows.
        weights: [M] how often each is looked at, in proportion.
        attributes: N mappings.
        labels: [M, SIDE, SIDE] uint8 of `labels_of`; None = the reader is not told what there is.
    """

    pictures: Tensor
    owners: Tensor
    weights: Tensor
    attributes: list[dict[str, Any]]
    labels: Tensor | None = None


def labels_of(shares: Tensor) -> Tensor:
    """What is where, [..., S, S] uint8: 1 + the index of the material that a pixel has most of, 0 where there is
    nothing.

    Args:
        shares: [..., S, S, L] of MATERIALS, times alpha.
    """
    weights = torch.tensor([2.0 if name in THIN else 1.0 for name in MATERIALS]).to(shares)
    most = (shares * weights).argmax(dim=-1) + 1
    return torch.where(shares.sum(dim=-1) > 0.5, most, 0).to(torch.uint8)


def label_size(labels: Tensor) -> Tensor:
    """The middle of labels [..., S, S], at the size that a reader sees."""
    cut = labels[..., middle(labels.shape[-2]), middle(labels.shape[-1])]
    shape = (SIDE, SIDE)
    return F.interpolate(cut.float().reshape(-1, 1, *cut.shape[-2:]), shape).reshape(*cut.shape[:-2], *shape)


def one_hot(labels: Tensor) -> Tensor:
    """Labels [B, H, W] of any type -> [B, L, H, W] float32, nothing where there is nothing."""
    return (labels[:, None] == torch.arange(1, len(MATERIALS) + 1)[:, None, None]).float()


def middle(side: int) -> slice:
    """What is kept of so many pixels."""
    margin = round(0.5 * (1 - MIDDLE) * side)
    return slice(margin, side - margin)


def read_size(images: Tensor) -> Tensor:
    """The middle of [..., S, S, 4], at the size that a reader sees; smaller ones are enlarged."""
    images = images[..., middle(images.shape[-3]), middle(images.shape[-2]), :]
    if images.shape[-2] >= SIDE:
        return area_resize(images, SIDE, SIDE)
    enlarged = F.interpolate(images.flatten(0, -4).permute(0, 3, 1, 2), (SIDE, SIDE), mode="nearest")
    return enlarged.permute(0, 2, 3, 1).unflatten(0, images.shape[:-3])


def shows(attributes: Mapping[str, Any], name: str) -> bool:
    """Whether a subject can be seen to have the attribute's value: the colour of nothing cannot."""
    if name == "hair_color":
        return attributes.get("hair") != "bald"
    return attributes.get(name.removesuffix("_color")) != "none" or not name.endswith("_color")


def is_colour(name: str) -> bool:
    """Whether an attribute is a colour."""
    return name.endswith(("color", "colour")) or name == "skin"


def train_reader(lesson: Lesson, names: Sequence[str], steps: int, seed: int = 0) -> AttributeReader:
    """A reader of the attributes `names`, the same for the same seed."""
    values = {name: sorted({str(one[name]) for one in lesson.attributes}) for name in names}
    labels = [
        torch.tensor([values[n].index(str(one[n])) if shows(one, n) else HIDDEN for one in lesson.attributes])
        for n in names
    ]
    weights = [value_weights(label, len(values[name])) for name, label in zip(names, labels, strict=True)]
    parts = [slice(0, COLOURED) if is_colour(name) else slice(COLOURED, BATCH) for name in names]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # initial weights and dropout take torch's own
        torch.manual_seed(seed)
        reader = AttributeReader(values)
        decayed = [p for p in reader.parameters() if p.ndim > 1]
        others = [p for p in reader.parameters() if p.ndim == 1]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(steps, 2))
        for _ in tqdm(range(steps if names else 0), desc="attribute reader", unit="step", leave=False):
            chosen = torch.multinomial(lesson.weights, BATCH, replacement=True, generator=generator)
            made_of = torch.zeros(BATCH, SIDE, SIDE) if lesson.labels is None else lesson.labels[chosen].float()
            pictures = varied(from_bytes(lesson.pictures[chosen]), made_of, generator)
            owners = lesson.owners[chosen]
            pictures[COLOURED:, :3] = drained(pictures[COLOURED:, :3], generator)
            losses = [
                F.cross_entropy(scores[part], label[owners[part]], weight, label_smoothing=SMOOTHING, reduction="sum")
                for part, scores, label, weight in zip(parts, reader(pictures), labels, weights, strict=True)
            ]
            optimizer.zero_grad()
            (torch.stack(losses).sum() / BATCH).backward()
            optimizer.step()
            schedule.step()
    return reader.eval().requires_grad_(False)


def value_weights(labels: Tensor, values: int) -> Tensor:
    """A weight [K] of each of an attribute's values, 1 in the mean over labels [N]; one that four times as many have
    weighs half as much."""
    counts = labels[labels != HIDDEN].bincount(minlength=values)
    weights = counts.clamp(min=1).rsqrt()
    return weights * counts.sum() / (weights * counts).sum()


def varied(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Straight RGBA [B, SIDE, SIDE, 4], and what is where [B, SIDE, SIDE], as pictures and materials [B, 3 + L, SIDE,
    SIDE] that show the same, by chance otherwise.

    Half are mirrored, half have a white ground and the others a grey of their own, each is moved, turned and scaled a
    little; in half of the draws the batch is softened.
    """

    def chance(count: int) -> Tensor:
        return torch.rand(count, generator=generator)

    count = len(images)
    ground = torch.where(chance(count) < 0.5, 1.0, chance(count))
    pictures = channels_first(over(images, ground[:, None, None, None]))
    angle, scale = TURN * (2 * chance(count) - 1), 1 + STRETCH * (2 * chance(count) - 1)
    mirrored = torch.where(chance(count) < 0.5, -1.0, 1.0)
    across, down = scale * angle.cos(), scale * angle.sin()
    shift = SHIFT * (2 * torch.rand(count, 2, generator=generator) - 1)
    moved = torch.stack([mirrored * across, -down, shift[:, 0], mirrored * down, across, shift[:, 1]], dim=1)
    grid = F.affine_grid(moved.reshape(count, 2, 3), list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    moved_labels = F.grid_sample(labels[:, None], grid, mode="nearest", padding_mode="border", align_corners=False)
    pictures = torch.cat([pictures, one_hot(moved_labels[:, 0])], dim=1)
    if chance(1) < 0.5:
        side = int(torch.randint(SOFTEST, SEEN, (), generator=generator))
        small = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
        pictures = F.interpolate(small, (SIDE, SIDE), mode="bilinear")
    return pictures


def drained(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures [B, 3, H, W] in grey, each with its own weights of the channels and its own gamma."""
    weights = (2 * torch.randn(len(pictures), 3, 1, 1, generator=generator)).softmax(dim=1)
    gamma = (0.5 * torch.randn(len(pictures), 1, 1, 1, generator=generator)).exp()
    return (pictures * weights).sum(dim=1, keepdim=True).clamp(1e-3, 1).pow(gamma).expand_as(pictures)


def channels_first(pictures: Tensor) -> Tensor:
    """[B, H, W, 3] -> [B, 3, H, W]"""
    return pictures.permute(0, 3, 1, 2)
