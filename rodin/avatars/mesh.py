"""Avatars as triangle meshes with vertex colours, by marching cubes. `rodin.avatars.mesh_files` writes them.

Symbols: N grid points along each side of the box, V vertices, F faces, K materials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rodin import framing
from rodin.avatars.base_colours import base_of, factors_of, linear_to_srgb, srgb_to_linear
from rodin.avatars.decimation import decimated
from rodin.avatars.smooth_normals import smooth_normals
from rodin.avatars.solid import filled
from rodin.avatars.texture import Texture, bake, lay_out, padded
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.render.materials import split

BUST_HEIGHT = 0.3  # metres, of a head with shoulders as large as life
COLOUR_CHUNK = 65536  # vertices coloured at a time, which bounds memory
FACING = 0.2  # cosine between a smooth normal and the surface's own, below which the latter counts


@dataclass(frozen=True)
class Mesh:
    """A closed surface, counter-clockwise as seen from outside.

    Args:
        vertices: [V, 3] float32, world.
        faces: [F, 3] int64, indices of vertices.
        normals: [V, 3] float32, unit, outwards; smoother than the faces' own.
        colours: [V, 3] float32 sRGB in [0, 1].
        emitted: [V, 2 K + 3] float32, what `rodin.render.materials` mixes the colours of; None if that is not known.
        palette: [K, 3] float32 sRGB in [0, 1] of MATERIALS, by which it does; None likewise.
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    colours: Tensor
    emitted: Tensor | None = None
    palette: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("vertices", "normals", "colours"):
            if getattr(self, name).shape != (len(self.vertices), 3):
                raise ValueError(f"{name} must be [V, 3], got {list(getattr(self, name).shape)}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3:
            raise ValueError(f"faces must be [F, 3], got {list(self.faces.shape)}")
        if (self.emitted is None) != (self.palette is None):
            raise ValueError("emitted and palette come together; give both or none")
        for name, shape in (
            ("emitted", (len(self.vertices), 2 * len(MATERIALS) + 3)),
            ("palette", (len(MATERIALS), 3)),
        ):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"{name} must be {list(shape)}, got {list(value.shape)}")

    @cached_property
    def materials(self) -> Tensor:
        """[F] int64, the one of MATERIALS that each face's vertices have most of."""
        assert self.emitted is not None
        return split(self.emitted).shares[self.faces].sum(dim=1).argmax(dim=-1)


