"""Where files lie: in a folder of this machine, or under any URL that fsspec opens (s3://, gs://, memory://, ...).

A place is a `Path` or a `Url`, which has the few words of a `Path` that the two share here. Object stores have neither
locks nor renames: a file is put there at once, whole or not at all, and what finishes a folder is put last.
"""

from __future__ import annotations

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
from rodin.files import write_json as write_json_file
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
    """A file or folder as one of this machine: itself, or a copy of what a URL names, for as long as this runs.

    Raises:
        UserError: a URL is missing or cannot be reached. What others say of the copy, this says of the URL.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="rodin-") as folder:
        copy = Path(folder) / place.name
        _fetch(place, copy)
        try:
            yield copy
        except UserError as error:
            raise UserError(str(error).replace(str(copy), str(place))) from error


def _fetch(url: Url, copy: Path) -> None:
    with _spoken(url, "read") as (system, path):
        if system.isfile(path):
            system.get_file(path, str(copy))
            return
        for one in system.find(path) or [path]:  # a folder that is not there is a file that is not there
            inner = copy / one.removeprefix(path.rstrip("/")).lstrip("/")
            if not inner.resolve().is_relative_to(copy.parent.resolve()):
                raise UserError(f"{url}: {one} leaves the folder; rename it")
            inner.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(one, str(inner))


@contextmanager
def written(place: Place) -> Iterator[Path]:
    """Yield a file to write on this machine, which is then at the place: whole, or not at all if the block fails.

    Raises:
        UserError: the place cannot be written, or the disk is full.
    """
    if isinstance(place, Path):
        with atomic_path(place) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="rodin-") as folder:
        yield Path(folder) / place.name
        _put(Path(folder) / place.name, place)


def check_writable(folder: Url) -> None:
    """To be called before long work whose results go there.

    Raises:
        UserError: it cannot be written.
    """
    probe = folder / f".writing-{own_name()}"
    try:
        with written(probe) as file:
            file.touch()
        remove(probe)
    except UserError as error:
        raise UserError(str(error).replace(str(probe), str(folder))) from error


def put_folder(folder: Path, url: Url, last: str) -> None:
    """Copy all files in a folder to a URL, the one that says that it is finished last.

    Raises:
        UserError: the URL cannot be written.
    """
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    for name in sorted(names, key=lambda name: name == last):
        _put(folder / name, url / name)


def _put(file: Path, url: Url) -> None:
    with _spoken(url, "written") as (system, path):
        if url.text.partition("://")[0] in PUTS_WHOLE:
            system.put_file(str(file), path)
            return
        folder, _, name = path.rpartition("/")
        system.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.writing-{own_name()}-{name}"
        system.put_file(str(file), temporary)
        system.mv(temporary, path)


def write_json(place: Place, value: Any) -> None:
    """As `rodin.files.write_json`, to any place."""
    with written(place) as temporary:
        write_json_file(temporary, value)


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
    except Exception as error:  # of the storage's own library, such as botocore's, which are of no common kind
        if isinstance(error, FileNotFoundError) and done == "read":
            raise UserError(f"{url}: no such file or folder; check the address") from error
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
