"""Drawing and rendering what an evaluation looks at, with progress bars.

Symbols: N avatars, V views of each, S side of the images in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.avatar import Avatar
from rodin.camera import Camera
from rodin.pipeline import RodinPipeline

AT_ONCE = 8  # avatars between two steps of the progress bar


@dataclass(frozen=True)
class Variant:
    """A model and how it is drawn from: one row of a report's tables.

    Args:
        label: names the row.
        pipe: the model.
        guidance_scale: 1 = no guidance.
        steps: of the base model's sampler.
    """

    label: str
    pipe: RodinPipeline
    guidance_scale: float
    steps: int

    def draw(self, count: int, seed: int) -> list[Avatar]:
        """Avatars from nothing; avatar k has seed + k."""
        avatars: list[Avatar] = []
        with tqdm(total=count, desc=f"{self.label}: drawing", unit="avatar", leave=False) as bar:
            while len(avatars) < count:
                part = min(AT_ONCE, count - len(avatars))
                avatars += self.pipe(
                    count=part,
                    seed=seed + len(avatars),
                    guidance_scale=self.guidance_scale,
                    num_inference_steps=self.steps,
                )
                bar.update(part)
        return avatars

    def draw_captions(self, captions: Sequence[str], seed: int) -> list[Avatar]:
        """An avatar of each caption, all with the same seed."""
        return [
            self.pipe(prompt=caption, seed=seed, guidance_scale=self.guidance_scale, num_inference_steps=self.steps)[0]
            for caption in tqdm(captions, desc=f"{self.label}: captions", unit="avatar", leave=False)
        ]

    def invert(self, photos: Tensor, seed: int, refine: int) -> list[Avatar]:
        """An avatar of each portrait [N, S, S, 4], all with the same seed; `refine` steps follow the encoder's."""
        return [
            self.pipe(
                image=photo,
                seed=seed,
                guidance_scale=self.guidance_scale,
                num_inference_steps=self.steps,
                refine=refine,
            )[0]
            for photo in tqdm(photos, desc=f"{self.label}: portraits", unit="avatar", leave=False)
        ]


def render_all(avatars: Sequence[Avatar], cameras: Sequence[Camera], refine: bool = False) -> Tensor:
    """Pictures [N, V, S, S, 4] of avatars, each from its own V cameras; with fewer cameras than avatars, those of the
    first are used again."""
    pairs = [(avatar, cameras[k % len(cameras)]) for k, avatar in enumerate(avatars)]
    bar = tqdm(pairs, desc="rendering", unit="avatar", leave=False)
    return torch.stack([avatar.render(camera, refine=refine) for avatar, camera in bar])
