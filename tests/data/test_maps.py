"""Contract of rodin.data.maps: shares of materials load in the order of MATERIALS and add up to alpha, at any size;
what is no map of its view is refused in one line that names the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rodin.camera import orbit
from rodin.data.captures import load_subject
from rodin.errors import UserError
from rodin.materials import MATERIALS

WIDTH, HEIGHT, VIEWS = 12, 8, 2  # not square on purpose
NAMES = ["top", "skin", "hair"]  # in another order than ours
HAT = MATERIALS.index("hat")


def bytes_of(view: int) -> tuple[np.ndarray, np.ndarray]:
    """Random shares [H, W, 3] and their sums [H, W], some of them 0 and 255."""
    random = np.random.default_rng(view)
    shares = random.integers(0, 86, (HEIGHT, WIDTH, len(NAMES)), dtype=np.uint8)
    shares[0], shares[1] = 0, 85
    return shares, shares.sum(axis=-1)


def capture(folder: Path, **changes: Any) -> Path:
    """A capture with maps; `changes` replace keys of the document, None removes."""
    folder.mkdir()
    poses = orbit([0.0, 50.0], [0.0, 10.0], size=8).cam_to_world.tolist()
    frames = []
    for view in range(VIEWS):
        shares, alpha = bytes_of(view)
        image = np.concatenate([np.full((HEIGHT, WIDTH, 3), 90), alpha[..., None]], axis=-1).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{view}.png")
        Image.fromarray(np.concatenate([shares[..., k] for k in range(len(NAMES))])).save(folder / f"{view}.map.png")
        name = {"file_path": f"{view}.png", "materials_path": f"{view}.map.png"}
        frames.append({**name, "transform_matrix": poses[view]})
    document = {"camera_angle_x": 0.5, "materials": NAMES, "frames": frames, **changes}
    text = json.dumps({key: value for key, value in document.items() if value is not None})
    (folder / "transforms.json").write_text(text)
    return folder


def test_shares_are_read_in_our_order(tmp_path: Path) -> None:
    subject = load_subject(capture(tmp_path / "a"), maps=True)
    assert subject.shares is not None
    assert subject.shares.shape == (VIEWS, HEIGHT, WIDTH, len(MATERIALS))
    for view in range(VIEWS):
        shares, _ = bytes_of(view)
        for band, name in enumerate(NAMES):
            wanted = torch.from_numpy(shares[..., band]) / 255
            torch.testing.assert_close(subject.shares[view, ..., MATERIALS.index(name)], wanted)
    assert not subject.shares[..., HAT].any()


@pytest.mark.parametrize("size", [None, 8, 5, 3])
def test_shares_add_up_to_alpha_at_any_size(tmp_path: Path, size: int | None) -> None:
    subject = load_subject(capture(tmp_path / "a"), size, maps=True)
    assert subject.shares is not None
    torch.testing.assert_close(subject.shares.sum(dim=-1), subject.images[..., 3])


def test_maps_are_read_where_they_are_and_asked_for(tmp_path: Path) -> None:
    assert load_subject(capture(tmp_path / "a")).shares is None
    assert load_subject(capture(tmp_path / "b", materials=None), maps=True).shares is None


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_subject(folder, maps=True)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["top", "skin", "fur"], "'fur' is unknown"),
        (["top", "skin", "skin"], "'skin' stands twice"),
        ("top", "no list of names"),
        ([1, 2, 3], "no list of names"),
        (["top", "skin"], "12 x 24 pixels; 2 materials of a view of 12 x 8 take 12 x 16"),
    ],
)
def test_wrong_names(tmp_path: Path, names: Any, words: str) -> None:
    assert words in refusal(capture(tmp_path / "a", materials=names))


def test_a_map_of_another_size(tmp_path: Path) -> None:
    folder = capture(tmp_path / "a")
    Image.new("L", (WIDTH, 3 * HEIGHT - 1)).save(folder / "1.map.png")
    assert "1.map.png: is 12 x 23 pixels" in refusal(folder)


def test_shares_that_do_not_add_up(tmp_path: Path) -> None:
    folder = capture(tmp_path / "a")
    bands = np.array(Image.open(folder / "0.map.png"))
    bands[HEIGHT + 5, 7] += 4
    Image.fromarray(bands).save(folder / "0.map.png")
    message = refusal(folder)
    assert "0.map.png: the shares at row 5, column 7 add up to" in message


def test_maps_rounded_band_by_band_are_taken(tmp_path: Path) -> None:
    folder = capture(tmp_path / "a")
    bands = np.array(Image.open(folder / "0.map.png"))
    bands[HEIGHT + 5, 7] += 1
    Image.fromarray(bands).save(folder / "0.map.png")
    subject = load_subject(folder, maps=True)
    assert subject.shares is not None
    torch.testing.assert_close(subject.shares.sum(dim=-1), subject.images[..., 3])


def test_a_map_that_is_missing(tmp_path: Path) -> None:
    folder = capture(tmp_path / "a")
    (folder / "1.map.png").unlink()
    assert "1.map.png: no such image" in refusal(folder)
    document = json.loads((folder / "transforms.json").read_text())
    del document["frames"][1]["materials_path"]
    (folder / "transforms.json").write_text(json.dumps(document))
    assert "frame 1: materials_path is missing" in refusal(folder)
