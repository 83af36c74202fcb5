"""Contract: skin from behind is read off material maps, and only where there is something to compare."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from rodin.avatars.avatar import Avatar
from rodin.camera import orbit
from rodin.data.subject_folders import list_subjects
from rodin.evaluate.behind import BEHIND_DEG, SKIN, Back, load_backs, skin_behind
from rodin.files import read_json, write_json

CAMERA = orbit([150.0, 180.0], [5.0, 5.0], size=24)


def test_what_is_drawn_is_held_against_what_is_real(of_materials: Avatar) -> None:
    shares = of_materials.renderer.render(CAMERA, 64).shares
    skin = float(shares[..., SKIN].sum() / shares.sum())
    assert skin_behind([of_materials], [Back(CAMERA, skin)]) == pytest.approx(0, abs=0.01)
    assert skin_behind([of_materials] * 2, [Back(CAMERA, skin - 0.2), None]) == pytest.approx(0.2, abs=0.01)
    assert math.isnan(skin_behind([of_materials], [None]))


def test_backs_of_subjects(balls: Path, tmp_path: Path) -> None:
    """The balls' maps say one material for the whole ball."""
    folder = list_subjects(balls)[0]
    (back,) = load_backs([folder], 24)
    assert back is not None
    assert (back.camera.azimuth_deg.abs() > BEHIND_DEG).all()
    assert 0 <= back.skin <= 1
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    write_json(copy / "transforms.json", {**read_json(folder / "transforms.json"), "attributes": {"hair": "bald"}})
    assert load_backs([copy], 24) == [None]
