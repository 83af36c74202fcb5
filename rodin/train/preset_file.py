"""The names of presets, and the files that hold others, as YAML. Without torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from rodin.errors import UserError, one_line, shown
from rodin.files import check_regular

PresetName = Literal["smoke", "mini", "mini-gpu", "paper"]
MOST_BYTES = 2**20
NAMES: tuple[str, ...] = get_args(PresetName)


def read_preset_file(path: Path) -> Any:
    """The fields of a preset, as YAML has them.

    Raises:
        UserError: no such file, or it is no YAML.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--preset: {str(path)!r} is no preset; choose {', '.join(NAMES)} or a .yaml file")
    check_regular(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: {path.stat().st_size} bytes; a preset has at most {MOST_BYTES}")
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
        return yaml.load(text, _Plain)  # a SafeLoader  # nosec B506
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: Path | str, error: Exception) -> UserError:
    return UserError(f"{where}: not readable as YAML ({one_line(error)}); write one with: rodin preset smoke")


class _Plain(yaml.SafeLoader):
    """YAML without what no preset needs: aliases, which a few lines multiply to gigabytes, and keys twice."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases are not read; write the value out", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise yaml.MarkedYAMLError(problem=f"the key {shown(twice[0])} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def check_preset(name_or_file: str) -> None:
    """Raise UserError unless it is the name of a preset, or a file that may hold one."""
    if name_or_file not in NAMES:
        read_preset_file(Path(name_or_file))
