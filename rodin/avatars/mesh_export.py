"""An avatar's mesh in a file of other programs: the surface is taken, reduced, textured, stood up and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rodin.avatars.avatar import MESH_DENSITY, Avatar
from rodin.avatars.mesh import BUST_HEIGHT, simplify_mesh, standing, textured
from rodin.avatars.mesh_files import write_mesh
from rodin.waiting import waiting

RESOLUTION = 128  # grid points along each side of the box
TEXTURE_SIZE = 1024  # pixels, where a format has no colours without a texture and no size is given
MESH_STAGES = 3  # of an export before the file is written
TEXTURED_FACES = 20_000  # of a mesh with a texture, where no number is given


def export_mesh(
    path: Path,
    avatar: Avatar,
    *,
    resolution: int = RESOLUTION,
    threshold: float = MESH_DENSITY,
    faces: int | None = None,
    height: float = BUST_HEIGHT,
    texture: int | None = None,
    lit: bool = False,
    callback_on_stage_end: Callable[[], None] | None = None,
) -> None:
    """Write the mesh of an avatar, as the suffix says; whole or not at all.

    Args:
        resolution: grid points along each side of the box.
        threshold: density at the surface, in 1 / world units.
        faces: triangles, at most; None leaves them all, and of a mesh with a texture TEXTURED_FACES.
        height: in metres.
        texture: pixels of a side of the picture that has the colours; None leaves them in the vertices, but for a
            .usdz, which has none there.
        lit: lamps light it.
        callback_on_stage_end: called MESH_STAGES times, after the surface, the reduction and the texture; what it
            raises ends the export, and nothing is written.

    Raises:
        UserError: the avatar has no surface, a package is missing, or the place cannot be written.
    """
    if path.suffix.lower() == ".usdz" and texture is None:
        texture = TEXTURE_SIZE
    with waiting("taking the surface"):
        fine = avatar.mesh(resolution, threshold)
    stage_over = callback_on_stage_end or (lambda: None)
    stage_over()
    if texture is not None and faces is None:
        faces = TEXTURED_FACES
    with waiting("reducing the mesh"):
        mesh = fine if faces is None else simplify_mesh(fine, faces)
    stage_over()
    with waiting("baking the texture"):
        drawn = None if texture is None else textured(mesh, fine, texture)
    stage_over()
    write_mesh(path, standing(mesh, height), drawn, lit=lit)
