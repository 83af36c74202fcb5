"""One subject on disk: `NNNNN/000.webp`, `NNNNN/000.materials.webp`, ... and, last of all, `NNNNN/transforms.json`.

The format is NeRF-synthetic with extras: caption, captions, words (their version), attributes, materials, frontal,
aabb, seed, index and generator. Frames are straight (not premultiplied) sRGB RGBA. A folder without transforms.json is
unfinished.

A frame's material map is a lossless grey image of as many bands as `materials` names, one below the other: each the
share of the pixel that a material covers, in bytes. A pixel's shares add up to its alpha.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rodin.checksums import finish
from rodin.files import atomic_path
from rodin.materials import MATERIALS
from rodin.storage import Place
from rodin.synth.body.geometry import Array
from rodin.synth.cameras import BORDER, FOV, focal_length
from rodin.synth.recipe import VERSION, AvatarRecipe
from rodin.synth.words import WORDS_VERSION
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import paraphrases

FINISHED_NAME = "transforms.json"
QUALITY = 90


def folder_name(index: int) -> str:
    """The name of a subject's folder in a set."""
    return f"{index:05d}"


def is_finished(folder: Place) -> bool:
    """Whether the subject in `folder` was written to its end."""
    return (folder / FINISHED_NAME).is_file()


def frame_name(view: int) -> str:
    """File name of a view's image."""
    return f"{view:03d}.webp"


def map_name(view: int) -> str:
    """File name of a view's material map."""
    return f"{view:03d}.materials.webp"


def has_view(folder: Path, view: int) -> bool:
    """Whether a view and its material map were written."""
    return (folder / frame_name(view)).is_file() and (folder / map_name(view)).is_file()


def touches_border(alpha: Array) -> bool:
    """Whether anything shows in the outermost `BORDER` pixels of an alpha image [H, W]."""
    return bool(alpha[:BORDER].any() or alpha[-BORDER:].any() or alpha[:, :BORDER].any() or alpha[:, -BORDER:].any())


def save_frame(pixels: Array, path: Path) -> None:
    """Write straight RGBA pixels [H, W, 4] uint8 as WebP: colour at high quality, alpha exact.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, "WEBP", quality=QUALITY, alpha_quality=100, method=4, exact=False)


def save_map(shares: Array, path: Path) -> None:
    """Write the shares [H, W, K] uint8 of a view's materials.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    bands = shares.transpose(2, 0, 1).reshape(-1, shares.shape[1])
    with atomic_path(path) as temporary:
        Image.fromarray(bands).save(temporary, "WEBP", lossless=True, method=4)


def words_of(recipe: AvatarRecipe) -> dict[str, object]:
    """What transforms.json says of the avatar in words, and their version."""
    return {"caption": make_caption(recipe), "captions": paraphrases(recipe), "words": WORDS_VERSION}


def write_transforms(folder: Path, recipe: AvatarRecipe, poses: Array, size: int) -> None:
    """Write transforms.json, which finishes the subject."""
    focal = focal_length(size)
    frames = [
        {
            "file_path": frame_name(view),
            "materials_path": map_name(view),
            "transform_matrix": np.round(pose, 7).tolist(),
        }
        for view, pose in enumerate(poses)
    ]
    finish(
        folder,
        FINISHED_NAME,
        {
            "camera_angle_x": FOV,
            "fl_x": focal,
            "fl_y": focal,
            "cx": size / 2,
            "cy": size / 2,
            "w": size,
            "h": size,
            "aabb": [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]],
            "frontal": 0,
            "materials": list(MATERIALS),
            **words_of(recipe),
            "attributes": recipe.attributes(),
            "seed": recipe.seed,
            "index": recipe.index,
            "generator": f"rodin-synth {VERSION}",
            "frames": frames,
        },
    )
