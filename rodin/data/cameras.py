"""What the frames of a `transforms.json` say of their cameras: pinholes with rigid poses, in the file's own world.

A frame's own keys win over the document's. Distorted lenses and fisheyes are refused: their pictures have to be
undistorted first.

Symbols: V views.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rodin.camera import Camera
from rodin.errors import UserError, shown

RIGID_TOLERANCE = 1e-3
SHORTEST_FOCAL = 1e-3  # pixels: a lens that sees all but the half space
LARGEST_NUMBER = 1e12  # anything beyond is a mistake, and would not survive float32

_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "OPENCV", "RADIAL", "SIMPLE_RADIAL")


def frames_of(document: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The frames, copied, whose cameras are all pinholes.

    Raises:
        UserError: there is none, or one is malformed or of a camera that is no pinhole.
    """
    frames = document.get("frames")
    if not isinstance(frames, list) or not frames:
        raise UserError(f"{path}: frames is {'empty' if frames == [] else 'no list'}; name at least one view")
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise UserError(f"{path}: frame {index} is no JSON object; give file_path and transform_matrix")
        where = f"{path}: frame {index}"
        model = frame.get("camera_model", document.get("camera_model", "PINHOLE"))
        if model not in _PINHOLE_MODELS:
            raise UserError(f"{where}: camera_model {shown(model)} is not supported; {_undistort()}")
        if frame.get("is_fisheye", document.get("is_fisheye")):
            raise UserError(f"{where}: is_fisheye is set, fisheye lenses are not supported; {_undistort()}")
        for key in _DISTORTION_KEYS:
            value = number(frame, document, key, path, index=index)
            if value:
                raise UserError(f"{where}: lens distortion {key} = {value:g} is not supported; {_undistort()}")
    return [dict(frame) for frame in frames]


def _undistort() -> str:
    return "undistort the images to pinhole cameras (colmap image_undistorter does)"


def poses(frames: list[dict[str, Any]], path: Path) -> np.ndarray:
    """[V, 4, 4] float64, camera to the file's world.

    Raises:
        UserError: a frame has no rigid transform_matrix.
    """
    found = [_rigid(frame.get("transform_matrix"), f"{path}: frame {index}") for index, frame in enumerate(frames)]
    return np.stack(found)


def cameras(
    placed: np.ndarray, frames: list[dict[str, Any]], document: dict[str, Any], path: Path, size: tuple[int, int]
) -> Camera:
    """The cameras with poses [V, 4, 4], all with images of one size, width and height.

    Every frame has the size of its own picture as "w" and "h" by now; its lens is scaled from there.

    Raises:
        UserError: a frame has no focal length, or a number of it is none.
    """
    focals, centres = [], []
    for index, frame in enumerate(frames):
        scale = [new / frame[side] for new, side in zip(size, "wh", strict=True)]
        centre = [number(frame, document, key, path, index=index) for key in ("cx", "cy")]
        whole = [frame[side] / 2 if c is None else c for c, side in zip(centre, "wh", strict=True)]
        focals.append([f * s for f, s in zip(_focal(frame, document, path, index), scale, strict=True)])
        centres.append([c * s for c, s in zip(whole, scale, strict=True)])
    return Camera(
        torch.from_numpy(placed).float(),
        torch.tensor(focals, dtype=torch.float32),
        torch.tensor(centres, dtype=torch.float32),
        size[0],
        height=size[1],
    )


def _focal(frame: dict[str, Any], document: dict[str, Any], path: Path, index: int) -> tuple[float, float]:
    """Focal lengths (x, y) in pixels; a frame's own keys win over the document's, fl_x over camera_angle_x."""
    for level in (frame, document):
        found: list[float | None] = []
        for key, angle_key, side in (("fl_x", "camera_angle_x", "w"), ("fl_y", "camera_angle_y", "h")):
            value = number(level, {}, key, path, index=index)
            angle = number(level, {}, angle_key, path, index=index)
            if value is not None and value < SHORTEST_FOCAL:
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


def number(frame: dict[str, Any], document: dict[str, Any], key: str, path: Path, index: int) -> float | None:
    """The finite number `key` of the frame, else of the document, else None.

    Raises:
        UserError: it is no number.
    """
    value = frame.get(key, document.get(key))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST_NUMBER:
        raise UserError(f"{path}: {key} of frame {index} is {shown(value)}; give a number")
    return value


def matrix_of(value: Any, shape: tuple[int, int]) -> np.ndarray | None:
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
    matrix = matrix_of(value, (4, 4))
    if matrix is None:
        found = shown(_first_not_finite(value))
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
