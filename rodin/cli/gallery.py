"""A folder of avatars: how their files are called, and the JSON beside each.

avatar-NNN.rodin.safetensors .png -turntable.gif .glb   what it is, in this order
avatar-NNN.json                                         how it was drawn; written last, so that it says: all is there

Numbers go on where the folder's end, so that no avatar is lost to a second command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

import rodin
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.contact_sheet import contact_sheet
from rodin.avatars.drawing import Drawing
from rodin.avatars.mesh import BUST_HEIGHT, standing
from rodin.avatars.mesh_files import write_mesh
from rodin.avatars.pipeline import RodinPipeline
from rodin.avatars.video import write_video
from rodin.errors import UserError
from rodin.files import read_json, write_json
from rodin.images import write_picture

PICTURE_SIZE = 256
TURNTABLE_SIZE = 160
TURNTABLE_FRAMES = 24
FRAMES_PER_SECOND = 12
SHOWN = 64  # the most avatars that an overview shows

_NUMBERED = re.compile(r"avatar-(\d+)[.-]")


def name_of(number: int) -> str:
    """What the files of an avatar begin with."""
    return f"avatar-{number:03d}"


def first_number(out: Path, overwrite: bool) -> int:
    """The number of the next avatar in a folder; 0 where the folder's may be overwritten."""
    if overwrite or not out.is_dir():
        return 0
    found = (_NUMBERED.match(path.name) for path in out.iterdir())
    return max((int(match[1]) + 1 for match in found if match), default=0)


def beside(out: Path, name: str, first: int) -> Path:
    """A file that goes with the avatars from `first` on, such as overview.png: with the number of any but the first."""
    path = out / name
    return path.with_stem(f"{path.stem}-{first:03d}") if first else path


def write_avatar(avatar: Avatar, out: Path, number: int, facts: Mapping[str, Any]) -> str | None:
    """All files of an avatar.

    Args:
        facts: what else the JSON says of how it was drawn.

    Returns:
        why it has no mesh; None if it has one.

    Raises:
        UserError: nothing can be written there.
    """
    name = name_of(number)
    (out / f"{name}.json").unlink(missing_ok=True)  # of another, which is overwritten now
    avatar.save(out / f"{name}{SUFFIX}")
    write_picture(out / f"{name}.png", avatar.portrait(PICTURE_SIZE))
    turntable = avatar.turntable(TURNTABLE_FRAMES, TURNTABLE_SIZE)
    write_video(out / f"{name}-turntable.gif", turntable, FRAMES_PER_SECOND)
    problem = None
    try:
        mesh = avatar.mesh()
    except UserError as error:  # a weakly trained model may draw fog: the rest of its avatar is still worth having
        problem = f"{name} ({error})"
        (out / f"{name}.glb").unlink(missing_ok=True)
    else:
        write_mesh(out / f"{name}.glb", standing(mesh, BUST_HEIGHT))
    write_json(
        out / f"{name}.json", {**how_drawn(avatar.drawing, avatar.model_hash), **facts, "rodin": rodin.__version__}
    )
    return problem


def how_drawn(drawing: Drawing, model_hash: str) -> dict[str, Any]:
    """What tells an avatar from all others of its portrait: prompt, seed, settings, model."""
    found: dict[str, Any] = json.loads(json.dumps({**asdict(drawing), "model": model_hash}))
    return found


def how_read(pipe: RodinPipeline, drawing: Drawing) -> dict[str, Any]:
    """What an avatar's JSON says of how its prompt was read; nothing without one."""
    if not drawing.prompt:
        return {}
    if pipe.understands and not drawing.literal:
        return {"understood": pipe.understand(drawing.prompt, drawing.seed).to_json()}
    return {"understood": {"not_read": pipe.unread(drawing.prompt)}}


def numbers_drawn(out: Path) -> dict[str, tuple[int, bool]]:
    """The avatars in a folder, by what `how_drawn` says of each as JSON: number, and whether all of it is written.

    Raises:
        UserError: a file there is damaged.
    """
    found = {}
    for path in sorted(out.glob(f"avatar-*{SUFFIX}")) if out.is_dir() else []:
        match = _NUMBERED.match(path.name)
        if match is None:
            continue
        record = out / f"{name_of(int(match[1]))}.json"
        if record.is_file():
            document = read_json(record)
            keys = [*Drawing.__dataclass_fields__, "model"]
            said = {key: document[key] for key in keys if key in document} if isinstance(document, dict) else {}
        else:
            avatar = Avatar.load(path)
            said = how_drawn(avatar.drawing, avatar.model_hash)
        found[as_key(said)] = int(match[1]), record.is_file()
    return found


def as_key(said: Mapping[str, Any]) -> str:
    """What `how_drawn` says, as text to look up."""
    return json.dumps(said, sort_keys=True)


def write_overview(avatars: list[Avatar], out: Path, first: int, portrait: Tensor | None = None) -> None:
    """A picture of the avatars from number `first` on, after their portrait if there is one."""
    write_picture(beside(out, "overview.png", first), contact_sheet(avatars[:SHOWN], portrait))
