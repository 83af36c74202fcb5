"""Where files lie: in a folder of this machine, or under any URL that fsspec opens (s3://, gs://, memory://, ...).

A place is a `Path` or a `Url`, which has the few words of a `Path` that the two share here. Object stores have neither
locks nor renames: a file is put there at once, whole or not at all, and what finishes a folder is put last.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from rodin.errors import UserError, one_line
from rodin.files import atomic_path, json_of
from rodin.files import read_json as read_json_file
from rodin.writer import own_name

PUTS_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")  # what else there is gets a rename


@dataclass(frozen=True, slots=True)
class Url:
    """A file or folder that fsspec reaches, like s3://bucket/folder."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> Url:
        """All but the last part; of one that has no more, itself."""
        above = self.text.rstrip("/").rpartition("/")[0]
        return Url(above) if "://" in above else self

    def is_file(self) -> bool:
        """Whether there is such a file.

        Raises:
            UserError: the storage cannot be reached, or fsspec does not know it.
        """
        with _spoken(self, "read") as (system, path):
            return bool(system.isfile(path))


Place = Path | Url


def as_place(given: str | Place) -> Place:
    """What an argument means: a URL has ://, and one of file:// is a path."""
    if isinstance(given, Path | Url):
        return given
    if "://" not in given:
        return Path(given)
    return Path(unquote(urlsplit(given).path)) if given.startswith(("file://", "local://")) else Url(given)


def size_of(place: Place) -> int:
    """Bytes of a file.

    Raises:
        UserError: it is missing or cannot be reached.
    """
    if isinstance(place, Path):
        return place.stat().st_size
    with _spoken(place, "read") as (system, path):
        return int(system.size(path))


def names_in(place: Place) -> list[str]:
    """The names of what lies in a folder, sorted; none where there is no such folder.

    Raises:
        UserError: the storage cannot be reached.
    """
    if isinstance(place, Path):
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    with _spoken(place, "read") as (system, path):
        if not system.isdir(path):
            return []
        found = (name.rstrip("/").rpartition("/")[2] for name in system.ls(path, detail=False))
        return sorted(name for name in found if name)


def read_json(place: Place) -> Any:
    """As `rodin.files.read_json`, from any place."""
    if isinstance(place, Path):
        return read_json_file(place)
    with open_file(place) as file, _spoken(place, "read"):
        data = file.read()
    return json_of(data, place)


@contextmanager
def open_file(place: Place) -> Iterator[BinaryIO]:
    """A file's bytes, to read.

    Raises:
        UserError: a URL is missing or cannot be reached.
    """
    if isinstance(place, Path):
        with place.open("rb") as file:
            yield file
        return
    with _spoken(place, "read") as (system, path):
        opened = system.open(path, "rb")
    with opened:
        yield opened


@contextmanager
def at_hand(place: Place) -> Iterator[Path]:
    """A file as one of this machine: itself, or a copy of what a URL names, for as long as this runs.

    Raises:
        UserError: a URL is missing or cannot be reached.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="rodin-") as folder:
        copy = Path(folder) / place.name
        with _spoken(place, "read") as (system, path):
            system.get_file(path, str(copy))
        yield copy


def fetch(place: Url, folder: Path) -> None:
    """Copy all files below a URL into a folder of this machine.

    Raises:
        UserError: there are none, or the storage cannot be reached.
    """
    with _spoken(place, "read") as (system, path):
        found = system.find(path)
        if not found:
            raise FileNotFoundError(path)
        for one in found:
            copy = folder / one.removeprefix(path.rstrip("/")).lstrip("/")
            if not copy.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{place}: {one} leaves the folder; rename it")
            copy.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(one, str(copy))


def put(file: Path, place: Place) -> None:
    """Copy a file of this machine to a place, whole or not at all.

    Raises:
        UserError: the place cannot be written.
    """
    if isinstance(place, Path):
        with atomic_path(place) as temporary:
            shutil.copyfile(file, temporary)
        return
    with _spoken(place, "written") as (system, path):
        if place.text.partition("://")[0] in PUTS_WHOLE:
            system.put_file(str(file), path)
            return
        folder, _, name = path.rpartition("/")
        system.makedirs(folder, exist_ok=True)
        temporary_path = f"{folder}/.writing-{own_name()}-{name}"
        system.put_file(str(file), temporary_path)
        system.mv(temporary_path, path)


def remove(place: Place) -> None:
    """Remove a file, if it is there.

    Raises:
        UserError: the storage cannot be reached, or does not allow it.
    """
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
        return
    with _spoken(place, "written") as (system, path):
        if system.exists(path):
            system.rm_file(path)


@contextmanager
def _spoken(url: Url, done: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and its path there; whatever goes wrong meanwhile is said in one line.

    Args:
        done: what is being done to it, as a participle.
    """
    try:
        yield _resolved(url)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{url}: no such file or folder; check the address") from error
    except Exception as error:  # of the storage's own library, such as botocore's, which are of no common kind
        said = one_line(error, kind=True)
        raise UserError(f"{url}: cannot be {done} ({said}); check address, network and credentials") from error


def _resolved(url: Url) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # a tenth of a second of imports, which folders of this machine need not
    from fsspec.registry import known_implementations

    scheme = url.text.partition("://")[0]
    try:
        system, path = url_to_fs(url.text)
    except ImportError as error:
        known = known_implementations[scheme]
        package = known["class"].partition(".")[0]
        remedy = f"pip install {package}" if package != "fsspec" else one_line(Exception(known.get("err", error)))
        raise UserError(f"{url}: no library for {scheme}:// is installed; {remedy}") from error
    except ValueError as error:
        known_ones = "file, memory, s3 and gs are some"
        raise UserError(f"{url}: {one_line(error)}; give a folder, or a URL that fsspec knows: {known_ones}") from error
    system.invalidate_cache()  # others write there too
    return system, path
