"""Meshes in files that other programs open right: GLB, OBJ, PLY and STL.

The world is +y up and right-handed, as glTF is, so no axis is turned. Colours are sRGB everywhere but in GLB, whose
factors and COLOR_0 are linear by its specification.

A mesh that knows its materials has a part for each in GLB and OBJ, by its name. In GLB a part's colour is

    vertex colour = baseColorFactor * COLOR_0

so that changing the base recolours it, while light and shade stay. Both end at 1, and a palette holds what materials
show on average; so that what is brighter fits too, the base is the palette's colour HEADROOM times as bright.

A texture, where one is given, has the colours; the parts keep their names and share it.

Symbols: V vertices, F faces, K materials; of one part v and f.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rodin.avatars.mesh import Mesh
from rodin.avatars.texture import Atlas, Texture
from rodin.errors import UserError
from rodin.files import atomic_path, write_text
from rodin.images import to_bytes, write_picture
from rodin.materials import MATERIALS
from rodin.render.materials import split

SUFFIXES = (".glb", ".obj", ".ply", ".stl")
TEXTURED = (".glb", ".obj")
WHOLE = "avatar"  # the name of a part that is all of it
HEADROOM = 1.5  # with 1, colours of fitted heads were off by 2 to 6 of 255 on average, since half of them were clipped
DARKEST = 1e-4  # of a base colour, linear: a third of a step of 8-bit sRGB
_FLOAT, _UINT32, _UINT16 = 5126, 5125, 5123  # glTF component types
_ARRAY, _ELEMENTS = 34962, 34963  # glTF buffer targets


def write_mesh(path: Path, mesh: Mesh, texture: Texture | None = None) -> None:
    """Write a mesh in the format that the suffix names, .glb, .obj, .ply or .stl; whole or not at all.

    Beside an .obj of known materials or with a texture comes an .mtl of the same name, and with a texture a .png.

    Raises:
        UserError: another suffix, one that has no textures, or the place cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: {suffix or 'no suffix'} is no mesh format here; choose .glb, .obj, .ply or .stl")
    if texture is not None and suffix not in TEXTURED:
        raise UserError(f"{path}: {suffix} has no textures; choose {' or '.join(TEXTURED)}, or leave out --texture")
    if suffix == ".glb":
        content = _glb(mesh, texture)
    elif suffix == ".obj" and texture is not None:
        library, picture = path.with_suffix(".mtl"), path.with_suffix(".png")
        content = _textured_obj(mesh, texture.atlas, library.name)
        write_picture(picture, torch.from_numpy(texture.picture.copy()) / 255)
        write_text(library, _material_library(mesh, picture.name))
    elif suffix == ".obj" and mesh.palette is not None:
        library = path.with_suffix(".mtl")
        content = _obj_by_materials(mesh, library.name)
        write_text(library, _material_library(mesh))
    else:
        content = _by_trimesh(mesh, suffix[1:])
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def srgb_to_linear(colours: Tensor) -> Tensor:
    """sRGB values in [0, 1] to linear ones (IEC 61966-2-1)."""
    return torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


# ---- OBJ, PLY


def _by_trimesh(mesh: Mesh, kind: str) -> bytes:
    import trimesh

    solid = trimesh.Trimesh(
        vertices=mesh.vertices.numpy(),
        faces=mesh.faces.numpy(),
        vertex_normals=mesh.normals.numpy(),
        vertex_colors=to_bytes(mesh.colours).numpy(),
        process=False,
    )
    options: dict[str, dict[str, Any]] = {"obj": {"include_normals": True}, "ply": {"vertex_normal": True}}
    exported = solid.export(file_type=kind, **options.get(kind, {}))
    return exported.encode() if isinstance(exported, str) else exported


def _obj_by_materials(mesh: Mesh, library: str) -> bytes:
    """What `_by_trimesh` writes, its faces by materials."""
    order = mesh.materials.argsort(stable=True)
    lines = _by_trimesh(replace(mesh, faces=mesh.faces[order]), "obj").decode().rstrip().splitlines()
    vertices, faces = lines[: -len(order)], iter(lines[-len(order) :])
    parts = []
    for label, count in zip(*(found.tolist() for found in mesh.materials.unique(return_counts=True)), strict=True):
        parts += [f"usemtl {MATERIALS[label]}", *islice(faces, count)]
    return "\n".join([f"mtllib {library}", *vertices, *parts, ""]).encode()


