"""Multi-view images with cameras, from a folder with `transforms.json`.

The format is NeRF-synthetic's with Rodin's extras (`frontal`, `caption`, `captions`, `attributes`, `aabb`, and the
material maps of `rodin.data.maps`), and nerfstudio's keys are understood, so that a user's own capture loads. What a
capture must satisfy: the avatar stands +y up, looks along +z and fills the unit box [-1, 1]^3, or the box that `aabb`
names, which is then moved and scaled onto the unit box. Lens distortion must have been removed. Images without an alpha
channel count as opaque everywhere (alpha = 1), background included: cut the subject out for a good fit.

Symbols: V views, H W rows and columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rodin.camera import Camera
from rodin.data.maps import load_map, material_names
from rodin.errors import UserError
from rodin.files import read_json
from rodin.images import area_average, area_resize, decode_image, open_image

TRANSFORMS_NAMES = ("transforms.json", "transforms_train.json")  # the second is NeRF-synthetic's own training split
IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG", ".tif", ".tiff", ".bmp")
RIGID_TOLERANCE = 1e-3
FRONT_HALF_DEG = 60.0  # azimuth to both sides within which a view shows the face
LARGEST_NUMBER = 1e12  # anything beyond is a mistake, and would not survive float32

_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "OPENCV", "RADIAL", "SIMPLE_RADIAL")


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


def list_subjects(data: Path) -> list[Path]:
    """The subject folders in `data`, sorted by name; `data` itself if it is a subject folder.

    Raises:
        UserError: no such folder, or no subject in it.
    """
    data = Path(data)
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; give the folder that holds the subjects")
    if _transforms_path(data) is not None:
        return [data]
    subjects = sorted(folder for folder in data.iterdir() if folder.is_dir() and _transforms_path(folder) is not None)
    if not subjects:
        raise UserError(f"{data}: neither it nor a folder in it has a {TRANSFORMS_NAMES[0]}; give a folder of subjects")
    return subjects


def split_views(count: int, held_out: int, *, frontal: int = 0) -> tuple[list[int], list[int]]:
    """Split `count` views into (train, test) indices: `held_out` test views evenly spread, never the frontal one.

    Raises:
        UserError: more views are to be held out than there are beside the frontal one.
    """
    others = [view for view in range(count) if view != frontal]
    if not 0 <= held_out <= len(others):
        raise UserError(f"held_out: {held_out} of {count} views cannot be held out; choose 0 to {len(others)}")
    test = [others[(2 * k + 1) * len(others) // (2 * held_out)] for k in range(held_out)]
    return [view for view in range(count) if view not in test], test


def front_views(camera: Camera, frontal: int) -> list[int]:
    """The frontal view, then the other views of the front half."""
    near = camera.azimuth_deg.abs() <= FRONT_HALF_DEG
    return [frontal] + [view for view in range(len(camera)) if near[view] and view != frontal]


def load_subject(folder: Path, size: int | None = None, *, maps: bool = False) -> MultiView:
    """Read and check one subject folder.

    Args:
        folder: holds `transforms.json` and the images that it names.
        size: average the images down to size x size pixels; images that are not square are squeezed, and the focal
            lengths with them, so that the geometry stays exact. None keeps the images as they are.
        maps: read the material maps too, where the capture has any.

    Raises:
        UserError: something in the folder is missing, malformed or not supported; the message names the file, the
            value and the remedy.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a folder with {TRANSFORMS_NAMES[0]} and its images")
    path = _transforms_path(folder)
    if path is None:
        raise UserError(f"{folder}: has no {TRANSFORMS_NAMES[0]}; write one beside the images")
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(document).__name__}")
    frames = _frames(document, path)
    names = material_names(document, path) if maps else []
    images, shares = _load_images(frames, document, folder, path, size=size, names=names)
    camera = _cameras(frames, document, path)
    if size is not None:
        camera = camera.resized(size, size)
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


def _transforms_path(folder: Path) -> Path | None:
    return next((folder / name for name in TRANSFORMS_NAMES if (folder / name).is_file()), None)


# ---- images


