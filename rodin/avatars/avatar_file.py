"""What an avatar's file is called, and whether it is there. Without torch."""

from __future__ import annotations

from pathlib import Path

from rodin.errors import UserError

SUFFIX = ".rodin.safetensors"


def check_is_there(path: Path) -> None:
    """Raise UserError unless there is such a file."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; give an avatar ({SUFFIX}) that rodin generate wrote")
