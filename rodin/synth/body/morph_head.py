"""A morphable head from a file of arrays (for example a converted MakeHuman head): the other kind of `Head`.

The file is an .npz, never pickled:

    V [v, 3] vertices, +y up, looking along +z, any scale        F [f, 4] quads
    g [f] the group of each face: body, helper-l-eye, helper-r-eye; anything with teeth, tongue or eyelashes is optional
    names [m], D [m, v, 3] morph targets as offsets              lip, ear [v] weights in [0, 1]

The mean of the two eyes and the crown fix the scale. The mesh is refined once by Catmull-Clark, which is a linear map
and therefore smooths positions and weights alike.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from rodin.errors import UserError
from rodin.files import check_regular
from rodin.synth.body.geometry import (
    Array,
    Index,
    Mesh,
    Parts,
    Surface,
    boundary_edges,
    close_rim,
    linear,
    smoothstep,
    vertex_normals,
)
from rodin.synth.body.head import Eye, Head, Landmarks, bust_field
from rodin.synth.body.morph_weights import morph_weights
from rodin.synth.body.subdivision import catmull_clark
from rodin.synth.recipe import AvatarRecipe

ARRAYS = ("V", "F", "g", "names", "D", "lip", "ear")
MOST_BYTES = 2**30  # that a file unpacks to

#: Below this height, or outside the bust, the skin is dropped: clothes cover it (head units).
FLOOR = -1.57
LANDMARKS = Landmarks(
    hairline=0.72, temple=0.16, ear=(0.78, -0.14, -0.08), brow=(0.13, 0.235, 0.88), brow_length=0.41,
    mouth=(0.0, -0.625, 0.96), nose_tip=(0.0, -0.33, 1.09), chin=(0.0, -1.08, 0.72), nape=-0.62,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MorphModel:
    """The arrays of a head file, as its docstring names them, with the morph targets by name."""

    vertices: Array
    faces: Index
    groups: np.ndarray
    targets: dict[str, Array]
    lips: Array
    ears: Array

    def digest(self) -> str:
        """16 hexadecimal digits of the arrays, whatever file they came in."""
        parts = [self.vertices, self.faces, *self.targets.values(), self.lips, self.ears]
        names = "\n".join([*self.groups, *self.targets]).encode()
        return hashlib.sha256(b"".join([names, *(part.tobytes() for part in parts)])).hexdigest()[:16]

    def faces_of(self, part: str) -> Index:
        """The quads [f, 4] of all groups whose name contains `part`."""
        return _faces_of(self, part)


# What follows from a model alone is worked out once, for all the heads that a process builds on it.
@lru_cache(maxsize=16)
def _faces_of(model: MorphModel, part: str) -> Index:
    return model.faces[np.array([part in group for group in model.groups])]


@lru_cache(maxsize=16)
def _vertices_of(model: MorphModel, part: str) -> tuple[Index, Index]:
    """The vertices [u] that the faces of a part use, and those faces [f, 4] over them."""
    faces = model.faces_of(part)
    used, local = np.unique(faces, return_inverse=True)
    return used, local.reshape(faces.shape).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _FineBody:
    """The refined body: the map [V, v] from the model's vertices, and its quads [F, 4] and triangles [2 F, 3]."""

    fine: csr_matrix
    quads: Index
    triangles: Index


