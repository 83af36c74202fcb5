"""The files that a capture's `transforms.json` names, wherever it was written: with or without suffix, with the slashes
of Windows, or by the absolute paths of another machine, whose last parts are looked for beside the file."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from rodin.errors import UserError, shown

IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG", ".tif", ".tiff", ".bmp")

OUTSIDE = "RODIN_ALLOW_OUTSIDE"  # in the environment, which reaches the processes that fit and train
LONGEST = 1024  # characters of a path
_WINDOWS_ABSOLUTE = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")


def named_file(name: Any, folder: Path, where: str, key: str) -> Path:
    """The file in `folder` that `name` means; where there is none, the path that it should have.

    Args:
        name: what stands under `key` in the file.
        where: names the file and the frame in errors.

    Raises:
        UserError: it is no name, an absolute path of another machine whose last parts name nothing here, or a path out
            of the folder: a stranger's set would turn a picture from elsewhere on this machine into planes.
    """
    if not isinstance(name, str) or not name or "\0" in name or len(name) > LONGEST:
        raise UserError(f"{where}: {key} is {shown(name)}; name an image file relative to the folder")
    for spelled in (name, name.replace("\\", "/")):
        found = _existing(folder / spelled)
        if found is not None and (allows_outside() or _is_inside(found, folder)):
            return found
    if not (name.startswith("/") or _WINDOWS_ABSOLUTE.match(name)):
        path = folder / name.replace("\\", "/")
        if not (allows_outside() or _is_inside(path, folder)):
            raise _leaves(where, key, name, folder)
        return path
    pure = PurePosixPath(name) if name.startswith("/") else PureWindowsPath(name)
    parts = pure.parts[1:]  # without the root
    for first in range(len(parts)):
        inner = _existing(folder.joinpath(*parts[first:]))
        if inner is not None and (allows_outside() or _is_inside(inner, folder)):
            return inner
    if found is not None:
        raise _leaves(where, key, name, folder)
    raise UserError(
        f"{where}: {key} {shown(name)} is a path of another machine, and no end of it names a file in {folder}; "
        f"put {'/'.join(parts[-2:])} there, or mend the path"
    )


def allow_outside() -> None:
    """From now on, in this process and those that it starts, captures may name files outside their folders."""
    os.environ[OUTSIDE] = "1"


def allows_outside() -> bool:
    """Whether captures may name files outside their folders."""
    return os.environ.get(OUTSIDE) == "1"


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, links followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name too long
        return False


def _leaves(where: str, key: str, name: str, folder: Path) -> UserError:
    return UserError(
        f"{where}: {key} {shown(name)} leaves {folder}; put the file there, or allow it with --allow-outside"
    )


def _existing(path: Path) -> Path | None:
    try:
        if path.is_file():
            return path
        # NeRF-synthetic leaves the suffix out
        others = (path.parent / (path.name + suffix) for suffix in IMAGE_SUFFIXES)
        return next((other for other in others if other.is_file()), None)
    except (OSError, ValueError):  # a name too long to be one
        return None
