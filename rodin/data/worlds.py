"""Where a capture stands in its own world, and how it is turned, moved and scaled into the box [-1, 1]^3, +y up.

    p' = R (p - shift) * scale

The box is the one that `aabb` names, or that the silhouettes tell. The up axis is +y unless somebody says otherwise;
where the cameras say otherwise, nobody guesses: nerfstudio's and instant-ngp's worlds are +z up. (Their `aabb_scale`
and `applied_transform` say nothing of the subject: the poses in a file have been transformed already.)

Symbols: V views.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rodin.data.cameras import LARGEST_NUMBER, matrix_of
from rodin.errors import UserError, shown

Up = Literal["x", "-x", "y", "-y", "z", "-z", "auto"]
UP: tuple[Up, ...] = ("x", "-x", "y", "-y", "z", "-z", "auto")
AGREED = 0.3  # length of the cameras' mean up vector, below which they agree on none
SNAPPED = 0.95  # cosine to an axis from which on "auto" means that axis
SNUG = 1.02  # how much larger the box is than what the silhouettes hold

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """How a capture gets into the box.

    Args:
        rotation: rows of a rotation of the file's world to one that is +y up.
        shift: what becomes the middle of the box, in the file's world.
        scale: how much longer lengths become.
    """

    rotation: tuple[Vector, Vector, Vector]
    shift: Vector = (0.0, 0.0, 0.0)
    scale: float = 1.0

    def of(self, poses: np.ndarray) -> np.ndarray:
        """Poses [V, 4, 4] of the file's world in the box's."""
        placed, rotation = poses.copy(), np.array(self.rotation)
        placed[:, :3, :3] = rotation @ poses[:, :3, :3]
        placed[:, :3, 3] = (poses[:, :3, 3] - self.shift) @ rotation.T * self.scale
        return placed

    def fitted_to(self, low: Vector, high: Vector) -> Placement:
        """The same, with a box of this one's world laid on the unit box: its middle, and its longest side."""
        middle = (np.array(low) + np.array(high)) / 2
        longest = float(max(b - a for a, b in zip(low, high, strict=True)))
        shift = np.array(self.shift) + np.array(self.rotation).T @ middle / self.scale
        return Placement(rotation=self.rotation, shift=_vector(shift), scale=self.scale * 2 / (longest * SNUG))

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @staticmethod
    def read(value: Any, where: str) -> Placement:
        """What `plain` wrote.

        Raises:
            UserError: it is something else.
        """
        value = value if isinstance(value, dict) else {}
        rotation, shift = matrix_of(value.get("rotation"), (3, 3)), matrix_of([value.get("shift")], (1, 3))
        scale = matrix_of([[value.get("scale")]], (1, 1))
        if rotation is None or shift is None or scale is None:
            raise UserError(f"{where}: expected rotation, shift and scale, found {shown(value)}; delete the file")
        rows = [_vector(row) for row in rotation]
        return Placement(rotation=(rows[0], rows[1], rows[2]), shift=_vector(shift[0]), scale=float(scale[0, 0]))


def placement(document: dict[str, Any], poses: np.ndarray, path: Path, up: Up | None = None) -> Placement:
    """What the document says of where the subject stands.

    Args:
        poses: [V, 4, 4] of its cameras.
        up: the axis that points up, whatever the document says; "auto" asks the cameras. None takes the document's
            `up`, or +y.

    Raises:
        UserError: `up` or `aabb` is malformed, or the cameras deny that +y is up where nobody has said so.
    """
    said = up if up is not None else document.get("up")
    if said is not None and said not in UP:
        raise UserError(f"{path}: up is {shown(said)}; choose {', '.join(UP)}")
    mean = poses[:, :3, 1].mean(axis=0)
    if said is None:
        _check_up(mean, path)
    axis = _mean_axis(mean, path) if said == "auto" else _axis(said or "y")
    rotation = _upright(axis)
    # Only the frontal view tells which way a subject of another's world looks; ours look along +z.
    frontal = document.get("frontal")
    if said not in (None, "y") and isinstance(frontal, int) and 0 <= frontal < len(poses):
        rotation = _facing(rotation @ poses[frontal, :3, 2]) @ rotation
    shift, scale = _unit_box(document, path)
    rows = [_vector(row) for row in rotation]
    return Placement(rotation=(rows[0], rows[1], rows[2]), shift=_vector(shift), scale=scale)


def _check_up(mean: np.ndarray, path: Path) -> None:
    """Refuse a world whose cameras, on the whole, hold another axis up than +y."""
    largest = int(np.abs(mean).argmax())
    if np.linalg.norm(mean) < AGREED or (largest == 1 and mean[1] > 0):
        return
    name = "-" * bool(mean[largest] < 0) + "xyz"[largest]
    held = f"the cameras' mean up vector ({mean[0]:.2f}, {mean[1]:.2f}, {mean[2]:.2f}) is nearest to {name}, not +y"
    remedy = (
        f"fit with --up {name} --scale auto (or --up y, if +y is up all the same), "
        f'or write "up": "{name}" and the subject\'s aabb there'
    )
    raise UserError(f"{path}: {held}; {remedy}")


def _mean_axis(mean: np.ndarray, path: Path) -> np.ndarray:
    """The axis nearest to the cameras' mean up vector, or that vector itself where none is near."""
    length = float(np.linalg.norm(mean))
    if length < AGREED:
        raise UserError(f"{path}: the cameras agree on no up vector (their mean is {length:.2f} long); name an axis")
    direction = mean / length
    largest = int(np.abs(direction).argmax())
    return np.sign(direction[largest]) * np.eye(3)[largest] if abs(direction[largest]) > SNAPPED else direction


def _axis(name: str) -> np.ndarray:
    axis = np.eye(3)["xyz".index(name[-1])]
    return -axis if name[0] == "-" else axis


def _upright(up: np.ndarray) -> np.ndarray:
    """The shortest rotation [3, 3] that turns a unit vector to +y; half a turn about z where it points down."""
    y = np.array([0.0, 1.0, 0.0])
    cosine = float(up @ y)
    if cosine < -1 + 1e-9:
        return np.diag([-1.0, -1.0, 1.0])
    x, _, z = np.cross(up, y)
    cross = np.array([[0.0, -z, 0.0], [z, 0.0, -x], [0.0, x, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def _facing(back: np.ndarray) -> np.ndarray:
    """The turn about y after which a camera that looks along -`back` is in front, at +z."""
    length = float(np.hypot(back[0], back[2]))
    if length < 1e-6:
        return np.eye(3)
    sine, cosine = back[0] / length, back[2] / length
    return np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])


def _unit_box(document: dict[str, Any], path: Path) -> tuple[np.ndarray, float]:
    """What maps the document's `aabb` ([[min x, y, z], [max x, y, z]]) into the unit box: (p - shift) * scale."""
    if document.get("aabb") is None:
        return np.zeros(3), 1.0
    box = matrix_of(document["aabb"], (2, 3))
    if box is None or (box[1] - box[0] < 1 / LARGEST_NUMBER).any():
        raise UserError(
            f"{path}: aabb is {shown(document['aabb'])}; give [[min x, y, z], [max x, y, z]] with min < max"
        )
    return (box[0] + box[1]) / 2, 2.0 / float((box[1] - box[0]).max())


def _vector(values: np.ndarray) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
