"""Multi-view images with cameras, from a folder with `transforms.json`.

The format is NeRF-synthetic's with Rodin's extras (`frontal`, `caption`, `captions`, `attributes`, `aabb`, `up`, and
the material maps of `rodin.data.maps`), and nerfstudio's keys are understood, so that a user's own capture loads. What
a capture must satisfy: the avatar stands +y up, looks along +z and fills the unit box [-1, 1]^3; `rodin.data.worlds`
turns, moves and scales others there. Lens distortion must have been removed. Images without an alpha channel and
without a mask (`rodin.data.masks`) count as opaque everywhere (alpha = 1), background included.

Symbols: V views, H W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rodin.camera import Camera
from rodin.data.cameras import cameras, frames_of, number, poses
from rodin.data.maps import load_map, material_names
from rodin.data.masks import load_mask
from rodin.data.named_files import named_file
from rodin.data.silhouettes import silhouette_box
from rodin.data.subject_folders import TRANSFORMS_NAMES, transforms_name
from rodin.data.worlds import Placement, Up, placement
from rodin.errors import UserError, shown
from rodin.files import read_json
from rodin.images import area_average, area_resize, decode_image, open_image

LOOKED_AT = 96  # pixels of the silhouettes that tell where a subject is
MOST_PIXELS = 2**25  # of a view: about 5800 x 5800, at which decoding takes a GB
MOST_FRAMES = 10_000
MOST_KEPT = 2**28  # pixels of all views of a subject, at 16 bytes each
FRONT_HALF_DEG = 60.0  # azimuth to both sides within which a view shows the face


@dataclass(frozen=True)
class MultiView:
    """One subject seen from all around.

    Args:
        name: subject id, the folder's name.
        folder: where it was read from.
        images: [V, H, W, 4] straight sRGB and alpha in [0, 1].
        shares: [V, H, W, K] of `rodin.materials.MATERIALS` in every pixel, adding up to alpha; None where the capture
            has no material maps, or they were not asked for.
        camera: batch of V cameras with images of W x H pixels, in the world of the unit box.
        caption: what the subject looks like; the first of `captions` where the file has no other, "" where it has none.
        captions: the same in other words and perhaps fewer; (caption,) where the file has none, () without a caption.
        attributes: what the maker of the subject recorded about it.
        frontal: index of the view that looks the avatar in the face.
    """

    name: str
    folder: Path
    images: Tensor
    shares: Tensor | None
    camera: Camera
    caption: str
    captions: tuple[str, ...]
    attributes: dict[str, Any]
    frontal: int


def split_views(count: int, held_out: int, *, frontal: int = 0) -> tuple[list[int], list[int]]:
    """Split `count` views into (train, test) indices: `held_out` test views evenly spread, never the frontal one.

    Raises:
        UserError: more views are to be held out than there are beside the frontal one.
    """
    others = [view for view in range(count) if view != frontal]
    if not 0 <= held_out <= len(others):
        raise UserError(
            f"{held_out} of {count} views cannot be held out (fitting.planes.held_out of the preset); "
            f"take more pictures, or change it to {len(others)} or less: rodin preset prints one to edit"
        )
    test = [others[(2 * k + 1) * len(others) // (2 * held_out)] for k in range(held_out)]
    return [view for view in range(count) if view not in test], test


def front_views(camera: Camera, frontal: int) -> list[int]:
    """The frontal view, then the other views of the front half."""
    near = camera.azimuth_deg.abs() <= FRONT_HALF_DEG
    return [frontal] + [view for view in range(len(camera)) if near[view] and view != frontal]


def has_maps(folder: Path) -> bool:
    """Whether a subject's folder has material maps.

    Raises:
        UserError: its file cannot be read.
    """
    return bool(material_names(*_read_document(Path(folder))))


def load_subject(
    folder: Path,
    size: int | None = None,
    *,
    maps: bool = False,
    placed: Placement | None = None,
    size_name: str = "size",
) -> MultiView:
    """Read and check one subject folder.

    Args:
        folder: holds `transforms.json` and the images that it names.
        size: average the images down to size x size pixels; images that are not square are squeezed, and the focal
            lengths with them, so that the geometry stays exact. None keeps the images as they are; of several sizes,
            all become as large as the smallest.
        maps: read the material maps too, where the capture has any.
        placed: how it gets into the unit box, whatever the file says; see `find_placement`.
        size_name: the flag or field that asks for `size`, for errors.

    Raises:
        UserError: something in the folder is missing, malformed or not supported; the message names the file, the
            value and the remedy.
    """
    folder = Path(folder)
    document, path = _read_document(folder)
    frames = frames_of(document, path)
    names = material_names(document, path) if maps else []
    images, shares = _load_images(frames, document, folder, path, size=size, names=names, size_name=size_name)
    found = poses(frames, path)
    placed = placed or placement(document, found, path)
    height, width = images.shape[1:3]
    camera = cameras(placed.of(found), frames, document, path, (width, height))
    caption, captions = _captions(document, path)
    return MultiView(
        name=folder.resolve().name,
        folder=folder,
        images=images,
        shares=shares,
        camera=camera,
        caption=caption,
        captions=captions,
        attributes=_attributes(document, path),
        frontal=_frontal(document, camera, path),
    )


def find_placement(folder: Path, up: Up | None, fill: bool) -> Placement:
    """How a subject gets into the unit box, +y up.

    Args:
        up: the axis that points up in its file's world; see `rodin.data.worlds.placement`.
        fill: let the box be the one around what its silhouettes hold, whatever the file says.

    Raises:
        UserError: the subject cannot be read, or its cameras or silhouettes do not tell.
    """
    document, path = _read_document(folder)
    found = placement(document, poses(frames_of(document, path), path), path, up)
    if not fill:
        return found
    subject = load_subject(folder, placed=found)
    side = min(LOOKED_AT, *subject.images.shape[1:3])
    try:
        low, high = silhouette_box(area_resize(subject.images, side, side), subject.camera.resized(side, side))
    except UserError as error:
        raise UserError(f"{folder}: --scale auto: {error}") from error
    return found.fitted_to(tuple(low.tolist()), tuple(high.tolist()))


def _read_document(folder: Path) -> tuple[dict[str, Any], Path]:
    """What `transforms.json` of a subject folder holds, and where it lies."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a folder with {TRANSFORMS_NAMES[0]} and its images")
    name = transforms_name(folder)
    if name is None:
        raise UserError(f"{folder}: has no {TRANSFORMS_NAMES[0]}; write one beside the images")
    path = folder / name
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document, path


