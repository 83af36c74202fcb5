"""Avatars as triangle meshes with vertex colours: marching cubes, and files that other programs open right.

The world is +y up and right-handed, as glTF is, so no axis is turned. Colours are sRGB everywhere but in GLB, whose
COLOR_0 is linear by its specification.

Symbols: N grid points along each side of the box, V vertices, F faces.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.images import to_bytes

COLOUR_CHUNK = 65536  # vertices coloured at a time, which bounds memory
_FLOAT, _UINT32, _UINT16 = 5126, 5125, 5123  # glTF component types
_ARRAY, _ELEMENTS = 34962, 34963  # glTF buffer targets


@dataclass(frozen=True)
class Mesh:
    """A closed surface, counter-clockwise as seen from outside.

    Args:
        vertices: [V, 3] float32, world.
        faces: [F, 3] int64, indices of vertices.
        normals: [V, 3] float32, unit, outwards.
        colours: [V, 3] float32 sRGB in [0, 1].
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    colours: Tensor

    def __post_init__(self) -> None:
        for name in ("vertices", "normals", "colours"):
            if getattr(self, name).shape != (len(self.vertices), 3):
                raise ValueError(f"{name} must be [V, 3], got {list(getattr(self, name).shape)}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3:
            raise ValueError(f"faces must be [F, 3], got {list(self.faces.shape)}")


def extract_mesh(
    density: Tensor, colour: Callable[[Tensor], Tensor], threshold: float, *, keep_fraction: float = 0.02
) -> Mesh:
    """The surface where density crosses a threshold.

    The surface is closed where matter reaches the side of the box. Cavities inside the avatar and small parts that
    float beside it are dropped.

    Args:
        density: [N, N, N] at points from -1 to 1 along x, y, z, corners included (`render.grid_points`).
        colour: gives sRGB [M, 3] in [0, 1] of world points [M, 3].
        threshold: density of the surface, 1 / world units.
        keep_fraction: parts with less than this fraction of the largest one's area are dropped.

    Raises:
        UserError: density is nowhere above the threshold.
    """
    if density.ndim != 3 or len(set(density.shape)) != 1 or density.shape[0] < 2:
        raise ValueError(f"density must be [N, N, N] with N >= 2, got {list(density.shape)}")
    grid = density.detach().cpu().float().numpy()
    if not np.isfinite(grid).all():
        raise ValueError("density must be finite")
    if grid.max() <= threshold:
        raise UserError(f"threshold: no density is above {threshold:g} (largest {grid.max():.3g}); choose a lower one")
    vertices, faces = _marching_cubes(grid, threshold)
    vertices, faces = _keep_solid_parts(vertices, faces, keep_fraction)
    points = torch.from_numpy(vertices).float()
    colours = torch.cat([colour(chunk.to(density.device)) for chunk in points.split(COLOUR_CHUNK)])
    return Mesh(
        vertices=points,
        faces=torch.from_numpy(faces),
        normals=torch.from_numpy(_vertex_normals(vertices, faces)).float(),
        colours=colours.detach().cpu().float().clamp(0.0, 1.0),
    )


def simplify_mesh(mesh: Mesh, faces: int) -> Mesh:
    """The mesh with about so many faces, by quadric edge collapses; vertices take the nearest old one's colour.

    Raises:
        UserError: the package fast-simplification is not installed.
    """
    if faces < 4:
        raise UserError(f"faces: {faces}; choose at least 4")
    if len(mesh.faces) <= faces:
        return mesh
    try:
        import fast_simplification
    except ImportError as error:
        raise UserError("fast-simplification is not installed; pip install 'rodin[mesh]'") from error
    from scipy.spatial import cKDTree

    new_vertices, new_faces = fast_simplification.simplify(
        mesh.vertices.numpy(), mesh.faces.numpy().astype(np.int32), target_count=faces
    )
    nearest = cKDTree(mesh.vertices.numpy()).query(new_vertices)[1]
    new_faces = new_faces.astype(np.int64)
    return Mesh(
        vertices=torch.from_numpy(new_vertices).float(),
        faces=torch.from_numpy(new_faces),
        normals=torch.from_numpy(_vertex_normals(new_vertices, new_faces)).float(),
        colours=mesh.colours[torch.from_numpy(nearest)],
    )


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh in the format that the suffix names, .glb, .obj or .ply; whole or not at all.

    Raises:
        UserError: another suffix, or the place cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".glb":
        content = _glb(mesh)
    elif suffix in (".obj", ".ply"):
        import trimesh

        solid = trimesh.Trimesh(
            vertices=mesh.vertices.numpy(),
            faces=mesh.faces.numpy(),
            vertex_normals=mesh.normals.numpy(),
            vertex_colors=to_bytes(mesh.colours).numpy(),
            process=False,
        )
        options: dict[str, Any] = {"include_normals": True} if suffix == ".obj" else {"vertex_normal": True}
        exported = solid.export(file_type=suffix[1:], **options)
        content = exported.encode() if isinstance(exported, str) else exported
    else:
        raise UserError(f"{path}: {suffix or 'no suffix'} is no mesh format here; choose .glb, .obj or .ply")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


# ---- surface


def _marching_cubes(grid: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """World vertices [V, 3] float64 and outward faces [F, 3] int64 of a closed surface."""
    from skimage.measure import marching_cubes

    # One layer of nothing around closes the surface. So deep a nothing puts the cut on the side of the box.
    nothing = threshold - 1e4 * float(grid.max() - threshold)
    vertices, faces, _, _ = marching_cubes(np.pad(grid, 1, constant_values=nothing), threshold)
    vertices = (vertices.astype(np.float64) - 1.0) * (2.0 / (grid.shape[0] - 1)) - 1.0
    faces = faces.astype(np.int64)
    if _volumes(vertices, faces).sum() < 0:
        faces = faces[:, ::-1].copy()
    return vertices.clip(-1.0, 1.0), faces


def _keep_solid_parts(vertices: np.ndarray, faces: np.ndarray, keep_fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Drop cavities, whose volume counts negative, and parts of small area; vertices are numbered anew."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2)
    count, part_of_vertex = connected_components(graph, directed=False)
    part = part_of_vertex[faces[:, 0]]
    volume = np.bincount(part, _volumes(vertices, faces), count)
    area = np.bincount(part, np.linalg.norm(_area_vectors(vertices, faces), axis=1), count)
    area[volume <= 0] = 0.0
    kept = faces[((area >= keep_fraction * area.max()) & (area > 0))[part]]
    used, renumbered = np.unique(kept, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def _area_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[F, 3] outward normals as long as the faces' areas."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a) / 2


def _volumes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[F] signed volumes of the tetrahedra between the origin and each face; their sum is what the surface encloses."""
    return (vertices[faces[:, 0]] * _area_vectors(vertices, faces)).sum(axis=1) / 3


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals, the mean of the neighbouring faces' by area."""
    vectors = _area_vectors(vertices, faces)
    sums = np.stack(
        [np.bincount(faces.ravel(), np.repeat(vectors[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])  # where all faces around are without area, any direction will do
    return np.where(length > 0, sums / np.where(length > 0, length, 1.0), up)


# ---- GLB


def _glb(mesh: Mesh) -> bytes:
    """Binary glTF 2.0.

    Written here, since the usual exporter rounds colours to 8 bits, too coarse for the darks once they are linear.
    """
    linear = srgb_to_linear(mesh.colours)
    rgba = torch.cat([linear, torch.ones(len(linear), 1)], dim=1)  # four channels keep every entry aligned
    positions = mesh.vertices.numpy().astype("<f4")
    arrays = [
        (mesh.faces.numpy().astype("<u4").reshape(-1), _UINT32, "SCALAR", _ELEMENTS),
        (positions, _FLOAT, "VEC3", _ARRAY),
        (mesh.normals.numpy().astype("<f4"), _FLOAT, "VEC3", _ARRAY),
        ((rgba * 65535.0).round().numpy().astype("<u2"), _UINT16, "VEC4", _ARRAY),
    ]
    accessors: list[dict[str, Any]] = []
    views, binary = [], b""
    for number, (array, component, kind, target) in enumerate(arrays):
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data), "target": target})
        accessors.append({"bufferView": number, "componentType": component, "count": len(array), "type": kind})
        binary += data  # each array's length is a multiple of 4 bytes
    accessors[1] |= {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    accessors[3]["normalized"] = True
    primitive = {"attributes": {"POSITION": 1, "NORMAL": 2, "COLOR_0": 3}, "indices": 0, "material": 0, "mode": 4}
    document = {
        "asset": {"version": "2.0", "generator": "rodin"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "avatar"}],
        "meshes": [{"primitives": [primitive], "name": "avatar"}],
        # Without a material the specification's default is metal, which looks black
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def srgb_to_linear(colours: Tensor) -> Tensor:
    """sRGB values in [0, 1] to linear ones (IEC 61966-2-1)."""
    return torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
