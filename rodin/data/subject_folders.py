"""The folders of a data set that hold subjects. Without torch."""

from __future__ import annotations

from pathlib import Path

from rodin.errors import UserError

TRANSFORMS_NAMES = ("transforms.json", "transforms_train.json")  # the second is NeRF-synthetic's own training split


def list_subjects(data: Path) -> list[Path]:
    """The subject folders in `data`, sorted by name; `data` itself if it is a subject folder.

    Raises:
        UserError: no such folder, or no subject in it.
    """
    data = Path(data)
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; give the folder that holds the subjects")
    if transforms_path(data) is not None:
        return [data]
    subjects = sorted(folder for folder in data.iterdir() if folder.is_dir() and transforms_path(folder) is not None)
    if not subjects:
        raise UserError(f"{data}: neither it nor a folder in it has a {TRANSFORMS_NAMES[0]}; give a folder of subjects")
    return subjects


def transforms_path(folder: Path) -> Path | None:
    return next((folder / name for name in TRANSFORMS_NAMES if (folder / name).is_file()), None)