# ---- images


def _load_images(
    frames: list[dict[str, Any]],
    document: dict[str, Any],
    folder: Path,
    transforms: Path,
    *,
    size: int | None,
    names: list[str],
    size_name: str,
) -> tuple[Tensor, Tensor | None]:
    """Images [V, H, W, 4] and, of the materials with `names`, shares [V, H, W, K].

    Writes the images' own sizes into every frame's "w" and "h", against which the files were checked.
    """
    if size is not None and size < 1:
        raise UserError(f"{size_name}: {size} pixels; choose at least 1")
    paths = _image_paths(frames, folder, transforms)
    images, shares = [], []
    for index, (frame, path) in enumerate(zip(frames, paths, strict=True)):
        where = f"{transforms}: frame {index}"
        with open_image(path, MOST_PIXELS) as image:
            found = (image.width, image.height)
            check_kept(len(frames), *(found if size is None else (size, size)), where=transforms)
            declared = tuple(
                number(frame, document, key, transforms, index=index) or found[i] for i, key in enumerate("wh")
            )
            if declared != found:
                raise UserError(
                    f"{path}: is {found[0]} x {found[1]} pixels, {transforms.name} says {declared[0]:g} x "
                    f"{declared[1]:g}; mend w and h there or the image"
                )
            if size is not None and size > min(found):
                raise UserError(
                    f"{path}: is {found[0]} x {found[1]} pixels, {size_name} is {size}; "
                    f"give larger images, or set it to {min(found)} or less"
                )
            pixels = decode_image(image, path)
        frame["w"], frame["h"] = found
        mask = load_mask(frame, document, folder, where, path, (found[1], found[0]))
        if mask is not None:
            pixels[..., 3] *= mask
        images.append(pixels if size is None else area_resize(pixels, size, size))
        if names:
            share = load_map(frame, folder, where, names=names, alpha=pixels[..., 3])
            shares.append(share if size is None else area_average(share, size, size))
    height, width = (min(image.shape[side] for image in images) for side in (0, 1))
    if any(image.shape[:2] != (height, width) for image in images):
        images = [area_resize(image, height, width) for image in images]
        shares = [area_average(share, height, width) for share in shares]
    return torch.stack(images), torch.stack(shares) if shares else None


def check_kept(frames: int, width: int, height: int, where: Path) -> None:
    """Raise UserError if so many views of a size would not fit into memory."""
    if frames > MOST_FRAMES:
        raise UserError(f"{where}: {frames} frames; name at most {MOST_FRAMES}")
    if frames * width * height > MOST_KEPT:
        raise UserError(
            f"{where}: {frames} frames of {width} x {height} pixels are too many for one subject; "
            "scale the images down, or name fewer"
        )


def _image_paths(frames: list[dict[str, Any]], folder: Path, transforms: Path) -> list[Path]:
    """The images of all frames. Two names of one image are a path that was read wrongly."""
    paths: list[Path] = []
    named: dict[Path, Any] = {}
    for index, frame in enumerate(frames):
        path = named_file(frame.get("file_path"), folder, f"{transforms}: frame {index}", "file_path")
        other = named.setdefault(path, frame["file_path"])
        if other != frame["file_path"]:
            raise UserError(
                f"{transforms}: file_path {shown(other)} and {shown(frame['file_path'])} both end in {path}; "
                "name each image by its own path in the folder"
            )
        paths.append(path)
    return paths


# ---- extras


def _frontal(document: dict[str, Any], camera: Camera, path: Path) -> int:
    """The named frontal view; unnamed, the one whose camera is nearest to the +z axis, where the avatar looks."""
    value = document.get("frontal")
    if value is None:
        return int(torch.nn.functional.normalize(camera.position, dim=-1)[:, 2].argmax())
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(camera):
        raise UserError(f"{path}: frontal is {shown(value)}; give the index of a frame, 0 to {len(camera) - 1}")
    return value


def _captions(document: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    """The caption and its paraphrases; each stands in for the other where only one of the two keys is given."""
    caption = "" if document.get("caption") is None else document["caption"]
    if not isinstance(caption, str):
        raise UserError(f"{path}: caption is {shown(caption)}; give text")
    captions = [] if document.get("captions") is None else document["captions"]
    if not isinstance(captions, list):
        raise UserError(f"{path}: captions is {shown(captions)}; give a list of texts")
    for text in captions:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{path}: captions holds {shown(text)}; give texts that are not empty")
    given = [text for text in (caption, *captions) if text.strip()]
    return (given[0] if given else ""), tuple(captions or given)


def _attributes(document: dict[str, Any], path: Path) -> dict[str, Any]:
    value = {} if document.get("attributes") is None else document["attributes"]
    if not isinstance(value, dict):
        raise UserError(f"{path}: attributes is {type(value).__name__}; give a JSON object")
    return value
