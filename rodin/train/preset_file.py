"""The names of presets, and the files that hold others, as YAML. Without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from rodin.errors import UserError, one_line

PresetName = Literal["smoke", "mini", "paper"]
NAMES: tuple[str, ...] = get_args(PresetName)


def read_preset_file(path: Path) -> Any:
    """The fields of a preset, as YAML has them.

    Raises:
        UserError: no such file, or it is no YAML.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--preset: {str(path)!r} is no preset; choose {', '.join(NAMES)} or a .yaml file")
    try:
        return parse_yaml(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; write one with: rodin preset smoke > {path}") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def parse_yaml(text: str | bytes, where: Path | str) -> Any:
    """What YAML says, with any byte order mark.

    Raises:
        UserError: it is none.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: Path | str, error: Exception) -> UserError:
    return UserError(f"{where}: not readable as YAML ({one_line(error)}); write one with: rodin preset smoke")


def check_preset(name_or_file: str) -> None:
    """Raise UserError unless it is the name of a preset, or a file that may hold one."""
    if name_or_file not in NAMES:
        read_preset_file(Path(name_or_file))
