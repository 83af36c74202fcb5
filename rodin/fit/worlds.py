"""How the captures of a run get into the unit box, where the command line says so: RUN/worlds.json.

It is found once, from the silhouettes if need be, and every stage that reads captures for the run reads it there, so
that all see one world.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from rodin.data.captures import find_placement
from rodin.data.subject_folders import subject_name
from rodin.data.worlds import Placement, Up
from rodin.errors import UserError
from rodin.files import read_json, write_json
from rodin.storage import Place, at_hand

WORLDS_NAME = "worlds.json"


def run_placements(run: Path) -> dict[str, Placement]:
    """By the names of subjects; none of a run whose captures stand as their files say.

    Raises:
        UserError: the file is damaged.
    """
    path = run / WORLDS_NAME
    if not path.exists():
        return {}
    document = read_json(path)
    subjects = document.get("subjects") if isinstance(document, dict) else None
    if not isinstance(subjects, dict):
        raise UserError(f"{path}: holds no subjects; delete it, and fit with --up and --scale again")
    return {name: Placement.read(value, f"{path}: {name}") for name, value in subjects.items()}


def place_subjects(folders: Sequence[Place], run: Path, up: Up | None, scale: Literal["auto"] | None) -> None:
    """Write RUN/worlds.json for these subjects, where a flag asks for it now or did so before.

    Args:
        up: the axis that points up; None takes what the files say.
        scale: "auto" lays the box around what the silhouettes hold.

    Raises:
        UserError: a capture cannot be placed, or the run has been fitted otherwise.
    """
    path = run / WORLDS_NAME
    given = {"up": up, "scale": scale}
    asked = up is not None or scale is not None
    if path.exists():
        placed = run_placements(run)
        noted = {name: read_json(path).get(name) for name in given}
        if asked and noted != given:
            said = ", ".join(f"--{name} {value}" for name, value in noted.items() if value is not None)
            raise UserError(f"{path}: the run fits with {said}; give the same, or another --run")
        up, scale = noted["up"], noted["scale"]
    elif not asked:
        return
    elif list(run.glob("fits-*/*.safetensors")):
        raise UserError(f"{run}: its subjects were fitted without --up and --scale; give another --run")
    else:
        placed = {}
    missing = [folder for folder in folders if subject_name(folder) not in placed]
    for folder in tqdm(missing, desc="placing", unit="subject", leave=False):
        with at_hand(folder) as local:
            placed[subject_name(folder)] = find_placement(local, up, fill=scale == "auto")
    if missing:
        subjects = {name: one.plain() for name, one in placed.items()}
        write_json(path, {"up": up, "scale": scale, "subjects": subjects})
