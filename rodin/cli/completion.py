"""Completion scripts for shells, made by tyro from the commands themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

import tyro

Commands = Mapping[str, Callable[..., None]]
Shell = Literal["bash", "zsh"]


def print_completion(shell: Shell, commands: Commands, groups: Mapping[str, tuple[Commands, str]]) -> None:
    """Print a script that completes commands, those of groups such as `train`, and their flags.

    Args:
        groups: the commands of a group, and its help.
    """
    whole = {**commands, **{name: _as_one(inside, about) for name, (inside, about) in groups.items()}}
    tyro.extras.subcommand_cli_from_dict(
        whole,
        prog="rodin",
        args=["--tyro-print-completion", shell],
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )


def _as_one(commands: Commands, about: str) -> Callable[..., None]:
    """A group as one command whose only argument is a command of it, which is how tyro nests them."""

    def group(command: Any) -> None:
        """Never called: it is there to be described."""

    choices = [Annotated[Any, tyro.conf.subcommand(name=name, constructor=one)] for name, one in commands.items()]
    nested: Any = Union.__getitem__(tuple(choices) + (Annotated[None, tyro.conf.Suppress],))  # noqa: RUF005
    group.__annotations__ = {"command": nested, "return": None}
    group.__doc__ = about
    return group
