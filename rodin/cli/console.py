"""Standard output and error that take whatever is printed: on consoles of any encoding, and when nobody reads on."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

CLOSED_PIPE = 141  # as a shell reports a process that SIGPIPE has ended


@contextmanager
def console() -> Iterator[None]:
    """While this runs, a character that the console has not is printed as an escape, and a pipe whose reader has gone
    ends the command without a word."""
    for stream in _streams():
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except BrokenPipeError:
        if not _cut_off():  # another pipe broke, which is no matter of the console's
            raise
        sys.exit(CLOSED_PIPE)


def flush() -> None:
    """Write out what was printed, while an error can still be told."""
    for stream in _streams():
        stream.flush()


def _streams() -> list[TextIO]:
    """Those that there are: a program without a console has none."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _cut_off() -> bool:
    """Whether nobody reads standard output or error any more; what is left of it then goes nowhere, or Python would
    complain of it at its end."""
    found = False
    for stream in _streams():
        if _without_reader(stream.fileno()):
            found = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return found


def _without_reader(descriptor: int) -> bool:
    """Whether it is the end of a pipe or a socket that the other side has closed."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
