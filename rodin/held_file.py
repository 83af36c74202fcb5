"""An open file that one process holds: the system lets go of it when that process ends, however it ends."""

from __future__ import annotations

import os
import sys

_BYTE = 2**30  # that Windows locks: far beyond what a file says, since nobody else may read what is locked


def hold(descriptor: int) -> None:
    """Hold an open file.

    Raises:
        BlockingIOError: another process holds it.
        OSError: its storage has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
