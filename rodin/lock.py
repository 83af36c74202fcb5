"""One process a folder: a second one that would write into the same run, set or gallery is refused.

FOLDER/.lock names the process that has it. The system itself holds the lock, and lets go of it when that process ends,
however it ends; so a lock whose process is gone holds nobody up. On storage that machines share without sharing locks,
the name alone counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rodin.errors import UserError
from rodin.files import sweep
from rodin.held_file import hold
from rodin.storage import Place, Url
from rodin.writer import described, is_gone, own_name

LOCK_NAME = ".lock"


@contextmanager
def locked(folder: Place) -> Iterator[None]:
    """Have `folder` for oneself, which is made if it is not there, and sweep what dead processes left half-written.

    A folder that is empty in the end is removed. Under a URL there are no locks, and nothing half-written either: what
    two write there is the same.

    Raises:
        UserError: another process has it; it cannot be made; or it was deleted while this ran.
    """
    if isinstance(folder, Url):
        yield
        return
    if os.environ.get("RANK", "0") != "0":  # of a run on several processes (torchrun): the first has it for all
        yield
        return
    path = folder / LOCK_NAME
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose a folder that can") from error
    try:
        try:
            _take(descriptor, folder)
        except OSError as error:
            raise UserError(
                f"{path}: not written ({error.strerror}); free some space or choose another folder"
            ) from error
        sweep(folder)
        try:
            yield
        finally:
            if not _is(path, descriptor):
                raise UserError(
                    f"{folder}: was deleted or moved while this ran, and what was in it with it; run the command again"
                )
            if sys.platform == "win32":  # removes nothing that is open
                os.close(descriptor)
                descriptor = -1
                with suppress(OSError):  # another has taken it
                    path.unlink()
            else:
                path.unlink()
            if made:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()
    finally:
        if descriptor != -1:
            os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    """Take the lock, or raise a UserError that names who has it."""
    try:
        hold(descriptor)
        free = True
    except OSError:
        free = False
    os.lseek(descriptor, 0, os.SEEK_SET)
    holder = os.read(descriptor, 4096).decode("utf-8", errors="replace").strip()
    same = _is(folder / LOCK_NAME, descriptor)  # else its last holder has just removed it
    if not (free and same) or (holder and not is_gone(holder) and holder != own_name()):
        raise UserError(
            f"{folder}: {described(holder)} is writing there; wait until it ends, choose another folder, or, if that "
            f"process is gone, delete {folder / LOCK_NAME}"
        )
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"{own_name()}\n".encode())


def _is(path: Path, descriptor: int) -> bool:
    """Whether a file is the one that is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False
