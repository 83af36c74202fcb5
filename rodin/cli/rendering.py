"""What `rodin render` does: pictures of an avatar, of its planes, and data sets of views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from rodin.avatars.avatar import Avatar
from rodin.avatars.contact_sheet import grid
from rodin.avatars.material_map import MAP_COLOURS
from rodin.avatars.nerf_dataset import write_nerf_dataset
from rodin.avatars.video import WHITE, Colour, check_video, write_video
from rodin.camera import around, camera_at
from rodin.cli.gallery import FRAMES_PER_SECOND
from rodin.errors import UserError, named
from rodin.images import over, parse_colour, write_picture


def render(
    avatar: Path,
    out: Path,
    *,
    size: int,
    pose: tuple[float, float],
    turntable: int,
    sheet: int,
    background: str | None,
    refine: bool,
    materials: bool,
) -> None:
    """A picture from a pose (azimuth and elevation in degrees), or of views all around from there a video
    (`turntable`) or one picture (`sheet`); of the avatar, or of what it is made of.

    Args:
        background: a CSS colour, or transparent; None leaves pictures transparent, and lays videos and maps of
            materials on white.
    """
    if turntable and sheet:
        raise UserError("--turntable, --sheet: the one is a video, the other a picture; leave out one")
    if materials and refine:
        raise UserError("--materials, --refine: the refiner draws colours, it knows of no materials; leave out one")
    if size < 1 or turntable < 0 or sheet < 0:
        counts = f"--sheet {sheet}" if sheet else f"--turntable {turntable}"
        raise UserError(f"--size {size}, {counts}: choose a size of 1 or more and 0 or more views")
    azimuth, elevation = pose
    if not (math.isfinite(azimuth) and math.isfinite(elevation)):
        raise UserError(f"--azimuth {azimuth}, --elevation {elevation}: choose angles in degrees")
    behind = WHITE if background is None and (turntable or materials) else _background(background)
    if turntable:
        check_video(out, behind)
    loaded = Avatar.load(avatar)
    views = turntable or sheet
    camera = (
        around(views, elevation, size=size, azimuth_deg=azimuth) if views else camera_at(azimuth, elevation, size=size)
    )
    if materials:
        with named(avatar):
            seen = loaded.material_map(camera)
        print(", ".join(f"{name} {colour}" for name, colour in MAP_COLOURS.items()))
    else:
        seen = loaded.render(camera, refine=refine)
    if turntable:
        write_video(out, seen, FRAMES_PER_SECOND, behind)
    else:
        picture = grid(seen) if sheet else seen
        write_picture(out, picture if behind is None else over(picture, torch.tensor(behind)))
    print(out)


def _background(text: str | None) -> Colour | None:
    """The colour that a flag names; None is transparent."""
    if text is None or text.strip().lower() == "transparent":
        return None
    try:
        return parse_colour(text)
    except UserError as error:
        raise UserError(f"--background: {error}, or transparent") from error


def write_dataset(avatar: Path, folder: Path, *, size: int, views: int, others: Sequence[str]) -> None:
    """A folder of views of the avatar, in the layout of NeRF-synthetic.

    Args:
        others: flags that were given beside --dataset.
    """
    if others:
        raise UserError(
            f"{', '.join(others)}: a data set has its own cameras, and views as they are, with alpha; leave it out"
        )
    if size < 1 or views < 1:
        raise UserError(f"--size {size}, --views {views}: choose a size of 1 or more and 1 or more views")
    counts = write_nerf_dataset(folder, Avatar.load(avatar), views, size)
    print(f"{', '.join(f'{count} views in {split}' for split, count in counts.items())}: {folder}")


def show_planes(avatar: Path, out: Path, others: Sequence[str]) -> None:
    """A picture of the avatar's planes.

    Args:
        others: flags that were given beside --planes.
    """
    if others:
        raise UserError(
            f"{', '.join(others)}: planes are shown whole, at their own size, by --planes alone; leave out the others"
        )
    write_picture(out, Avatar.load(avatar).plane_picture())
    print(out)
