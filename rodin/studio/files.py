"""An avatar as a file to take away, in every format there is."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rodin.avatars.avatar import Avatar
from rodin.avatars.html_file import write_html
from rodin.avatars.mesh import BUST_HEIGHT
from rodin.avatars.mesh_export import MESH_STAGES, RESOLUTION, export_mesh
from rodin.avatars.video import write_video
from rodin.errors import UserError
from rodin.files import atomic_path

Format = Literal["glb", "usdz", "obj", "ply", "stl", "html", "mp4", "gif", "webp"]
FORMATS: tuple[Format, ...] = get_args(Format)
MESHES: tuple[Format, ...] = ("glb", "usdz", "obj", "ply", "stl")
TEXTURED: tuple[Format, ...] = ("glb", "usdz", "obj")
LIT: tuple[Format, ...] = ("glb", "usdz")
VIDEOS: tuple[Format, ...] = ("mp4", "gif", "webp")
#: By option the formats that have it.
OPTIONS = {"faces": MESHES, "height": MESHES, "texture": TEXTURED, "lit": LIT, "size": VIDEOS}
FRAMES, FRAMES_PER_SECOND = 36, 12  # of a turntable
MEDIA_TYPES: dict[Format, str] = {
    "glb": "model/gltf-binary",
    "usdz": "model/vnd.usdz+zip",
    "obj": "application/zip",
    "ply": "application/octet-stream",
    "stl": "model/stl",
    "html": "text/html; charset=utf-8",
    "mp4": "video/mp4",
    "gif": "image/gif",
    "webp": "image/webp",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOptions:
    """How a file is made; what is None is as the format has it.

    Args:
        faces: triangles of a mesh.
        height: of a mesh, in metres.
        texture: pixels of a side of the picture that has a mesh's colours.
        lit: lamps light a mesh.
        size: pixels of a side of a turntable.
    """

    faces: int | None = None
    height: float | None = None
    texture: int | None = None
    lit: bool | None = None
    size: int | None = None

    def check(self, kind: Format) -> None:
        """Refuse what the format has not.

        Raises:
            UserError: names the first of them.
        """
        for name, formats in OPTIONS.items():
            if getattr(self, name) is not None and kind not in formats:
                raise UserError(f"{name}: {kind} files have none; leave it out, or choose {', '.join(formats)}")


def suffix_of(kind: Format) -> str:
    """Of the file that is sent: an OBJ comes with its materials and its picture."""
    return "zip" if kind == "obj" else kind


def steps_of(kind: Format) -> int:
    """How often `write_file` says that it has come further."""
    return 0 if kind == "html" else FRAMES if kind in VIDEOS else MESH_STAGES


def write_file(
    path: Path, avatar: Avatar, kind: Format, options: FileOptions, callback_on_step_end: Callable[[], None]
) -> None:
    """Write an avatar in a format, whole or not at all.

    Args:
        callback_on_step_end: called `steps_of(kind)` times on the way; what it raises ends the work.

    Raises:
        UserError: the avatar has no surface, an option does not fit, a package is missing, or the place cannot be
            written.
    """
    options.check(kind)
    with atomic_path(path) as temporary:
        made = temporary.with_name(f"avatar.{kind}")
        if kind == "html":
            write_html(made, avatar)
        elif kind in VIDEOS:
            write_video(
                made,
                avatar.turntable(FRAMES, options.size or 256, callback_on_frame_end=callback_on_step_end),
                FRAMES_PER_SECOND,
            )
        else:
            export_mesh(
                made,
                avatar,
                resolution=RESOLUTION,
                faces=options.faces,
                height=options.height or BUST_HEIGHT,
                texture=options.texture,
                lit=bool(options.lit),
                callback_on_stage_end=callback_on_step_end,
            )
        if kind == "obj":
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for one in sorted(made.parent.glob("avatar.*")):
                    archive.write(one, one.name)
        else:
            made.rename(temporary)
