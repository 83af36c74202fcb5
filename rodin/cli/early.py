"""What a command can refuse before torch is imported, which takes more than a second: what is not there, or in the way.

The commands check all else themselves, and these again where a file may come and go.
"""

from __future__ import annotations

from pathlib import Path

from rodin.avatars.avatar_file import check_is_there
from rodin.errors import UserError
from rodin.models.index import read_index, shipped_folder
from rodin.storage import Place


def check_folder(out: Place) -> None:
    """Raise UserError if a folder cannot be written to `out`, since it is a file."""
    if isinstance(out, Path) and out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; choose a folder")


def check_drawing(out: Path, model: Path | None, *avatars: Path) -> None:
    """Raise UserError unless avatars could be drawn by a model, and written to `out`.

    Args:
        model: its folder; None is the model that comes with the package.
        avatars: files that are read.
    """
    check_folder(out)
    for avatar in avatars:
        check_is_there(avatar)
    read_index(shipped_folder() if model is None else model)


def check_evaluation(held_out: Path, train_data: Path, out: Path, model: Path | None, preset: str | None) -> None:
    """Raise UserError unless there are both sets of subjects, a model, and the preset, where one is named."""
    from rodin.data.subject_folders import list_subjects
    from rodin.train.preset_file import check_preset

    for data in (held_out, train_data):
        list_subjects(data)
    check_drawing(out, model)
    if preset is not None:
        check_preset(preset)


def check_training(data: Place | None, preset: str) -> None:
    """Raise UserError unless there are subjects to train on, where any are named, and such a preset."""
    from rodin.data.subject_folders import list_subjects
    from rodin.train.preset_file import check_preset

    if data is not None:
        list_subjects(data)
    check_preset(preset)
