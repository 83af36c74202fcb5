"""The folders of a data set that hold subjects. Without torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import overload

from rodin.errors import UserError
from rodin.storage import Place, names_in

TRANSFORMS_NAMES = ("transforms.json", "transforms_train.json")  # the second is NeRF-synthetic's own training split
ASKED_AT_ONCE = 32  # folders under a URL, each of which is a question that takes its time


@overload
def list_subjects(data: Path) -> list[Path]: ...
@overload
def list_subjects(data: Place) -> list[Place]: ...
def list_subjects(data: Place) -> list[Path] | list[Place]:
    """The subject folders in `data`, a folder of this machine or a URL, sorted by name; `data` itself if it is one.

    Raises:
        UserError: no such folder, or no subject in it.
    """
    if isinstance(data, Path) and not data.is_dir():
        raise UserError(f"{data}: no such folder; give the folder that holds the subjects")
    if transforms_name(data) is not None:
        return [data]
    folders = [data / name for name in names_in(data)]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = pool.map(transforms_name, folders)
        subjects = [folder for folder, name in zip(folders, found, strict=True) if name is not None]
    if not subjects:
        raise UserError(f"{data}: neither it nor a folder in it has a {TRANSFORMS_NAMES[0]}; give a folder of subjects")
    return subjects


def transforms_name(folder: Place) -> str | None:
    """The file that makes a folder a subject; None where it is none."""
    return next((name for name in TRANSFORMS_NAMES if (folder / name).is_file()), None)


def subject_name(folder: Place) -> str:
    """What a subject is called: as its folder, which "." is no name of."""
    return folder.resolve().name if isinstance(folder, Path) else folder.name