def extract_mesh(
    density: Tensor,
    colour: Callable[[Tensor, Tensor], Tensor],
    threshold: float,
    *,
    keep_fraction: float = 0.02,
    fill: bool = False,
) -> Mesh:
    """The surface where density crosses a threshold.

    The surface is closed where matter reaches the side of the box. Cavities inside the avatar and small parts that
    float beside it are dropped.

    Args:
        density: [N, N, N] at points from -1 to 1 along x, y, z, corners included (`render.grid_points`).
        colour: gives sRGB [M, 3] in [0, 1] of world points [M, 3] with unit normals [M, 3].
        threshold: density of the surface, 1 / world units.
        keep_fraction: parts with less than this fraction of the largest one's area are dropped.
        fill: close pits, and tunnels through what should be solid; see `rodin.avatars.solid`.

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
    if fill:
        grid = filled(grid, threshold)
    vertices, faces = _marching_cubes(grid, threshold)
    vertices, faces = _keep_solid_parts(vertices, faces, keep_fraction)
    normals = _outward(smooth_normals(grid, threshold, vertices), vertices, faces)
    points, directions = torch.from_numpy(vertices).float(), torch.from_numpy(normals).float()
    chunks = zip(points.split(COLOUR_CHUNK), directions.split(COLOUR_CHUNK), strict=True)
    colours = torch.cat([colour(place.to(density.device), out.to(density.device)) for place, out in chunks])
    return Mesh(
        vertices=points,
        faces=torch.from_numpy(faces),
        normals=directions,
        colours=colours.detach().cpu().float().clamp(0.0, 1.0),
    )


def standing(mesh: Mesh, height: float) -> Mesh:
    """The mesh with the neck (`framing.NECK`) at the origin, so large that it is `height` long along y."""
    tall = (mesh.vertices[:, 1].max() - mesh.vertices[:, 1].min()).item()
    return replace(mesh, vertices=(mesh.vertices - torch.tensor(framing.NECK)) * (height / tall))


def simplify_mesh(mesh: Mesh, faces: int) -> Mesh:
    """The mesh with at most so many faces, or as few as keep it in one piece and closed; vertices take the nearest old
    one's colour and normal.

    Raises:
        UserError: too few faces for any solid.
    """
    if faces < 4:
        raise UserError(f"faces: {faces}; choose at least 4")
    if len(mesh.faces) <= faces:
        return mesh
    from scipy.spatial import cKDTree

    new_vertices, new_faces = decimated(mesh.vertices.numpy(), mesh.faces.numpy(), faces)
    nearest = torch.from_numpy(cKDTree(mesh.vertices.numpy()).query(new_vertices)[1])
    return Mesh(
        vertices=torch.from_numpy(new_vertices).float(),
        faces=torch.from_numpy(new_faces),
        normals=torch.from_numpy(_outward(mesh.normals[nearest].numpy(), new_vertices, new_faces)).float(),
        colours=mesh.colours[nearest],
        emitted=None if mesh.emitted is None else mesh.emitted[nearest],
        palette=mesh.palette,
    )


def textured(mesh: Mesh, finer: Mesh, size: int) -> Texture:
    """A texture of size x size texels for a mesh, of the colours of a finer one of the same surface; where materials
    are known, also by their bases.

    Raises:
        UserError: the package xatlas is not installed, or the mesh has too many triangles.
    """
    labels = None if mesh.palette is None else mesh.materials.numpy()
    atlas = lay_out(mesh.vertices.numpy(), mesh.faces.numpy(), size, labels)
    shown = bake(atlas, mesh.vertices.numpy().astype(np.float64), size)
    nearest, weights = _neighbours(finer, shown.points)
    colours = _mixed(finer.colours, nearest, weights)
    picture = padded(shown, colours.numpy())
    if mesh.palette is None or finer.emitted is None:
        return Texture(atlas, picture)
    bases, factors = {}, torch.zeros(len(colours), 3)
    made_of = mesh.materials[torch.from_numpy(shown.faces)]
    for label in mesh.materials.unique().tolist():
        palette, here = mesh.palette[label], made_of == label
        bases[label] = base_of(srgb_to_linear(mesh.colours[mesh.faces[mesh.materials == label].unique()]), palette)
        if here.any():  # charts may be too small for a texel
            emitted = _mixed(finer.emitted, nearest[here], weights[here])
            factors[here] = factors_of(bases[label], srgb_to_linear(colours[here]), emitted, palette)
    return Texture(atlas, picture, padded(shown, linear_to_srgb(factors).numpy()), bases)


def _neighbours(mesh: Mesh, points: np.ndarray) -> tuple[Tensor, Tensor]:
    """The three vertices next to each of the points [N, 3], and their weights; both [N, 3]."""
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(mesh.vertices.numpy()).query(points, k=3)
    weight = 1 / (distance + 1e-9)
    return torch.from_numpy(nearest), torch.from_numpy(weight / weight.sum(axis=1, keepdims=True)).float()


def _mixed(values: Tensor, nearest: Tensor, weights: Tensor) -> Tensor:
    """[N, n] of vertices' values [V, n]."""
    mixed = values[nearest[:, 0]] * weights[:, :1]
    for k in (1, 2):
        mixed += values[nearest[:, k]] * weights[:, k, None]
    return mixed


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


def _outward(normals: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals [V, 3], or where they do not face as the surface does, its own."""
    own = _vertex_normals(vertices, faces)
    return np.where((normals * own).sum(axis=1, keepdims=True) > FACING, normals, own)


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals, the mean of the neighbouring faces' by area."""
    vectors = _area_vectors(vertices, faces)
    sums = np.stack(
        [np.bincount(faces.ravel(), np.repeat(vectors[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])  # where all faces around are without area, any direction will do
    return np.where(length > 0, sums / np.where(length > 0, length, 1.0), up)
