"""`rodin verify`: every file under a folder that has a checksum, compared with it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from rodin import checksums
from rodin.errors import UserError, one_line

SHOWN = 20  # damaged files that are named
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk, which Pillow does not compare
CHECKED = (".safetensors", ".pt", ".tar", ".png", ".webp", ".npz")  # files that are worth a checksum


def verify(folder: Path) -> None:
    """Print how many files are whole.

    Raises:
        UserError: there is no such folder, or a file is damaged or missing; each is a line of its own.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one to verify")
    whole, damaged = set(), []
    for path, problem in tqdm(_checked(folder), desc="verifying", unit="file", delay=0.5):
        if problem is None:
            whole.add(path)
        else:
            damaged.append(problem)
            if len(damaged) <= SHOWN:
                tqdm.write(problem)
    without = sum(path.suffix in CHECKED and path not in whole for path in folder.rglob("*") if path.is_file()) - len(
        damaged
    )
    if damaged:
        more = f" (the first {SHOWN} are named above)" if len(damaged) > SHOWN else ""
        raise UserError(f"{folder}: {len(damaged)} of {len(damaged) + len(whole)} files are damaged{more}; "
                        "copy or make them again")  # fmt: skip
    print(f"{folder}: {len(whole)} files are whole" + (f", {without} have no checksum" if without > 0 else ""))


def _checked(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Files with checksums, and what is wrong with each."""
    listed = set()
    for path in sorted(folder.rglob(checksums.NAME)):
        try:
            for one, problem in checksums.problems(path.parent):
                listed.add(one)
                yield one, problem
        except UserError as error:
            yield path, str(error)
    for path in sorted(folder.rglob("*")):
        if path in listed or not path.is_file():
            continue
        if path.suffix == ".safetensors":
            yield from _sealed(path)
        elif path.suffix == ".pt":
            yield path, _archive_problem(path)
        elif path.suffix == ".png":
            yield path, _picture_problem(path)


def _sealed(path: Path) -> Iterator[tuple[Path, str | None]]:
    try:
        with safe_open(path, framework="numpy") as file:
            sealed = checksums.check_seal(path, file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        yield path, f"{path}: damaged ({one_line(error)}); copy or make it again"
    else:
        if sealed:
            yield path, None


def _picture_problem(path: Path) -> str | None:
    """What is wrong with a PNG, each chunk of which has a checksum of its own."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()
        if not path.read_bytes().endswith(PNG_END):
            raise ValueError("its end is not that of a PNG")
    except Exception as error:  # SyntaxError, struct.error and others: whatever damaged bytes can raise in Pillow
        return f"{path}: damaged ({one_line(error, kind=True)}); copy or make it again"
    return None


def _archive_problem(path: Path) -> str | None:
    """What is wrong with a checkpoint, which is a zip file with checksums of its own."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        damaged = one_line(error)
    return None if damaged is None else f"{path}: damaged ({damaged}); delete it, or copy it again"