def _load_images(
    frames: list[dict[str, Any]],
    document: dict[str, Any],
    folder: Path,
    transforms: Path,
    *,
    size: int | None,
    names: list[str],
) -> tuple[Tensor, Tensor | None]:
    """Images [V, H, W, 4] and, of the materials with `names`, shares [V, H, W, K].

    Writes the images' size into every frame's "w" and "h", against which the files were checked.
    """
    if size is not None and size < 1:
        raise UserError(f"size: {size} pixels; choose at least 1")
    images, shares = [], []
    first: tuple[int, int] | None = None
    for index, frame in enumerate(frames):
        path = _image_path(frame, folder, f"{transforms}: frame {index}")
        with open_image(path) as image:
            found = (image.width, image.height)
            declared = tuple(
                _number(frame, document, key, transforms, index=index) or found[i] for i, key in enumerate("wh")
            )
            if declared != found:
                raise UserError(
                    f"{path}: is {found[0]} x {found[1]} pixels, {transforms.name} says {declared[0]:g} x "
                    f"{declared[1]:g}; mend w and h there or the image"
                )
            first = first or found
            if found != first:
                raise UserError(
                    f"{path}: is {found[0]} x {found[1]} pixels, the first image {first[0]} x {first[1]}; "
                    "give all images of a subject one size"
                )
            if size is not None and size > min(found):
                raise UserError(f"{path}: is {found[0]} x {found[1]} pixels; ask for size {min(found)} or less")
            pixels = decode_image(image, path)
        frame["w"], frame["h"] = found
        images.append(pixels if size is None else area_resize(pixels, size, size))
        if names:
            share = load_map(frame, folder, f"{transforms}: frame {index}", names=names, alpha=pixels[..., 3])
            shares.append(share if size is None else area_average(share, size, size))
    return torch.stack(images), torch.stack(shares) if shares else None


def _image_path(frame: dict[str, Any], folder: Path, where: str) -> Path:
    name = frame.get("file_path")
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"{where}: file_path is {_shown(name)}; name an image file relative to the folder")
    path = folder / name
    if path.is_file():
        return path
    for suffix in IMAGE_SUFFIXES:  # NeRF-synthetic leaves the suffix out
        candidate = path.parent / (path.name + suffix)
        if candidate.is_file():
            return candidate
    return path


# ---- cameras


