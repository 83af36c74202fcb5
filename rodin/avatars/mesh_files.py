"""Meshes in files that other programs open right: GLB, USDZ, OBJ, PLY and STL.

The world is +y up and right-handed, as glTF is, so no axis is turned. Colours are sRGB but in GLB, see
`rodin.avatars.glb`.

A mesh that knows its materials has a part for each in GLB, USDZ and OBJ, by its name. In GLB a part has a base colour,
by which it is recoloured, and factors of it by vertex or texture; see `rodin.avatars.base_colours`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from rodin.avatars.glb import glb
from rodin.avatars.mesh import Mesh
from rodin.avatars.mesh_parts import named_faces, parts_of, picture_of
from rodin.avatars.texture import Atlas, Texture
from rodin.avatars.usdz import usdz
from rodin.errors import UserError
from rodin.files import atomic_path, write_text
from rodin.images import to_bytes, write_picture
from rodin.materials import MATERIALS

SUFFIXES = (".glb", ".usdz", ".obj", ".ply", ".stl")
TEXTURED = (".glb", ".usdz", ".obj")
LIT = (".glb", ".usdz")


def write_mesh(path: Path, mesh: Mesh, texture: Texture | None = None, *, lit: bool = False) -> None:
    """Write a mesh in the format that the suffix names, one of SUFFIXES; whole or not at all.

    Beside an .obj of known materials or with a texture comes an .mtl of the same name, and with a texture a .png.

    Args:
        lit: materials of a .glb or .usdz are lit by lamps, instead of unlit.

    Raises:
        UserError: another suffix, one that has no textures or cannot be without, or has no materials to light; or the
            place cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: {suffix or 'no suffix'} is no mesh format here; choose {', '.join(SUFFIXES)}")
    if texture is not None and suffix not in TEXTURED:
        raise UserError(f"{path}: {suffix} has no textures; choose {', '.join(TEXTURED)}, or leave out --texture")
    if texture is None and suffix == ".usdz":
        raise UserError(f"{path}: the colours of .usdz are in a texture; give one, by --texture 1024")
    if lit and suffix not in LIT:
        raise UserError(f"{path}: {suffix} has no unlit materials; choose {' or '.join(LIT)}, or leave out --lit")
    if suffix == ".glb":
        content = glb(parts_of(mesh, texture), None if texture is None else picture_of(texture), lit)
    elif suffix == ".usdz":
        assert texture is not None
        content = usdz(mesh, texture, lit)
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
    for name, _, faces in named_faces(mesh):
        lines.append(f"usemtl {name}")
        which = faces.numpy()
        for places, vertices in zip((atlas.faces[which] + 1).tolist(), source[which].tolist(), strict=True):
            lines.append("f " + " ".join(f"{v}/{t}/{v}" for v, t in zip(vertices, places, strict=True)))
    return "\n".join([*lines, ""]).encode()


def _material_library(mesh: Mesh, picture: str | None = None) -> str:
    """The .mtl of the materials that faces have; its colours are taken for sRGB by those who read it. With a picture
    they are white, since that has the colours."""
    entries = []
    for name, label, _ in named_faces(mesh):
        colour, drawn = (1.0, 1.0, 1.0), f"map_Kd {picture}\n"
        if picture is None:
            assert mesh.palette is not None
            red, green, blue = mesh.palette[label].tolist()
            colour, drawn = (red, green, blue), ""
        shown = " ".join(f"{value:.6f}" for value in colour)
        entries.append(f"newmtl {name}\nKd {shown}\nKs 0 0 0\nillum 1\n{drawn}")
    return "\n".join(entries)
