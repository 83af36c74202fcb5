"""The parts of a mesh, as programs that show meshes want them: one for each material, with a base colour and factors by
vertex or texture; or the whole as one, where materials are not known.

Symbols: V vertices, F faces of the mesh; of one part v and f.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rodin.avatars.base_colours import base_of, factors_of, srgb_to_linear
from rodin.avatars.mesh import Mesh
from rodin.avatars.texture import Atlas, Texture
from rodin.materials import MATERIALS

WHOLE = "avatar"  # the name of a part that is all of it


class Part(NamedTuple):
    """What has a material of its own, with vertices of its own."""

    name: str
    vertices: Tensor  # [v, 3]
    faces: Tensor  # [f, 3]
    normals: Tensor  # [v, 3]
    base: list[float]  # red, green and blue in [0, 1], linear
    factors: Tensor | None  # [v, 3] in [0, 1], linear; None with a texture
    uv: Tensor | None  # [v, 2] in the texture, from its lower left corner
    palette: list[float] | None  # sRGB of the material, where it is known


def parts_of(mesh: Mesh, texture: Texture | None = None) -> list[Part]:
    """The parts that have faces, in the order of MATERIALS."""
    if texture is not None:
        return _textured(mesh, texture)
    colours = srgb_to_linear(mesh.colours)
    if mesh.emitted is None or mesh.palette is None:
        white = [1.0, 1.0, 1.0]
        return [Part(WHOLE, mesh.vertices, mesh.faces, mesh.normals, white, colours, uv=None, palette=None)]
    parts = []
    for name, label, which in named_faces(mesh):
        used, faces = mesh.faces[which].unique(return_inverse=True)
        palette = mesh.palette[label]
        base = base_of(colours[used], palette)
        factors = factors_of(base, colours[used], mesh.emitted[used], palette)
        vertices, normals = mesh.vertices[used], mesh.normals[used]
        parts.append(Part(name, vertices, faces, normals, base.tolist(), factors, uv=None, palette=palette.tolist()))
    return parts


def picture_of(texture: Texture) -> np.ndarray:
    """The picture [S, S, 3] that goes with the textured parts' base colours."""
    return texture.picture if texture.factors is None else texture.factors


def named_faces(mesh: Mesh) -> list[tuple[str, int, Tensor]]:
    """Name, number and faces [f] of each material that has any; all as one where materials are not known."""
    if mesh.palette is None:
        return [(WHOLE, 0, torch.arange(len(mesh.faces)))]
    labels = mesh.materials
    return [(MATERIALS[one], one, (labels == one).nonzero()[:, 0]) for one in labels.unique().tolist()]


def _textured(mesh: Mesh, texture: Texture) -> list[Part]:
    atlas: Atlas = texture.atlas
    source, laid, uv = (torch.from_numpy(value) for value in (atlas.source, atlas.faces, atlas.uv))
    parts = []
    for name, label, which in named_faces(mesh):
        used, faces = laid[which].unique(return_inverse=True)
        vertices, normals = mesh.vertices[source[used]], mesh.normals[source[used]]
        base = texture.bases[label].tolist() if label in texture.bases else [1.0, 1.0, 1.0]
        palette = None if mesh.palette is None else mesh.palette[label].tolist()
        parts.append(Part(name, vertices, faces, normals, base, None, uv[used].float(), palette))
    return parts
