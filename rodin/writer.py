"""Which process writes: a name by which another process can tell whether it is still there."""

from __future__ import annotations

import os
import re
import socket
import sys
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"([^+/]+)\+(\d+)\+(\d+)")


def own_name() -> str:
    """HOST+PID+START of this process. START tells it from a later one with the same number; 0 where that is unknown."""
    return f"{host()}+{os.getpid()}+{_start(os.getpid())}"


@lru_cache
def host() -> str:
    """This machine's name, as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname()) or "unnamed"


def is_gone(name: str) -> bool:
    """Whether a process of that name ran on this machine and has ended. Of other machines nobody knows."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] != host():
        return False
    number, start = int(found[2]), int(found[3])
    if sys.platform == "win32":  # where os.kill asks nothing but kills
        import psutil

        return not psutil.pid_exists(number)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's
        pass
    return start not in (0, _start(number))


def described(name: str) -> str:
    """A process of that name, in words."""
    found = _NAME.fullmatch(name)
    return f"process {found[2]} on {found[1]}" if found else "another process"


def _start(number: int) -> int:
    """When a process began, in ticks since this machine did; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0
