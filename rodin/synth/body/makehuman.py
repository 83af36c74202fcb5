"""From a checkout of MakeHuman to the head file that `rodin synth --heads` takes.

MakeHuman (https://github.com/makehumancommunity/makehuman) has its base mesh as one Wavefront .obj of named groups of
quads, and each morph target as a text file of lines `vertex dx dy dz`; both are CC0. What is kept is the head, the neck
and what of the shoulders a bust shows. The arrays are named in `rodin.synth.body.morph_head`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.synth.body.geometry import Array, Index, smoothstep

#: From the crown down, and from the middle to each side, what a bust needs (MakeHuman's units of a decimetre).
DEPTH, REACH = 4.3, 2.6
_PARTS = ("macrodetails", "head", "forehead", "chin", "cheek", "nose", "mouth", "ears", "eyebrows", "eyes", "neck",
          "asym")  # fmt: skip
#: Target folders by the prefix that their names get. Only files right inside count: macrodetails/height is of no use.
FOLDERS = {part: part for part in _PARTS} | {"expr": "expression/units/caucasian"}
NEEDED = ("body", "helper-l-eye", "helper-r-eye")  # groups; helper-tongue, all teeth and eyelashes come along
FARTHEST = 1e4  # no number of a mesh of a human is larger; float16 ends at 65504
LEAST = 1e-3  # a target that moves nothing of the bust further than this is left out


@dataclass(frozen=True, slots=True, eq=False)
class BaseMesh:
    """The .obj: vertices [v, 3], quads [f, 4], the group of each quad [f], and a texture coordinate [v, 2] a vertex."""

    vertices: Array
    quads: Index
    groups: np.ndarray
    texture: Array


def read_base_mesh(path: Path) -> BaseMesh:
    """Read an .obj of quads.

    Raises:
        UserError: it is missing, or a line is none of a mesh of quads.
    """
    vertices, texture, quads, corners, groups = [], [], [], [], []
    group = ""
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        try:
            match words:
                case ["v", x, y, z, *_]:
                    vertices.append((_number(x), _number(y), _number(z)))
                case ["vt", u, v, *_]:
                    texture.append((_number(u), _number(v)))
                case ["g", *names]:
                    group = names[0] if names else ""
                case ["f", a, b, c, d]:
                    pairs = [corner.split("/") for corner in (a, b, c, d)]
                    quads.append([int(pair[0]) - 1 for pair in pairs])
                    corners.append([int(pair[1]) - 1 for pair in pairs])
                    groups.append(group)
                case ["v" | "vt" | "f", *_]:
                    raise ValueError(f"{len(words) - 1} values for {words[0]!r}")
        except (ValueError, IndexError) as error:
            reason = f"line {number} is none of a mesh of quads ({error})"
            raise UserError(f"{path}: {reason}; give an unchanged checkout") from None
    faces, uv = np.array(quads, np.int32).reshape(-1, 4), np.zeros((len(vertices), 2), np.float32)
    seams = np.array(corners, np.int64).reshape(-1)
    found = len(faces) and min(faces.min(), seams.min()) >= 0
    if not found or faces.max() >= len(vertices) or seams.max() >= len(texture):
        raise UserError(f"{path}: has no faces, or faces of corners that it does not have; give an unchanged checkout")
    uv[faces.reshape(-1)] = np.array(texture, np.float32)[seams]
    return BaseMesh(np.array(vertices, np.float32), faces, np.array(groups), uv)


def read_target(path: Path, count: int) -> Array:
    """The offsets [count, 3] of a target on a mesh of `count` vertices.

    Raises:
        UserError: a line is no `vertex dx dy dz` of such a mesh.
    """
    offsets = np.zeros((count, 3), np.float32)
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            vertex, dx, dy, dz = words
            if not 0 <= int(vertex) < count:
                raise ValueError(f"the mesh has no vertex {vertex}")
            offsets[int(vertex)] = _number(dx), _number(dy), _number(dz)
        except ValueError as error:
            reason = f"line {number} is no `vertex dx dy dz` ({error})"
            raise UserError(f"{path}: {reason}; give an unchanged checkout") from None
    return offsets


def _number(word: str) -> float:
    value = float(word)
    if not abs(value) < FARTHEST:
        raise ValueError(f"{word} is too large")
    return value


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a checkout of MakeHuman") from None


def convert(checkout: Path, out: Path) -> None:
    """Write the head file of a checkout.

    Args:
        checkout: the folder that holds `makehuman/data/3dobjs/base.obj`.
        out: .npz file to write.

    Raises:
        UserError: a file of the checkout is missing or is not what it should be, or `out` cannot be written.
    """
    if out.suffix != ".npz":
        raise UserError(f"out: {out} is no .npz file; name it so")
    data = checkout / "makehuman" / "data"
    mesh = read_base_mesh(data / "3dobjs" / "base.obj")
    kept = _bust(mesh)
    used, local = np.unique(mesh.quads[kept], return_inverse=True)
    targets = {}
    folders = {prefix: data / "targets" / folder for prefix, folder in FOLDERS.items()}
    found = [(prefix, path) for prefix, folder in folders.items() for path in sorted(folder.glob("*.target"))]
    for prefix, path in tqdm(found, desc="targets", unit="file"):
        offsets = read_target(path, len(mesh.vertices))[used].astype(np.float16)
        if np.abs(offsets).max() > LEAST:
            targets[f"{prefix}/{path.stem}"] = offsets
    if not targets:
        raise UserError(f"{data / 'targets'}: has no targets of the head; give a checkout with its data files")
    names = sorted(targets)
    offsets = np.stack([targets[name] for name in names])
    lips, ears = _lips(mesh.texture[used]).astype(np.float16), _ears(targets).astype(np.float16)
    with atomic_path(out) as temporary:
        np.savez_compressed(
            temporary, V=mesh.vertices[used], F=local.reshape(-1, 4).astype(np.int32), g=mesh.groups[kept],
            names=np.array(names), D=offsets, lip=lips, ear=ears,
        )  # fmt: skip


def _bust(mesh: BaseMesh) -> np.ndarray:
    """Which quads [f] are kept."""
    for group in NEEDED:
        if group not in mesh.groups:
            raise UserError(f"base.obj has no faces of group {group!r}; give an unchanged checkout")
    body = mesh.quads[mesh.groups == "body"]
    crown = mesh.vertices[body, 1].max()
    middle = mesh.vertices[mesh.quads].mean(axis=1)
    wanted = np.array([g in (*NEEDED, "helper-tongue") or "teeth" in g or "eyelash" in g for g in mesh.groups])
    near = (middle[:, 1] > crown - DEPTH) & (np.abs(middle[:, 0]) < REACH)
    return np.asarray(wanted & near)


def _lips(texture: Array) -> Array:
    """Weight [v] of the lips: a rounded patch of the base mesh's own texture map, whose u runs down the face here."""
    down, across = texture[:, 0] - 0.908, (texture[:, 1] - 0.4826) / 0.020
    down = np.where(down < 0, down / 0.0126, down / 0.0171)
    level = (np.abs(down) ** 2.57 + np.abs(across) ** 2.57) ** (1 / 2.57)
    return np.clip((1.093 - level) / 0.186, 0.0, 1.0)


def _ears(targets: dict[str, Array]) -> Array:
    """Weight [v] of the ears: what moves whole when an ear is raised or spread."""
    moved = np.zeros(len(next(iter(targets.values()))), np.float32)
    for name in ("ear-trans-up", "ear-wing-incr"):
        for side in "lr":
            target = targets.get(f"ears/{side}-{name}")
            if target is None:
                raise UserError(f"targets/ears/{side}-{name}.target is missing or empty, which says where the ear is")
            reach = np.linalg.norm(target.astype(np.float32), axis=1)
            moved = moved + 0.5 * reach / reach.max()
    return smoothstep(0.45, 0.62, moved)
