"""An avatar as a data set for other radiance fields: the folder layout of NeRF-synthetic.

    transforms_train.json, transforms_val.json, transforms_test.json    camera_angle_x, and the frames of each split
    train/r_000.png, val/r_000.png, test/r_000.png                      straight sRGB with alpha
    train/r_000.materials.png                                           of an avatar with materials: `rodin.data.maps`

A frame's `file_path` has no suffix, as the readers of this layout expect: some add ".png" to whatever stands there.
Beyond the material maps there are no keys of our own: `up` and `aabb` mean other things to other readers. The world is
Rodin's: +y up, the avatar looks along +z. Readers that sample rays between the depths 2 and 6, as many do for this
layout, see the whole box: it lies between 2.2 and 5.8.

Symbols: V views.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.camera import Camera, orbit
from rodin.errors import UserError
from rodin.files import atomic_path, write_json
from rodin.framing import ELEVATION_DEG
from rodin.images import write_picture
from rodin.materials import MATERIALS
from rodin.render.renderer import SAMPLES

SPLITS = ("train", "val", "test")
OTHERS = 5  # training views for each view of the other two splits
RADIUS = 4.0
FOV_DEG = 35.0  # leaves the tenth part of the picture around what an avatar may fill
LOWEST_DEG, HIGHEST_DEG = -20.0, 50.0

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def write_nerf_dataset(folder: Path, avatar: Avatar, views: int, size: int) -> dict[str, int]:
    """Render an avatar from all around into a new folder, whole or not at all.

    Args:
        views: training views, the first one frontal; the other splits have a fifth as many each, from other places.
        size: edge of a view in pixels.

    Returns:
        the number of views of each split.

    Raises:
        UserError: the folder holds something already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already, and nothing is overwritten; choose a new or empty folder")
    counts = {"train": views, "val": max(1, views // OTHERS), "test": max(1, views // OTHERS)}
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        for split, count in counts.items():
            camera = cameras_of(split, count, size)
            frames = []
            for view in range(count):
                name = f"{split}/r_{view:03d}"
                seen = avatar.renderer.render(camera[view], SAMPLES)
                write_picture(scratch / f"{name}.png", seen.image)
                frame = {"file_path": f"./{name}", "transform_matrix": camera.cam_to_world[view].tolist()}
                if avatar.palette is not None:
                    write_picture(scratch / f"{name}.materials.png", _bands(seen.shares))
                    frame["materials_path"] = f"./{name}.materials.png"
                frames.append(frame)
            document: dict[str, Any] = {"camera_angle_x": math.radians(FOV_DEG), "frames": frames}
            if avatar.palette is not None:
                document["materials"] = list(MATERIALS)
            write_json(scratch / f"transforms_{split}.json", document)
    return counts


def cameras_of(split: str, count: int, size: int) -> Camera:
    """The cameras of one split, all around between `LOWEST_DEG` and `HIGHEST_DEG`; the first of `train` is frontal.

    Azimuths step by the golden section, heights evenly, so that the band is covered evenly. Splits begin a third of a
    step apart, so that none repeats a view of another.
    """
    start = SPLITS.index(split) / len(SPLITS)
    low, high = math.sin(math.radians(LOWEST_DEG)), math.sin(math.radians(HIGHEST_DEG))
    heights = [low + (high - low) * (view + (1 + start) / 2) / count for view in range(count)]
    elevations = [math.degrees(math.asin(height)) for height in heights]
    azimuths = [360.0 * (_GOLDEN * (view + start) % 1.0) for view in range(count)]
    if split == "train":
        azimuths[0], elevations[0] = 0.0, ELEVATION_DEG
    return orbit(azimuths, elevations, size=size, radius=RADIUS, fov_deg=FOV_DEG)


def _bands(shares: Tensor) -> Tensor:
    """Shares [H, W, K] of materials, one below the other: [K * H, W]."""
    return shares.permute(2, 0, 1).reshape(-1, shares.shape[1])