def _textured_obj(mesh: Mesh, atlas: Atlas, library: str) -> bytes:
    """An OBJ whose faces name a place in the texture for each corner, by materials where they are known."""
    lines = [f"mtllib {library}"]
    for kind, rows in (("v", mesh.vertices), ("vt", torch.from_numpy(atlas.uv)), ("vn", mesh.normals)):
        lines += [f"{kind} " + " ".join(f"{value:.6f}" for value in row) for row in rows.tolist()]
    source = atlas.source[atlas.faces] + 1
    for name, which in _named_faces(mesh):
        lines.append(f"usemtl {name}")
        for places, vertices in zip((atlas.faces[which] + 1).tolist(), source[which].tolist(), strict=True):
            lines.append("f " + " ".join(f"{v}/{t}/{v}" for v, t in zip(vertices, places, strict=True)))
    return "\n".join([*lines, ""]).encode()


def _named_faces(mesh: Mesh) -> list[tuple[str, np.ndarray]]:
    """The faces of each material by its name; all as one where materials are not known."""
    if mesh.palette is None:
        return [(WHOLE, np.arange(len(mesh.faces)))]
    labels = mesh.materials
    return [(MATERIALS[one], (labels == one).nonzero()[:, 0].numpy()) for one in labels.unique().tolist()]


def _material_library(mesh: Mesh, picture: str | None = None) -> str:
    """The .mtl of the materials that faces have; its colours are taken for sRGB by those who read it. With a picture
    they are white, since that has the colours."""
    entries = []
    for name, _ in _named_faces(mesh):
        colour, drawn = (1.0, 1.0, 1.0), f"map_Kd {picture}\n"
        if picture is None:
            assert mesh.palette is not None
            red, green, blue = mesh.palette[MATERIALS.index(name)].tolist()
            colour, drawn = (red, green, blue), ""
        shown = " ".join(f"{value:.6f}" for value in colour)
        entries.append(f"newmtl {name}\nKd {shown}\nKs 0 0 0\nillum 1\n{drawn}")
    return "\n".join(entries)


# ---- GLB


class Part(NamedTuple):
    """What has a material of its own."""

    vertices: Tensor  # [v, 3]
    faces: Tensor  # [f, 3]
    normals: Tensor  # [v, 3]
    factors: Tensor | None  # [v, 3] in [0, 1], which make the vertices' colours of the base; None with a texture
    material: dict[str, Any]  # as glTF has it
    uv: Tensor | None = None  # [v, 2] in the texture, from its upper left corner


def _parts(mesh: Mesh) -> Iterator[Part]:
    """The whole, or a part for each material that faces have, with vertices of its own."""
    # Without a material the specification's default is metal, which looks black
    surface = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    colours = srgb_to_linear(mesh.colours)
    if mesh.emitted is None or mesh.palette is None:
        yield Part(mesh.vertices, mesh.faces, mesh.normals, colours, material={"pbrMetallicRoughness": surface})
        return
    for label in mesh.materials.unique().tolist():
        used, faces = mesh.faces[mesh.materials == label].unique(return_inverse=True)
        base, factors = base_and_factors(colours[used], mesh.emitted[used], mesh.palette[label])
        material = {
            "name": MATERIALS[label],
            "pbrMetallicRoughness": {**surface, "baseColorFactor": [*base.tolist(), 1.0]},
            "extras": {"palette": mesh.palette[label].tolist()},
        }
        yield Part(mesh.vertices[used], faces, mesh.normals[used], factors, material=material)


def _textured_parts(mesh: Mesh, atlas: Atlas) -> Iterator[Part]:
    """The whole, or a part for each material that faces have, all of them in one texture."""
    source, laid = torch.from_numpy(atlas.source), torch.from_numpy(atlas.faces)
    uv = torch.from_numpy(np.stack([atlas.uv[:, 0], 1 - atlas.uv[:, 1]], axis=1)).float()
    for name, which in _named_faces(mesh):
        used, faces = laid[torch.from_numpy(which)].unique(return_inverse=True)
        surface = {"metallicFactor": 0.0, "roughnessFactor": 1.0, "baseColorTexture": {"index": 0}}
        material: dict[str, Any] = {"name": name, "pbrMetallicRoughness": surface}
        if mesh.palette is not None:
            material["extras"] = {"palette": mesh.palette[MATERIALS.index(name)].tolist()}
        vertices, normals = mesh.vertices[source[used]], mesh.normals[source[used]]
        yield Part(vertices, faces, normals, None, material, uv[used])