@lru_cache(maxsize=2)
def _fine_body(model: MorphModel) -> _FineBody:
    used, local = _vertices_of(model, "body")
    fine, quads = catmull_clark(local, len(used))
    return _FineBody(fine, quads, _triangulate(quads))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Those of ARRAYS that a file has. What unpacks to more than it says, or to gigabytes, is a ValueError before it is
    unpacked."""
    check_regular(path)
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        wanted = {name: members[f"{name}.npy"] for name in ARRAYS if f"{name}.npy" in members}
        size = sum(member.file_size for member in wanted.values())
        if size > MOST_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, the most is {MOST_BYTES}")
        for name, member in wanted.items():
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is packed in a way that NumPy does not write")
            with archive.open(member) as file:
                version = npy.read_magic(file)
                read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read_header(file)
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{name} says that it has {list(shape)} numbers, and has fewer")
            with archive.open(member) as file:
                arrays[name] = npy.read_array(file, allow_pickle=False)
    return arrays


@lru_cache(maxsize=2)
def load_morph_model(path: Path) -> MorphModel:
    """Read a head file.

    Raises:
        UserError: the file is missing, is no .npz, or lacks an array or has one of a wrong shape.
    """
    try:
        arrays = _read_arrays(path)
    except FileNotFoundError:
        raise UserError(f"heads: {path} does not exist; give `sdf` or an .npz file with a morphable head") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, AttributeError, RuntimeError, zlib.error) as error:
        raise UserError(
            f"heads: {path} is no readable .npz file ({error}); see rodin/synth/body/morph_head.py"
        ) from None
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise UserError(f"heads: {path} has no array {missing[0]!r}; it needs V, F, g, names, D, lip and ear")
    v, f, m = len(arrays["V"]), len(arrays["F"]), len(arrays["names"])
    shapes = {"V": (v, 3), "F": (f, 4), "g": (f,), "names": (m,), "D": (m, v, 3), "lip": (v,), "ear": (v,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise UserError(f"heads: {path} has {name} of shape {arrays[name].shape}, not {shape}; export it again")
    if f == 0 or arrays["F"].min() < 0 or arrays["F"].max() >= v:
        raise UserError(f"heads: {path} has faces F that point outside its {v} vertices; export it again")
    for group in ("body", "helper-l-eye", "helper-r-eye"):
        if group not in arrays["g"]:
            raise UserError(f"heads: {path} has no faces of group {group!r}; name the groups in `g` so")
    targets = {str(name): offset.astype(np.float32) for name, offset in zip(arrays["names"], arrays["D"], strict=True)}
    return MorphModel(
        arrays["V"].astype(np.float32), arrays["F"].astype(np.int32), arrays["g"].astype(str), targets,
        lips=arrays["lip"].astype(np.float32), ears=arrays["ear"].astype(np.float32),
    )  # fmt: skip


def _triangulate(quads: Index) -> Index:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def _normalize(model: MorphModel, vertices: Array) -> Array:
    """File units to head units: eyes at y = 0.03, crown near y = 1.2."""
    eyes = np.concatenate([_vertices_of(model, part)[0] for part in ("helper-l-eye", "helper-r-eye")])
    center = vertices[eyes].mean(axis=0) * (0, 1, 1)
    top = vertices[_vertices_of(model, "body")[0], 1].max() - center[1]
    return ((vertices - center) * (1.18 / top) + (0.0, 0.03, 0.66)).astype(np.float32)


def _stylize(model: MorphModel, vertices: Array, child: bool) -> Array:
    """Larger eyes, and shoulders drawn in and up to the proportions of a bust; both more so for a child."""
    moved = vertices.astype(np.float32).copy()
    for part in ("helper-l-eye", "helper-r-eye"):
        center = moved[_vertices_of(model, part)[0]].mean(axis=0)
        offset = moved - center
        near = np.exp(-((offset / (0.27, 0.22, 0.40)) ** 2).sum(axis=1))
        moved += (0.42 if child else 0.28) * near[:, None] * offset
    low = smoothstep(-1.12, -1.75, moved[:, 1])
    moved *= np.stack([1 - (0.50 if child else 0.42) * low, np.ones_like(low), 1 - 0.22 * low], axis=1)
    moved += np.stack([0 * low, 0.24 * low, 0.10 * low], axis=1)
    return moved.astype(np.float32)


def _cut_to_bust(vertices: Array, quads: Index) -> Index:
    """Triangles of the skin that lie inside the bust; the cut leaves an open rim."""
    keep = (vertices[:, 1] > FLOOR) & (bust_field(vertices) < -0.02)
    return _triangulate(quads[keep[quads].all(axis=1)])


def build_morph_head(model: MorphModel, recipe: AvatarRecipe) -> Head:
    """The recipe's head on a morph model."""
    shape = model.vertices.copy()
    for name, weight in morph_weights(recipe, frozenset(model.targets)).items():
        shape += weight * model.targets[name]
    placed, mean = _normalize(model, shape), _normalize(model, model.vertices)
    final = _stylize(model, placed, recipe.age == "child")
    used, _ = _vertices_of(model, "body")
    body = _fine_body(model)
    fine = body.fine
    vertices, neutral = fine @ final[used], fine @ mean[used]
    lips, ears = (np.clip(fine @ weight[used], 0.0, 1.0) for weight in (model.lips, model.ears))
    whole = vertex_normals(vertices, body.triangles)
    # The neck up to the jaw belongs to it: a collar that had to be guessed beyond the shoulders would stand off.
    torso = (neutral[:, 1] < -1.16) | ((neutral[:, 1] < -0.80) & (neutral[:, 2] < 0.05))
    body_distance = _SmoothDistance(vertices[torso], whole[torso])
    triangles = _cut_to_bust(vertices, body.quads)
    rim = boundary_edges(triangles)
    triangles = np.concatenate([triangles, close_rim(rim[(vertices[rim, 1] < -1.0).all(axis=1)])])
    kept, renumbered = np.unique(triangles, return_inverse=True)
    triangles = renumbered.reshape(-1, 3).astype(np.int32)
    lips, ears = lips[kept], ears[kept]
    x, y, z = neutral[kept].T
    # Behind the lips' arc lies the inside of the mouth.
    inside = (z < LANDMARKS.mouth[2] - 0.13 - 3.2 * x * x) & (z > 0.1) & (np.abs(x) < 0.22)
    inside &= np.abs(y - LANDMARKS.mouth[1]) < 0.11
    eyes = []
    for part in ("helper-l-eye", "helper-r-eye"):
        ball = final[_vertices_of(model, part)[0]]
        radii = (0.488 * np.ptp(ball, axis=0)).astype(np.float32)
        eyes.append(Eye(center=0.5 * (ball.min(axis=0) + ball.max(axis=0)), radii=radii, iris=0.70))
    eyes.sort(key=lambda eye: -float(eye.center[0]))
    return Head(
        vertices=vertices[kept], triangles=triangles, normals=vertex_normals(vertices[kept], triangles),
        neutral=neutral[kept], lips=lips, ears=ears, mouth=inside.astype(np.float32),
        shade=np.ones(len(kept), np.float32), eyes=(eyes[0], eyes[1]), landmarks=LANDMARKS,
        body_distance=body_distance, extras=_extras(model, final, recipe),
    )  # fmt: skip


