"""The files that a capture's `transforms.json` names, wherever it was written: with or without suffix, with the slashes
of Windows, or by the absolute paths of another machine, whose last parts are looked for beside the file."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from rodin.errors import UserError

IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG", ".tif", ".tiff", ".bmp")

_WINDOWS_ABSOLUTE = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")


def named_file(name: Any, folder: Path, where: str, key: str) -> Path:
    """The file in `folder` that `name` means; where there is none, the path that it should have.

    Args:
        name: what stands under `key` in the file.
        where: names the file and the frame in errors.

    Raises:
        UserError: it is no name, or an absolute path of another machine whose last parts name nothing here.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"{where}: {key} is {shown(name)}; name an image file relative to the folder")
    found = _existing(folder / name)
    if found is None and "\\" in name:
        found = _existing(folder / name.replace("\\", "/"))
    if found is not None:
        return found
    if not (name.startswith("/") or _WINDOWS_ABSOLUTE.match(name)):
        return folder / name.replace("\\", "/")
    path = PurePosixPath(name) if name.startswith("/") else PureWindowsPath(name)
    parts = path.parts[1:]  # without the root
    for first in range(len(parts)):
        found = _existing(folder.joinpath(*parts[first:]))
        if found is not None:
            return found
    raise UserError(
        f"{where}: {key} {shown(name)} is a path of another machine, and no end of it names a file in {folder}; "
        f"put {'/'.join(parts[-2:])} there, or mend the path"
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


def shown(value: Any) -> str:
    """A value as an error names it: on one line, and not all of a long one."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