def base_and_factors(colours: Tensor, emitted: Tensor, palette: Tensor) -> tuple[Tensor, Tensor]:
    """The colours of a part as a base [3] in (0, 1] times factors [v, 3] in [0, 1], both linear.

    The base is HEADROOM times the palette's colour, or as far as that goes. At a border a vertex may be brighter than
    its material alone would be there; since it would stay so whatever the base becomes, black hair a bright fringe when
    it is red, it gets what the material alone has. Of a material that is hardly seen alone, such as eyes behind lenses,
    the usual colour counts wherever it is the brighter one.

    Args:
        colours: [v, 3] linear.
        emitted: [v, 2 K + 3] what they are mixed of.
        palette: [3] sRGB of the part's material.
    """
    shaded, residual, _ = split(emitted)
    alone = srgb_to_linear((shaded.sum(dim=-1, keepdim=True) * palette + residual).clamp(0, 1))
    usual = colours.median(dim=0).values
    bright = srgb_to_linear(palette)
    bright = bright * min(HEADROOM, 1 / max(bright.max().item(), DARKEST))
    base = bright.maximum(usual).clamp(DARKEST, 1)
    return base, (colours.minimum(alone.maximum(usual)) / base).clamp(0, 1)


def _glb(mesh: Mesh, texture: Texture | None = None) -> bytes:
    """Binary glTF 2.0.

    Written here, since the usual exporter rounds colours to 8 bits, too coarse for the darks once they are linear.
    """
    accessors: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    primitives: list[dict[str, Any]] = []
    materials: list[dict[str, Any]] = []
    binary = bytearray()

    def add(array: np.ndarray, component: int, kind: str, target: int) -> int:
        """The number of a new accessor of an array, whose length is a multiple of 4 bytes."""
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data), "target": target})
        binary.extend(data)
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(array), "type": kind})
        return len(accessors) - 1

    for part in _parts(mesh) if texture is None else _textured_parts(mesh, texture.atlas):
        positions = part.vertices.numpy().astype("<f4")
        indices = add(part.faces.numpy().astype("<u4").reshape(-1), _UINT32, "SCALAR", _ELEMENTS)
        attributes = {"POSITION": add(positions, _FLOAT, "VEC3", _ARRAY)}
        bounds = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
        accessors[attributes["POSITION"]].update(bounds)
        attributes["NORMAL"] = add(part.normals.numpy().astype("<f4"), _FLOAT, "VEC3", _ARRAY)
        if part.factors is not None:  # with a fourth channel, which keeps every entry aligned
            rgba = torch.cat([part.factors, torch.ones(len(part.factors), 1)], dim=1)
            attributes["COLOR_0"] = add((rgba * 65535.0).round().numpy().astype("<u2"), _UINT16, "VEC4", _ARRAY)
            accessors[attributes["COLOR_0"]]["normalized"] = True
        if part.uv is not None:
            attributes["TEXCOORD_0"] = add(part.uv.numpy().astype("<f4"), _FLOAT, "VEC2", _ARRAY)
        primitives.append({"attributes": attributes, "indices": indices, "material": len(materials), "mode": 4})
        materials.append(part.material)
    drawn: dict[str, Any] = {}
    if texture is not None:
        picture = io.BytesIO()
        Image.fromarray(texture.picture).save(picture, "PNG")
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(picture.getvalue())})
        binary.extend(picture.getvalue() + bytes(-len(picture.getvalue()) % 4))
        drawn = {
            "textures": [{"source": 0}],
            "images": [{"bufferView": len(views) - 1, "mimeType": "image/png", "name": "colours"}],
        }
    document = {
        "asset": {"version": "2.0", "generator": "rodin"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "avatar"}],
        "meshes": [{"primitives": primitives, "name": "avatar"}],
        "materials": materials,
        **drawn,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