class _SmoothDistance:
    """Signed distance to a surface given by vertices and normals: the mean over a few tangent planes.

    Beyond the surface's rim, where those planes go on and the surface does not, the distance grows.
    """

    def __init__(self, vertices: Array, normals: Array) -> None:
        self._vertices, self._normals, self._tree = vertices, normals, cKDTree(vertices)

    def __call__(self, points: Array) -> Array:
        gap, index = self._tree.query(points, k=8)
        weight = 1.0 / (gap + 0.02) ** 2
        plane = np.einsum("nkc,nkc->nk", points[:, None] - self._vertices[index], self._normals[index])
        aside = np.sqrt(np.maximum(gap[:, 0] ** 2 - plane[:, 0] ** 2, 0.0))
        return ((weight * plane).sum(1) / weight.sum(1) + np.maximum(aside - 0.10, 0.0)).astype(np.float32)


def _extras(model: MorphModel, vertices: Array, recipe: AvatarRecipe) -> Parts:
    """Teeth, tongue and lashes, where the file has them."""
    lash = Surface(name="lash", roughness=0.8, specular=0.0, opacity=0.6 if recipe.sex == "woman" else 0.35)
    looks = {
        "teeth": (linear("#f1ece2"), Surface(name="teeth", roughness=0.3), "mouth"),
        "tongue": (linear("#b0505a"), Surface(name="tongue", roughness=0.4), "mouth"),
        "eyelashes": (linear("#1d1411"), lash, "lash"),
    }
    parts = Parts()
    for part, (colour, surface, material) in looks.items():
        used, faces = _vertices_of(model, part)
        if len(faces):
            parts.meshes.append(
                Mesh(vertices=vertices[used], triangles=_triangulate(faces),
                     colours=np.tile(colour, (len(used), 1)), surface=surface, material=material)
            )  # fmt: skip
    return parts
