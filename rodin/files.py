"""Writing files so that a half-written one is never taken for whole: a temporary name first, then a rename.

The temporary lies in a folder `.writing-HOST+PID+START-...` beside the file, which names the process that writes it.
Those of processes that were killed are swept.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from rodin.errors import UserError, one_line, shown
from rodin.writer import is_gone, own_name

SCRATCH = ".writing-"
TORCH_WRITER = "inline_container"  # torch.save says RuntimeError, naming this source file, where the disk is full


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it onto `path` on success, remove it on any failure.

    The temporary name keeps the suffix of `path`, since many writers choose their format by it. The block may write a
    file or make a folder; a folder replaces an older one of the same name.

    Raises:
        UserError: the disk is full, or the place cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{own_name()}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose a folder that can") from error
    temporary = scratch / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            path.rename(scratch / f"old-{path.name}")
        if temporary.is_file():
            temporary.chmod(0o666 & ~_umask())  # some writers make private files
        _settle(temporary)
        os.replace(temporary, path)
        _settle_names(path.parent)
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and TORCH_WRITER not in str(error):
            raise
        raise UserError(f"{path}: not written ({_why(error, path, scratch)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _why(error: Exception, path: Path, scratch: Path) -> str:
    """What went wrong while a file was written, and what to do."""
    if not scratch.is_dir():
        return f"{path.parent} was deleted or moved while it was); leave it where it is, and run the command again"
    if isinstance(error, RuntimeError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the disk is full); free some space or choose another folder"
    reason = getattr(error, "strerror", None) or error
    full = "" if isinstance(error, OSError) else "free some space or "  # safetensors does not say which it was
    return f"{reason}); {full}choose another folder"


def sweep(folder: Path) -> None:
    """Remove what processes that are gone left half-written, anywhere in a folder."""
    for scratch in Path(folder).rglob(f"{SCRATCH}*"):
        writer, _, _ = scratch.name.removeprefix(SCRATCH).rpartition("-")
        if is_gone(writer):
            shutil.rmtree(scratch, ignore_errors=True)


def _settle(path: Path) -> None:
    """Have the disk keep what was written before its name says that it is whole: a rename may reach it first."""
    if path.is_dir():
        for inner in path.iterdir():
            _settle(inner)
        _settle_names(path)
        return
    with path.open("r+b" if os.name == "nt" else "rb") as file:  # Windows keeps what may be written
        os.fsync(file.fileno())


def _settle_names(folder: Path) -> None:
    """Have the disk keep the names in a folder, where its file system can be asked to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    """The permissions that this process takes away from new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def check_regular(path: Path) -> None:
    """Raise UserError if something is there that is no file: to read a pipe or a device may take for ever."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # which whoever reads it tells better
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{path}: is no file but a pipe or a device; copy what it gives into a file")


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text from outside, as bytes in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        ValueError: it is not JSON, an object has a key twice, or it is nested too deep to be read.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def read_json(path: Path) -> Any:
    """The JSON value in `path`, in UTF-8 or, as some tools of Windows write it, with a byte order mark or in UTF-16.

    Raises:
        UserError: the file is missing, unreadable, not JSON, or nested too deep to be read.
    """
    check_regular(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check that it is a file you may read") from error
    except ValueError as error:  # a name that no file can have
        raise UserError(f"{path}: not valid JSON ({one_line(error)}); write the file again") from error
    return json_of(data, path)


def json_of(data: bytes, path: object) -> Any:
    """The JSON value in the bytes of a file, which `path` names in errors.

    Raises:
        UserError: it is not JSON, or nested too deep to be read.
    """
    try:
        return parse_json(data)
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({one_line(error)}); write the file again") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys stand once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(twice)} stands twice")
    return found


def check_schema(path: object, found: Any, reads: Sequence[str | int], remedy: str) -> None:
    """Raise UserError unless a file is of a schema that this version reads; names end in a number that grows.

    Args:
        reads: the newest first.
        remedy: for a file that is older than all of them, or no such file at all.
    """
    if found in reads and type(found) is type(reads[0]):
        return
    stem, number = _numbered(reads[0])
    newer = type(found) is type(reads[0]) and _numbered(found)[0] == stem and _numbered(found)[1] > number
    if newer:
        remedy = "it was written by a newer version: install that"
    raise UserError(f"{path}: schema is {shown(found)}, this version reads {reads[0]!r}; {remedy}")


def _numbered(schema: Any) -> tuple[str, int]:
    """A schema's name without its number, and the number."""
    text = str(schema)
    stem = text.rstrip("0123456789")
    digits = text[len(stem) :]
    return stem, int(digits) if 0 < len(digits) < 10 else -1


def check_settings(path: Path, settings: Mapping[str, Any], whose: str, remedy: str) -> None:
    """Compare settings with those noted in a JSON file, where there is one.

    Args:
        settings: by name, as values that JSON knows or dataclasses gave.
        whose: what has the noted settings, as the start of a sentence: "the unfinished run has".

    Raises:
        UserError: a setting differs, or the file is damaged.
    """
    if not Path(path).exists():
        return
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a mapping of settings, found {type(found).__name__}; {remedy}")
    wanted = plain(settings)
    for name in (*wanted, *(other for other in found if other not in wanted)):
        if name not in found or name not in wanted or found[name] != wanted[name]:
            theirs, ours = found.get(name), wanted.get(name)
            raise UserError(f"{path}: {whose} {name} {theirs!s:.80}, not {ours!s:.80}; {remedy}")


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they will be read from JSON: tuples become lists."""
    values: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return values
