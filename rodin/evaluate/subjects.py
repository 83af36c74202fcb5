"""The real subjects that a model is held against: their pictures, cameras and words.

Symbols: N subjects, V views of each, S side of the images in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.camera import Camera
from rodin.data.captures import front_views, load_subject
from rodin.data.subject_folders import list_subjects
from rodin.errors import UserError
from rodin.evaluate.attribute_reader import labels_of


@dataclass(frozen=True)
class RealSet:
    """Some subjects.

    Args:
        folders: N subject folders.
        images: [N, V, S, S, 4] straight RGBA; the frontal view first, then the more oblique the later.
        cameras: N batches of V cameras, those of the images.
        captions: N texts, "" where there is none.
        attributes: N mappings.
        labels: [N, V, S, S] of `rodin.evaluate.attribute_reader.labels_of`; None if they were not asked for.
    """

    folders: list[Path]
    images: Tensor
    cameras: list[Camera]
    captions: list[str]
    attributes: list[dict[str, Any]]
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.folders)

    def first(self, count: int) -> RealSet:
        """The first subjects, all if there are fewer."""
        parts = (self.folders, self.images, self.cameras, self.captions, self.attributes, self.labels)
        return RealSet(*(None if part is None else part[:count] for part in parts))  # type: ignore[arg-type]

    @property
    def names(self) -> list[str]:
        """The subjects' names."""
        return [folder.name for folder in self.folders]

    @property
    def frontals(self) -> Tensor:
        """[N, S, S, 4] the frontal views."""
        return self.images[:, 0]


def load_real(data: Path, views: int, size: int, label: str, maps: bool = False) -> RealSet:
    """Read the subjects in `data`.

    Args:
        views: of each subject: the frontal one, and others spread evenly over the front half.
        label: for the progress bar.
        maps: read what each pixel shows too; all subjects need material maps then.

    Raises:
        UserError: a subject cannot be read, or has too few views.
    """
    folders = list_subjects(data)
    images, labels, cameras, captions, attributes = [], [], [], [], []
    for folder in tqdm(folders, desc=label, unit="subject", leave=False):
        subject = load_subject(folder, size, maps=maps, size_name="--image-size")
        frontal, *others = front_views(subject.camera, subject.frontal)
        if len(others) + 1 < views:
            there = f"{len(others) + 1} views in the front half"
            raise UserError(f"{folder}: {there}, {views} are needed; choose fewer --views")
        aside = subject.camera.azimuth_deg.abs().tolist()
        chosen = spread([frontal, *sorted(others, key=lambda view: aside[view])], views)
        images.append(subject.images[chosen])
        if maps:
            assert subject.shares is not None
            labels.append(labels_of(subject.shares[chosen]))
        cameras.append(subject.camera[chosen])
        captions.append(subject.caption)
        attributes.append(subject.attributes)
    told = torch.stack(labels) if maps else None
    return RealSet(folders, torch.stack(images), cameras, captions, attributes=attributes, labels=told)


def spread(items: list[int], count: int) -> list[int]:
    """`count` of the items, evenly spread from the first to the last; the first where only one is wanted."""
    return [items[round(k * (len(items) - 1) / max(1, count - 1))] for k in range(count)]
