"""What is seen from behind, where no portrait shows anything: faces printed on the back of a head have been a fault.

The share of skin among all that views from behind show of somebody who has hair there: a neck and ears, no more. Read
off material maps, so that no colour has to be guessed at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.camera import Camera
from rodin.data.captures import load_subject
from rodin.materials import MATERIALS
from rodin.render.renderer import SAMPLES

BEHIND_DEG = 130.0  # azimuth to both sides beyond which a view is one from behind
BALD = ("bald",)  # of the attribute `hair`
SKIN = MATERIALS.index("skin")


@dataclass(frozen=True)
class Back:
    """A real subject from behind.

    Args:
        camera: batch of its views from behind.
        skin: share of skin in them.
    """

    camera: Camera
    skin: float


def load_backs(folders: list[Path], size: int) -> list[Back | None]:
    """Of each subject its back, or None: nobody is seen from behind, is bald, or there are no material maps.

    Raises:
        UserError: a subject cannot be read.
    """
    return [_load(folder, size) for folder in folders]


def skin_behind(avatars: Iterable[Avatar], backs: list[Back | None]) -> float:
    """Mean difference of the share of skin, avatars' minus those of the subjects that they are drawn for; NaN where
    nothing can be compared."""
    differences = [
        _share(avatar.renderer.render(back.camera, SAMPLES).shares) - back.skin
        for avatar, back in zip(avatars, backs, strict=False)
        if back is not None and avatar.palette is not None
    ]
    return fmean(differences) if differences else math.nan


def _load(folder: Path, size: int) -> Back | None:
    subject = load_subject(folder, size, maps=True, size_name="--image-size")
    chosen = (subject.camera.azimuth_deg.abs() > BEHIND_DEG).nonzero()[:, 0].tolist()
    if subject.shares is None or not chosen or subject.attributes.get("hair") in BALD:
        return None
    return Back(subject.camera[chosen], _share(subject.shares[chosen]))


def _share(shares: Tensor) -> float:
    """Of skin among materials [V, S, S, K], times alpha."""
    total = shares.sum().clamp_min(1e-9)
    return float(shares[..., SKIN].sum() / total)
