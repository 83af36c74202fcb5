"""Checksums of what is written, by which a flipped byte is found: CRC-32, as zip and PNG have it, of whole files.

FOLDER/checksums.json   of the files in a folder, and in folders in it that have no list of their own
sealed                  a safetensors file that stands alone has its own in its metadata: `crc32`, taken with zeros in
                        that place, and `sealed`, so that the loss of one of the two is seen

A folder or a file without any was written by an older version, and is read as it is.
"""

from __future__ import annotations

import json
import mmap
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rodin.errors import UserError
from rodin.files import SCRATCH, check_schema
from rodin.storage import Place, open_file, read_json, write_json, written

NAME = "checksums.json"
SCHEMA = 1
NOT_LISTED = ("README.md",)  # written by hand
CHUNK = 2**24  # bytes
_SUM = re.compile("[0-9a-f]{8}")


# ---- folders


def note(folder: Path) -> None:
    """Write the list of a folder that is finished."""
    folder = Path(folder)
    write_list(folder, {str(path.relative_to(folder)): file_sum(path) for path in _own_files(folder)})


def write_list(folder: Place, sums: Mapping[str, str]) -> None:
    """Write the list of a folder, of checksums by names with slashes."""
    write_json(folder / NAME, {"schema": SCHEMA, "crc32": dict(sorted(sums.items()))})


def finish(folder: Path, name: str, value: Any) -> None:
    """Write the JSON file that says of a folder that it is finished, and before it is there, the folder's list."""
    finish_with(folder, name, value, {str(path.relative_to(folder)): file_sum(path) for path in _own_files(folder)})


def finish_with(folder: Place, name: str, value: Any, sums: Mapping[str, str]) -> None:
    """As `finish`, where the checksums of the other files are known."""
    with written(folder / name) as temporary:
        write_json(temporary, value)
        write_list(folder, {**sums, name: file_sum(temporary)})


def check(folder: Place, names: Iterable[str], copy: Path | None = None) -> None:
    """Raise UserError if a file of `folder` is not what was written, by the folder's list or that of the one above.

    Args:
        copy: where the one file was copied to, which is read instead.

    Raises:
        UserError: a file is damaged or missing, or so is the list.
    """
    for holder, above in ((folder, ""), (folder.parent, f"{folder.name}/")):
        if (holder / NAME).is_file():
            prefix, sums = above, read_list(holder)
            break
    else:
        return
    for name in names:
        if (problem := _problem(folder / name, prefix + name, sums, copy)) is not None:
            raise UserError(f"{problem}, or, if you changed it yourself, delete {holder / NAME}")


def read_list(folder: Place) -> dict[str, str]:
    """The list of a folder.

    Raises:
        UserError: it is damaged, or of a newer version.
    """
    path = folder / NAME
    document = read_json(path)
    schema, sums = (document.get("schema"), document.get("crc32")) if isinstance(document, dict) else (None, None)
    check_schema(path, schema, [SCHEMA], "copy the whole folder again")
    if not isinstance(sums, dict) or not all(isinstance(one, str) and _SUM.fullmatch(one) for one in sums.values()):
        raise UserError(f"{path}: crc32 is no list of checksums; copy the whole folder again")
    return dict(sums)


def problems(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Every file that the list of a folder names, with what is wrong with it.

    Raises:
        UserError: as `read_list`.
    """
    sums = read_list(folder)
    for name in sums:
        yield Path(folder) / name, _problem(Path(folder) / name, name, sums)


def _problem(path: Place, name: str, sums: Mapping[str, str], copy: Path | None = None) -> str | None:
    if name not in sums:
        return f"{path}: {NAME} does not name it; copy the whole folder again"
    if copy is None and not path.is_file():
        return f"{path}: no such file, which {NAME} names; copy the whole folder again"
    found = file_sum(copy or path)
    if found != sums[name]:
        return f"{path}: damaged (checksum {found}, {sums[name]} was written); copy or make it again"
    return None


def _own_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.name.startswith(SCRATCH) and not (path / NAME).exists():
            yield from _own_files(path)
        elif path.is_file() and path.name not in (NAME, *NOT_LISTED):
            yield path


def file_sum(path: Place) -> str:
    """CRC-32 of a file, as 8 hexadecimal digits.

    Raises:
        UserError: it cannot be read.
    """
    found = 0
    try:
        with open_file(path) as file:
            while chunk := file.read(CHUNK):
                found = zlib.crc32(chunk, found)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the disk, or copy it again") from error
    return f"{found:08x}"


# ---- files that stand alone


def seal(path: Path) -> None:
    """Give a safetensors file its checksum, and its metadata a fixed order: the same tensors make the same bytes."""
    path = Path(path)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    facts = {**header.pop("__metadata__", {}), "crc32": "0" * 8, "sealed": "crc32"}
    whole = {"__metadata__": dict(sorted(facts.items())), **header}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    blank = b"".join([len(text).to_bytes(8, "little"), text, data[8 + size :]])
    place = blank.index(b'"crc32":"') + len(b'"crc32":"')
    path.write_bytes(blank[:place] + f"{zlib.crc32(blank):08x}".encode() + blank[place + 8 :])


def check_seal(path: Path, facts: Mapping[str, str]) -> bool:
    """Whether a safetensors file with this metadata is sealed. Raises ValueError if it is, and is damaged."""
    if "crc32" not in facts and "sealed" not in facts:
        return False
    wanted = facts.get("crc32", "")
    if not _SUM.fullmatch(wanted) or facts.get("sealed") != "crc32":
        raise ValueError("its checksum is damaged")
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(b'"crc32":"') + len(b'"crc32":"')
        found = zlib.crc32(b"0" * 8, zlib.crc32(memoryview(data)[:place]))
        found = zlib.crc32(memoryview(data)[place + 8 :], found)
    if f"{found:08x}" != wanted:
        raise ValueError(f"checksum {found:08x}, {wanted} was written")
    return True
