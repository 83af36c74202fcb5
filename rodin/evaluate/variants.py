"""Drawing and rendering what an evaluation looks at, with progress bars.

Avatars are drawn one after another as they are looked at: hundreds of them together would not fit into memory.

Symbols: N avatars, V views of each, S side of the images in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.avatars.avatar import Avatar
from rodin.avatars.drawer import BATCH
from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.camera import Camera
from rodin.images import area_resize, from_bytes, to_bytes


@dataclass(frozen=True)
class Variant:
    """A model and how it is drawn from: one row of a report's tables.

    Args:
        label: names the row.
        pipe: the model.
        sampling: of its networks.
    """

    label: str
    pipe: RodinPipeline
    sampling: Sampling

    def draw(self, count: int, seed: int) -> Iterator[Avatar]:
        """Avatars from nothing; avatar k has seed + k."""
        with tqdm(total=count, desc=f"{self.label}: drawing", unit="avatar", leave=False) as bar:
            for first in range(0, count, BATCH):
                part = self.pipe(
                    count=min(BATCH, count - first),
                    seed=seed + first,
                    sampling=self.sampling,
                )
                bar.update(len(part))
                yield from part

    def draw_prompts(self, texts: Sequence[str], seed: int) -> Iterator[Avatar | None]:
        """An avatar of each text, or None where it has no word that the model knows; avatar k has seed + k."""
        for k, text in enumerate(tqdm(texts, desc=f"{self.label}: prompts", unit="avatar", leave=False)):
            if not self.pipe.knows(text):
                yield None
                continue
            yield self.pipe(
                prompt=text,
                seed=seed + k,
                sampling=self.sampling,
            )[0]

    def invert(self, photos: Tensor, seed: int, refine: int) -> Iterator[Avatar]:
        """An avatar of each portrait [N, S, S, 4], all with the same seed; `refine` steps follow the encoder's."""
        for photo in tqdm(photos, desc=f"{self.label}: portraits, {refine} steps", unit="avatar", leave=False):
            yield self.pipe(
                image=photo,
                seed=seed,
                sampling=self.sampling,
                refine=refine,
            )[0]


def render_all(avatars: Iterable[Avatar], cameras: Sequence[Camera], refine: bool = False) -> Tensor:
    """Pictures [N, V, S, S, 4] of avatars, each from its own V cameras; with fewer cameras than avatars, those of the
    first are used again."""
    return torch.stack([avatar.render(cameras[k % len(cameras)], refine=refine) for k, avatar in enumerate(avatars)])


def render_refined(avatars: Iterable[Avatar], cameras: Sequence[Camera]) -> Tensor:
    """Refined pictures [N, V, s S, s S, 4] uint8 of avatars, by cameras of S pixels, which are used as of `render_all`.

    The refiner reads renders of S pixels, as it did in training where S is the training's size, and makes them `s`
    times as large.
    """
    large = []
    for k, avatar in enumerate(avatars):
        camera, scale = cameras[k % len(cameras)], avatar.refiner.config.scale
        large.append(to_bytes(avatar.render(camera.resized(scale * camera.width, scale * camera.height), refine=True)))
    return torch.stack(large)


def reduced(large: Tensor, size: int) -> Tensor:
    """Pictures [N, V, s S, s S, 4] uint8 at the size S that others are compared at, [N, V, S, S, 4] in [0, 1]."""
    return torch.stack([area_resize(from_bytes(views), size, size) for views in large])
