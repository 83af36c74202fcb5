"""What has been drawn: a private folder of avatars, each with a record, that outlives the studio.

    avatars/ID.rodin.safetensors   the avatar
    avatars/ID.png                 its picture
    avatars/ID.json                whose it is and how it came about; written last, so that it says: all is there

Names are unguessable, so none is ever written twice. Whose an avatar is, is noted as a hash: who reads the folder
cannot act as that person.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Sampling
from rodin.errors import UserError
from rodin.files import read_json, write_json
from rodin.held_file import hold
from rodin.images import to_bytes, write_picture
from rodin.materials import MATERIALS
from rodin.parts import config_from_dict

PICTURE_SIZE = 256
LOADED = 8  # avatars that are kept in memory, ready to be rendered

log = logging.getLogger("rodin.studio")


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is noted of an avatar.

    Args:
        id: names its files.
        owner: hash of the person whose history has it.
        created: when, in ISO 8601, to the microsecond.
        kind: how it came about: prompt, portrait, surprise, vary, mix, again, edit or colours.
        prompt: the words it was drawn for; "" = none.
        understood: what was understood of them, in a line.
        drawn: by attribute what was drawn beside.
        unread: words that mean nothing to the model.
        seed: it was drawn with.
        sampling: how the networks were sampled.
        parent: id of the avatar that it was made of.
        edit: what was changed of that, in words.
        palette: colours by material, #rrggbb.
        materials: that can be seen of it.
    """

    id: str
    owner: str
    created: str
    kind: str
    prompt: str
    understood: str
    drawn: dict
    unread: tuple[str, ...]
    seed: int
    sampling: Sampling
    parent: str | None
    edit: str | None
    palette: dict
    materials: tuple[str, ...]


class History:
    """The avatars in a folder; safe to be used from several threads.

    Args:
        folder: made, readable for its owner alone, where it is missing.
        most: avatars that it takes.

    Raises:
        UserError: the folder cannot be used, or another studio uses it.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self._most = folder, most
        self._avatars = folder / "avatars"
        try:
            for path in (folder, self._avatars):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.chmod(0o700)
            self._held = (folder / "in-use").open("w")
            hold(self._held.fileno())
        except BlockingIOError as error:
            raise UserError(f"{folder}: another studio uses it; close that one, or choose another --folder") from error
        except OSError as error:
            raise UserError(f"{folder}: cannot be used ({error.strerror}); choose another --folder") from error
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, Avatar] = OrderedDict()
        found = sorted(self._read(), key=lambda record: record.created)
        self._records = {record.id: record for record in found}

    def close(self) -> None:
        """Let another studio use the folder."""
        self._held.close()

    def _read(self) -> Iterator[Record]:
        for path in self._avatars.glob("*.json"):
            try:
                record = config_from_dict(Record, read_json(path), str(path))
            except UserError as error:
                log.warning("left out of the history: %s", error)
                continue
            if record.id == path.stem:
                yield record

    @property
    def full(self) -> bool:
        """Whether nothing more is taken."""
        return len(self._records) >= self._most

    def add(self, person: str, avatar: Avatar, facts: Mapping[str, Any]) -> Record:
        """Keep an avatar: written whole or not at all.

        Args:
            facts: the fields of `Record` that the avatar itself does not say.

        Raises:
            UserError: it cannot be written.
        """
        name = secrets.token_urlsafe(16)
        palette = {} if avatar.palette is None else hex_palette(avatar)
        record = Record(
            id=name,
            owner=owner_of(person),
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            prompt=avatar.drawing.prompt,
            seed=avatar.drawing.seed,
            sampling=avatar.drawing.sampling,
            palette=palette,
            materials=tuple(sorted(avatar.materials_shown(), key=MATERIALS.index)),
            **facts,
        )
        try:
            avatar.save(self._file(name, SUFFIX))
            write_picture(self._file(name, ".png"), avatar.portrait(PICTURE_SIZE))
            write_json(self._file(name, ".json"), asdict(record))
        except BaseException:
            self._delete(name)
            raise
        with self._lock:
            self._records[name] = record
            self._keep(name, avatar)
        return record

    def get(self, name: str) -> Record | None:
        """The record of an avatar, whoever's it is."""
        with self._lock:
            return self._records.get(name)

    def of(self, person: str) -> list[Record]:
        """A person's avatars, the newest first."""
        owner = owner_of(person)
        with self._lock:
            return [record for record in reversed(self._records.values()) if record.owner == owner]

    def avatar(self, name: str) -> Avatar:
        """An avatar, ready to be rendered.

        Raises:
            UserError: its file is damaged.
        """
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name]
        try:
            avatar = Avatar.load(self._file(name, SUFFIX))
        except UserError as error:
            log.warning("%s", error)
            raise UserError("the avatar's file is damaged; draw it again") from error
        with self._lock:
            self._keep(name, avatar)
        return avatar

    def file(self, name: str) -> Path:
        """An avatar's file."""
        return self._file(name, SUFFIX)

    def picture(self, name: str) -> Path:
        """Its picture, PICTURE_SIZE pixels a side."""
        return self._file(name, ".png")

    def remove(self, name: str) -> None:
        """Delete an avatar, the record first."""
        with self._lock:
            self._records.pop(name, None)
            self._loaded.pop(name, None)
        self._delete(name)

    def _delete(self, name: str) -> None:
        for suffix in (".json", ".png", SUFFIX):
            self._file(name, suffix).unlink(missing_ok=True)

    def _keep(self, name: str, avatar: Avatar) -> None:
        self._loaded[name] = avatar
        while len(self._loaded) > LOADED:
            self._loaded.popitem(last=False)

    def _file(self, name: str, suffix: str) -> Path:
        return self._avatars / f"{name}{suffix}"


def owner_of(person: str) -> str:
    """What is noted of a person."""
    return hashlib.sha256(person.encode()).hexdigest()


def hex_palette(avatar: Avatar) -> dict[str, str]:
    """The colours of an avatar's materials, #rrggbb by name."""
    assert avatar.palette is not None
    return {
        name: "#" + "".join(f"{value:02x}" for value in colour)
        for name, colour in zip(MATERIALS, to_bytes(avatar.palette).tolist(), strict=True)
    }
