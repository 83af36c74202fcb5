"""Contract of rodin.avatars.nerf_dataset: what readers of NeRF-synthetic expect, by their own formulas: names, focal
length, poses, alpha; and what `rodin fit` reads. The avatar is a ball that is known in closed form."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rodin.avatars.avatar import Avatar
from rodin.avatars.nerf_dataset import cameras_of, write_nerf_dataset
from rodin.data.captures import load_subject
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.render.decoder import Decoder, DecoderConfig

VIEWS, SIZE = 11, 40


@pytest.fixture(scope="module")
def folder(of_materials: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / "ball"
    assert write_nerf_dataset(folder, of_materials, VIEWS, SIZE) == {"train": VIEWS, "val": 2, "test": 2}
    return folder


def rays(camera_angle_x: float, pose: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and unit directions [side, side, 3], as the paper on NeRF has its cameras: OpenGL's axes, one focal
    length from the horizontal angle, the principal point in the middle."""
    focal = 0.5 * side / math.tan(0.5 * camera_angle_x)
    columns, rows = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    directions = np.stack([(columns - side / 2) / focal, -(rows - side / 2) / focal, -np.ones_like(rows)], -1)
    directions = directions @ pose[:3, :3].T
    return pose[:3, 3], directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def opacity(origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Of the ball [side, side]: the integral of its density, 30 softplus(40 (0.36 - r^2)), along rays."""
    depths = np.linspace(2.8, 5.2, 1201)
    points = origin + directions[..., None, :] * depths[:, None]
    density = 30 * np.logaddexp(0, 40 * (0.36 - (points**2).sum(-1)))
    return 1 - np.exp(-density.sum(-1) * (depths[1] - depths[0]))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_ball_is_where_the_cameras_say(folder: Path, split: str) -> None:
    document = json.loads((folder / f"transforms_{split}.json").read_text())
    assert len(document["frames"]) == (VIEWS if split == "train" else 2)
    for frame in document["frames"]:
        path = folder / Path(frame["file_path"].replace("./", "") + ".png")  # as nerfstudio finds it
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGBA", (SIZE, SIZE))
            alpha = np.asarray(image)[..., 3] / 255
        origin, directions = rays(document["camera_angle_x"], np.array(frame["transform_matrix"]), SIZE)
        assert np.abs(alpha - opacity(origin, directions)).max() < 0.06, "half a pixel beside it is 0.5"


def test_no_split_repeats_a_view_and_all_sides_are_seen() -> None:
    cameras = {split: cameras_of(split, count, SIZE) for split, count in (("train", 60), ("val", 12), ("test", 12))}
    places = np.concatenate([camera.position.numpy() for camera in cameras.values()])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9 * np.eye(len(places))
    assert distances.min() > 0.02
    np.testing.assert_allclose(np.linalg.norm(places, axis=-1), 4.0, rtol=1e-5)
    train = cameras["train"]
    assert abs(float(train.azimuth_deg[0])) < 1e-3
    for side in range(-180, 180, 60):
        assert ((train.azimuth_deg >= side) & (train.azimuth_deg < side + 60)).sum() >= 8
    heights = np.degrees(np.arcsin(train.position[:, 1].numpy() / 4))
    assert heights.min() < -15
    assert heights.max() > 45


def test_readers_with_other_keys_find_nothing_that_they_would_misread(folder: Path) -> None:
    """instant-ngp takes `up`, `aabb`, `scale` and `offset` for its own; WebP it does not read."""
    document = json.loads((folder / "transforms_train.json").read_text())
    assert set(document) == {"camera_angle_x", "frames", "materials"}
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".png", ".json"}


def test_it_reads_back(folder: Path, of_materials: Avatar) -> None:
    subject = load_subject(folder, maps=True)
    assert subject.images.shape == (VIEWS, SIZE, SIZE, 4)
    assert subject.frontal == 0
    for view in range(VIEWS):
        seen = of_materials.render(subject.camera[view])
        solid = seen[..., 3] > 0.5
        assert (subject.images[view] - seen)[solid].abs().max() < 1.01 / 255
        assert (subject.images[view, ..., 3] - seen[..., 3]).abs().max() < 1.01 / 255
    assert subject.shares is not None
    centre = subject.shares[0, SIZE // 2]  # the row through the middle of the front view: +x is to the right
    assert centre[SIZE // 2 + 6, MATERIALS.index("hair")] > 0.9
    assert centre[SIZE // 2 - 6, MATERIALS.index("skin")] > 0.9


def test_an_avatar_without_materials_has_no_maps(of_materials: Avatar, tmp_path: Path) -> None:
    plain = replace(of_materials, decoder=Decoder(DecoderConfig(channels=4)).requires_grad_(False), palette=None)
    write_nerf_dataset(tmp_path / "plain", plain, 1, 8)
    assert "materials" not in json.loads((tmp_path / "plain/transforms_train.json").read_text())
    assert sorted(path.name for path in (tmp_path / "plain/train").iterdir()) == ["r_000.png"]


def test_nothing_is_overwritten_or_left_half_written(
    of_materials: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("mine", "file"):
        with pytest.raises(UserError, match="choose a new or empty folder"):
            write_nerf_dataset(tmp_path / name, of_materials, 2, 8)
    assert (tmp_path / "mine/photo.jpg").read_text() == (tmp_path / "file").read_text() == "precious"

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rodin.avatars.nerf_dataset.write_json", stops)
    with pytest.raises(KeyboardInterrupt):
        write_nerf_dataset(tmp_path / "new", of_materials, 2, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]
