"""Ctrl-C and SIGTERM: both end a command in the same orderly way, and long work puts them off to a better moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which whatever cleans up after Ctrl-C cleans up after too."""


@contextmanager
def orderly_end() -> Iterator[None]:
    """While this runs, SIGTERM raises `Terminated`. In threads other than the first it stays what it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def no_more() -> None:
    """All is done: what comes while the interpreter ends is too late, and would give a finished command another exit
    code."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def put_off() -> Iterator[Callable[[], bool]]:
    """While this runs, Ctrl-C and SIGTERM only note that the end is asked for, which what this yields tells; after it
    they are as if they came then. The same one a second time is heard at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if number in asked:
            restore()
            signal.raise_signal(number)
        asked.append(number)

    before = {number: signal.signal(number, note) for number in ASKING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield lambda: bool(asked)
    finally:
        restore()
    if asked:
        signal.raise_signal(asked[0])
