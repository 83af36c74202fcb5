"""Errors that a user can mend. Everything else that is raised is a defect of this project."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A user's file, flag or setting cannot be used.

    The message is one line: the file or field, the value found, the remedy. The command line prints it without a
    traceback and exits with code 2; in Python it is a `ValueError` like any other.
    """


def one_line(error: BaseException, kind: bool = False) -> str:
    """What an error says, as a part of a UserError's line.

    Args:
        kind: name its type first, where what it says is little by itself, as of a KeyError.
    """
    said = f"{type(error).__name__} {error}" if kind else str(error)
    return " ".join(said.split())[:200] or type(error).__name__


def shown(value: object) -> str:
    """A value as an error names it: on one line, and not all of one that is long, deep or multiplied."""
    try:
        text = _BRIEF.repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a {type(value).__name__} beyond all measure"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


SHOWN = 80  # characters
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = SHOWN + 4
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = SHOWN
_BRIEF.maxlevel = 3


@contextmanager
def named(what: object) -> Iterator[None]:
    """Say what a mistake in here is one of: a flag or a file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