def _frames(document: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    frames = document.get("frames")
    if not isinstance(frames, list) or not frames:
        raise UserError(f"{path}: frames is {'empty' if frames == [] else 'no list'}; name at least one view")
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise UserError(f"{path}: frame {index} is no JSON object; give file_path and transform_matrix")
    model = document.get("camera_model", "PINHOLE")
    if model not in _PINHOLE_MODELS or document.get("is_fisheye"):
        raise UserError(f"{path}: camera_model {_shown(model)} is not supported; convert the images to pinhole cameras")
    for index, frame in enumerate(frames):
        for key in _DISTORTION_KEYS:
            value = _number(frame, document, key, path, index=index)
            if value:
                raise UserError(f"{path}: lens distortion {key} = {value:g} is not supported; undistort the images")
    return [dict(frame) for frame in frames]


def _cameras(frames: list[dict[str, Any]], document: dict[str, Any], path: Path) -> Camera:
    """The cameras in the world of the unit box. Every frame has "w" and "h" by now."""
    shift, scale = _unit_box(document, path)
    matrices, focals, centres = [], [], []
    for index, frame in enumerate(frames):
        matrix = _rigid(frame.get("transform_matrix"), f"{path}: frame {index}")
        matrix[:3, 3] = (matrix[:3, 3] - shift) * scale
        matrices.append(matrix)
        focals.append(_focal(frame, document, path, index))
        centre = [_number(frame, document, key, path, index=index) for key in ("cx", "cy")]
        centres.append([frame[side] / 2 if c is None else c for c, side in zip(centre, "wh", strict=True)])
    return Camera(
        torch.from_numpy(np.stack(matrices)).float(),
        torch.tensor(focals, dtype=torch.float32),
        torch.tensor(centres, dtype=torch.float32),
        frames[0]["w"],
        height=frames[0]["h"],
    )


def _focal(frame: dict[str, Any], document: dict[str, Any], path: Path, index: int) -> tuple[float, float]:
    """Focal lengths (x, y) in pixels; a frame's own keys win over the document's, fl_x over camera_angle_x."""
    for level in (frame, document):
        found: list[float | None] = []
        for key, angle_key, side in (("fl_x", "camera_angle_x", "w"), ("fl_y", "camera_angle_y", "h")):
            value = _number(level, {}, key, path, index=index)
            angle = _number(level, {}, angle_key, path, index=index)
            if value is not None and value <= 0:
                raise UserError(f"{path}: {key} is {value:g}; give a focal length in pixels above 0")
            if value is None and angle is not None:
                if 0 < angle < math.pi:
                    value = 0.5 * frame[side] / math.tan(angle / 2)
                if value is None or not value < LARGEST_NUMBER:
                    raise UserError(f"{path}: {angle_key} is {angle:g}; give a field of view in radians, 0 to pi")
            found.append(value)
        if found[0] is not None:
            return found[0], found[0] if found[1] is None else found[1]
    raise UserError(f"{path}: frame {index} has no focal length; give fl_x (pixels) or camera_angle_x (radians)")


def _number(frame: dict[str, Any], document: dict[str, Any], key: str, path: Path, index: int) -> float | None:
    """The finite number `key` of the frame, else of the document, else None."""
    value = frame.get(key, document.get(key))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST_NUMBER:
        raise UserError(f"{path}: {key} of frame {index} is {_shown(value)}; give a number")
    return value


def _matrix(value: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """`value` as a float64 array, or None if it is no list of finite numbers of that shape."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.shape == shape and (np.abs(array) < LARGEST_NUMBER).all() else None


def _first_not_finite(value: Any) -> Any:
    """The number in a matrix that is none or too large: what a user has to look for; else all of `value`."""
    rows = value if isinstance(value, list) else []
    numbers = [number for row in rows if isinstance(row, list) for number in row]
    strange = [n for n in numbers if not isinstance(n, (int, float)) or not abs(n) < LARGEST_NUMBER]
    return strange[0] if strange else value


def _rigid(value: Any, where: str) -> np.ndarray:
    matrix = _matrix(value, (4, 4))
    if matrix is None:
        found = _shown(_first_not_finite(value))
        raise UserError(
            f"{where}: transform_matrix is no 4 x 4 matrix of finite numbers (it is, or holds, {found}); "
            "give camera to world"
        )
    rotation = matrix[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > RIGID_TOLERANCE or np.linalg.det(rotation) < 0:
        found = "a mirror image" if error <= RIGID_TOLERANCE else f"not orthonormal (off by {error:.2g})"
        raise UserError(f"{where}: the rotation in transform_matrix is {found}; give a rotation without scale or flip")
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > RIGID_TOLERANCE:
        raise UserError(f"{where}: the last row of transform_matrix is {matrix[3].tolist()}; it must be 0 0 0 1")
    return matrix


def _unit_box(document: dict[str, Any], path: Path) -> tuple[np.ndarray, float]:
    """What maps the document's `aabb` ([[min x, y, z], [max x, y, z]]) into the unit box: (p - shift) * scale."""
    if document.get("aabb") is None:
        return np.zeros(3), 1.0
    box = _matrix(document["aabb"], (2, 3))
    if box is None or (box[1] - box[0] < 1 / LARGEST_NUMBER).any():
        raise UserError(
            f"{path}: aabb is {_shown(document['aabb'])}; give [[min x, y, z], [max x, y, z]] with min < max"
        )
    return (box[0] + box[1]) / 2, 2.0 / float((box[1] - box[0]).max())


# ---- extras


def _frontal(document: dict[str, Any], camera: Camera, path: Path) -> int:
    """The named frontal view; unnamed, the one whose camera is nearest to the +z axis, where the avatar looks."""
    value = document.get("frontal")
    if value is None:
        return int(torch.nn.functional.normalize(camera.position, dim=-1)[:, 2].argmax())
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(camera):
        raise UserError(f"{path}: frontal is {_shown(value)}; give the index of a frame, 0 to {len(camera) - 1}")
    return value


def _captions(document: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    """The caption and its paraphrases; each stands in for the other where only one of the two keys is given."""
    caption = "" if document.get("caption") is None else document["caption"]
    if not isinstance(caption, str):
        raise UserError(f"{path}: caption is {_shown(caption)}; give text")
    captions = [] if document.get("captions") is None else document["captions"]
    if not isinstance(captions, list):
        raise UserError(f"{path}: captions is {_shown(captions)}; give a list of texts")
    for text in captions:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{path}: captions holds {_shown(text)}; give texts that are not empty")
    given = [text for text in (caption, *captions) if text.strip()]
    return (given[0] if given else ""), tuple(captions or given)


def _attributes(document: dict[str, Any], path: Path) -> dict[str, Any]:
    value = {} if document.get("attributes") is None else document["attributes"]
    if not isinstance(value, dict):
        raise UserError(f"{path}: attributes is {type(value).__name__}; give a JSON object")
    return value


def _shown(value: Any) -> str:
    """A value as an error names it: on one line, and not all of a long one."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
