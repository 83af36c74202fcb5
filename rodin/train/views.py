"""The views that the encoder learns from: of each subject those from the front half, with their captions.

Symbols: N subjects, M views of all of them, S side of the images in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.data.captures import FRONT_HALF_DEG, front_views, load_subject
from rodin.data.subject_folders import list_subjects
from rodin.data.worlds import Placement
from rodin.draws import Draws
from rodin.images import to_bytes

SIZE_NAME = "encoder.network.image_size of the preset (rodin preset prints one to edit)"


@dataclass(frozen=True)
class Views:
    """The front views of many subjects.

    Args:
        images: [M, S, S, 4] uint8 straight RGBA; the views of a subject lie together, its frontal view first.
        first: [N] where each subject's views begin.
        chances: [N, most views of a subject, at least 2] of being drawn; 0 where a subject has fewer views.
        caption: N texts, "" where a subject has none.
        captions: N tuples of paraphrases, empty where a subject has none.
    """

    images: Tensor
    first: Tensor
    chances: Tensor
    caption: list[str]
    captions: list[tuple[str, ...]]

    def of(self, subject: int) -> Tensor:
        """[V, S, S, 4] uint8 views of one subject, the frontal one first."""
        begin = int(self.first[subject])
        return self.images[begin : begin + int((self.chances[subject] > 0).sum())]


def load_views(data: Path, size: int, placed: Mapping[str, Placement] | None = None) -> Views:
    """Read the front views of all subjects.

    Args:
        placed: how subjects get into the unit box, by name, where it is not as their files say.

    Raises:
        UserError: a subject cannot be read.
    """
    images, chances, caption, captions = [], [], [], []
    for folder in list_subjects(data):
        subject = load_subject(folder, size, placed=(placed or {}).get(folder.resolve().name), size_name=SIZE_NAME)
        front = front_views(subject.camera, subject.frontal)
        images.append(to_bytes(subject.images[front]))
        cosine = subject.camera.azimuth_deg[front].deg2rad().cos()
        chances.append(cosine.clamp_min(math.cos(math.radians(FRONT_HALF_DEG))))  # the frontal one may lie elsewhere
        caption.append(subject.caption)
        captions.append(subject.captions)
    counts = torch.tensor([len(one) for one in images])
    most = max(2, int(counts.max()))
    table = torch.stack([F.pad(one, (0, most - len(one))) for one in chances])
    return Views(torch.cat(images), counts.cumsum(0) - counts, table, caption, captions=captions)


def draw_two(chances: Tensor, draws: Draws) -> Tensor:
    """Two columns of each row [B, 2] by their chances [B, V], different ones unless a row has only one above 0.

    The two largest of log(chance) + Gumbel noise are a weighted draw without replacement.
    """
    uniform = draws.rand(chances.shape[1]).clamp(1e-7, 1 - 1e-7)
    keys = chances.log() - (-uniform.log()).log()
    best, index = keys.topk(2, dim=1)
    index[:, 1] = torch.where(best[:, 1].isinf(), index[:, 0], index[:, 1])
    return index
