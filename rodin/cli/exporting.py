"""What `rodin export` does: an avatar as a mesh, as Gaussians, as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.gaussians import gaussians_of, write_gaussians
from rodin.avatars.html_file import write_html
from rodin.avatars.mesh_export import export_mesh
from rodin.avatars.mesh_files import LIT, SUFFIXES, TEXTURED
from rodin.errors import UserError


def export(
    avatar: Path,
    kind: Literal["glb", "usdz", "obj", "ply", "stl"] | None,
    out: Path | None,
    *,
    resolution: int,
    threshold: float,
    faces: int | None,
    height: float,
    texture: int | None,
    lit: bool = False,
) -> None:
    """The avatar's mesh in a file, its height in metres."""
    _check_size(resolution, height)
    if not 0 < threshold < math.inf:
        raise UserError(f"--threshold: {threshold}; choose a density above 0")
    if texture is not None and not 16 <= texture <= 8192:
        raise UserError(f"--texture: {texture}; choose 16 to 8192 pixels")
    out = out or _beside(avatar, f".{kind or 'glb'}")
    suffix = out.suffix.lower()
    if kind is not None and suffix != f".{kind}":
        raise UserError(f"--out: {out} does not end in .{kind}; change it or --format")
    if suffix not in SUFFIXES:
        raise UserError(f"--out: {out} ends in no mesh format; choose {', '.join(SUFFIXES)}")
    if texture is not None and suffix not in TEXTURED:
        raise UserError(f"--texture: {suffix} has no textures; choose {', '.join(TEXTURED)}, or leave it out")
    if lit and suffix not in LIT:
        raise UserError(f"--lit: {suffix} has no unlit materials; choose {' or '.join(LIT)}, or leave it out")
    loaded = Avatar.load(avatar)
    export_mesh(
        out,
        loaded,
        resolution=resolution,
        threshold=threshold,
        faces=faces,
        height=height,
        texture=texture,
        lit=lit,
    )
    print(out)


def export_gaussians(avatar: Path, out: Path | None, *, resolution: int, height: float, others: Sequence[str]) -> None:
    """The avatar as 3D Gaussians, its height in metres.

    Args:
        others: flags of meshes that were given too.
    """
    if others:
        raise UserError(f"{', '.join(others)}: Gaussians have no surface; leave it out")
    _check_size(resolution, height)
    out = out or _beside(avatar, "-gaussians.ply")
    if out.suffix.lower() != ".ply":
        raise UserError(f"--out: {out} does not end in .ply; change it or --format")
    write_gaussians(out, gaussians_of(Avatar.load(avatar).renderer, resolution), height)
    print(out)


def _beside(avatar: Path, end: str) -> Path:
    """Where a file of an avatar goes if nobody says."""
    return avatar.with_name(avatar.name.removesuffix(SUFFIX) + end)


def _check_size(resolution: int, height: float) -> None:
    if not 8 <= resolution <= 1024:
        raise UserError(f"--resolution: {resolution}; choose 8 to 1024")
    if not 0 < height < math.inf:
        raise UserError(f"--height: {height}; choose metres above 0")


def export_page(avatar: Path, out: Path | None, others: Sequence[str]) -> None:
    """The avatar as an HTML page.

    Args:
        others: flags of meshes that were given too.
    """
    if others:
        raise UserError(f"{', '.join(others)}: a page shows the avatar itself, not a mesh; leave it out")
    out = out or _beside(avatar, ".html")
    if out.suffix.lower() != ".html":
        raise UserError(f"--out: {out} does not end in .html; change it or --format")
    write_html(out, Avatar.load(avatar))
    print(out)
