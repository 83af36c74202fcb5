"""Models beside the one under evaluation, named on the command line as NAME=MODEL."""

from __future__ import annotations

from pathlib import Path

from rodin.avatars.pipeline import RodinPipeline
from rodin.errors import UserError

OWN_ROWS = ("this model", "no guidance")  # rows that every report has


def load_models(entries: tuple[str, ...]) -> dict[str, RodinPipeline]:
    """Models by name, in the order of the entries.

    Raises:
        UserError: an entry is not NAME=MODEL, a name is taken, or a model cannot be read.
    """
    folders: dict[str, Path] = {}
    for entry in entries:
        name, equals, folder = entry.partition("=")
        name = name.strip()
        if not equals or not name or not folder:
            raise UserError(f"--against: {entry!r}; give NAME=MODEL, such as no-aware=RUN/ablations/no-aware/model")
        if name in (*OWN_ROWS, *folders):
            raise UserError(f"--against: {name!r} is a row already; give {folder} another name")
        folders[name] = Path(folder)
    return {name: RodinPipeline.from_pretrained(folder) for name, folder in folders.items()}
