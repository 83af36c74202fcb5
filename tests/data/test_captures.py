"""Contract of rodin.data.captures: captures in either dialect load with exact geometry; what cannot be used is
refused in one line that names the file.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from rodin.camera import orbit
from rodin.data.captures import load_subject, split_views
from rodin.data.subject_folders import list_subjects
from rodin.errors import UserError

WIDTH, HEIGHT = 12, 8  # not square on purpose


def _pixels(view: int, channels: int = 4, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(view).integers(0, 256, (height, width, channels), dtype=np.uint8)


def _matrices(count: int = 3) -> list[list[list[float]]]:
    camera = orbit([40.0 * k - 40.0 for k in range(count)], [5.0] * count, size=8)
    return camera.cam_to_world.double().tolist()


def _write(folder: Path, suffix: str = ".png", channels: int = 4, **changes: Any) -> dict[str, Any]:
    """A small valid capture whose second view is frontal; `changes` replace keys of the document, None removes."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for view, matrix in enumerate(_matrices()):
        Image.fromarray(_pixels(view, channels)).save(folder / f"{view:03d}{suffix}")
        frames.append({"file_path": f"{view:03d}{suffix}", "transform_matrix": matrix})
    document = {"camera_angle_x": 0.5, "w": WIDTH, "h": HEIGHT, "frames": frames, **changes}
    document = {key: value for key, value in document.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(document))
    return document


def _refusal(folder: Path, size: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_subject(folder, size)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_own_format(tmp_path: Path) -> None:
    _write(tmp_path / "s1", frontal=2, caption="a man", attributes={"hat": True})
    subject = load_subject(tmp_path / "s1")
    assert (subject.name, subject.caption, subject.attributes, subject.frontal) == ("s1", "a man", {"hat": True}, 2)
    assert subject.images.shape == (3, HEIGHT, WIDTH, 4)
    for view in range(3):
        assert torch.equal(subject.images[view], torch.from_numpy(_pixels(view)).float() / 255)
    assert (subject.camera.width, subject.camera.height) == (WIDTH, HEIGHT)
    torch.testing.assert_close(subject.camera.cam_to_world, torch.tensor(_matrices()))
    focal = 0.5 * WIDTH / math.tan(0.25)  # square pixels: one focal length
    torch.testing.assert_close(subject.camera.focal, torch.full((3, 2), focal))
    torch.testing.assert_close(subject.camera.centre, torch.tensor([[WIDTH / 2, HEIGHT / 2]] * 3))


def test_nerf_synthetic_layout(tmp_path: Path) -> None:
    """Images in sub-folders, no suffixes, no w/h, the split's own file name; frontal found by the cameras."""
    document = _write(tmp_path, w=None, h=None)
    (tmp_path / "train").mkdir()
    for view, frame in enumerate(document["frames"]):
        (tmp_path / frame["file_path"]).rename(tmp_path / "train" / f"r_{view}.png")
        frame["file_path"] = f"./train/r_{view}"
        frame["rotation"] = 0.0125
    (tmp_path / "transforms.json").unlink()
    (tmp_path / "transforms_train.json").write_text(json.dumps(document))
    subject = load_subject(tmp_path)
    assert torch.equal(subject.images[2], torch.from_numpy(_pixels(2)).float() / 255)
    assert subject.frontal == 1
    assert (subject.caption, subject.captions) == ("", ())
    assert subject.attributes == {}


def test_captions_stand_in_for_each_other(tmp_path: Path) -> None:
    for written, caption, captions in (
        ({"caption": "a man", "captions": ["a guy", "man, hat"]}, "a man", ("a guy", "man, hat")),
        ({"caption": "a man"}, "a man", ("a man",)),
        ({"captions": ["a guy", "man, hat"]}, "a guy", ("a guy", "man, hat")),
        ({"caption": "  ", "captions": []}, "", ()),
    ):
        _write(tmp_path, **written)
        subject = load_subject(tmp_path)
        assert (subject.caption, subject.captions) == (caption, captions)


def test_nerfstudio_keys_and_frame_overrides(tmp_path: Path) -> None:
    document = _write(
        tmp_path, camera_angle_x=None, fl_x=20.0, fl_y=22.0, cx=5.5, cy=4.5, k1=0.0, p2=0, camera_model="OPENCV"
    )
    document["frames"][1] |= {"fl_x": 30.0, "cx": 7.0}
    document["frames"][2] |= {"camera_angle_x": 1.0}
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    camera = load_subject(tmp_path).camera
    wide = 0.5 * WIDTH / math.tan(0.5)
    torch.testing.assert_close(camera.focal, torch.tensor([[20.0, 22.0], [30.0, 30.0], [wide, wide]]))
    torch.testing.assert_close(camera.centre, torch.tensor([[5.5, 4.5], [7.0, 4.5], [5.5, 4.5]]))


def test_size_keeps_geometry(tmp_path: Path) -> None:
    """A world point falls on the same relative place of the smaller image, squeezed or not."""
    _write(tmp_path, cx=4.0, cy=5.0)
    large, small = load_subject(tmp_path), load_subject(tmp_path, size=4)
    assert small.images.shape == (3, 4, 4, 4)
    points = torch.tensor([[0.3, -0.2, 0.5], [0.0, 0.4, -0.6]])
    scale = torch.tensor([4 / WIDTH, 4 / HEIGHT])
    torch.testing.assert_close(small.camera.project(points)[0], large.camera.project(points)[0] * scale)


def test_aabb_moves_the_avatar_into_the_unit_box(tmp_path: Path) -> None:
    """The centre of the box is seen where the origin is, and its longest half-side becomes 1."""
    document = _write(tmp_path)
    plain = load_subject(tmp_path)
    shift, half = np.array([10.0, -3.0, 2.0]), 2.5
    for frame in document["frames"]:
        matrix = np.array(frame["transform_matrix"])
        matrix[:3, 3] = matrix[:3, 3] * half + shift
        frame["transform_matrix"] = matrix.tolist()
    reach = np.array([1.0, half, 2.0])
    document["aabb"] = [(shift - reach).tolist(), (shift + reach).tolist()]
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    torch.testing.assert_close(load_subject(tmp_path).camera.cam_to_world, plain.camera.cam_to_world)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_rgb_is_opaque(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path, suffix=suffix, channels=3)
    assert bool((load_subject(tmp_path).images[..., 3] == 1).all())


def test_list_subjects(tmp_path: Path) -> None:
    _write(tmp_path / "b")
    _write(tmp_path / "a")
    (tmp_path / "notes").mkdir()
    assert [folder.name for folder in list_subjects(tmp_path)] == ["a", "b"]
    assert list_subjects(tmp_path / "a") == [tmp_path / "a"]
    for place in (tmp_path / "notes", tmp_path / "nowhere", tmp_path / "a" / "transforms.json"):
        with pytest.raises(UserError, match=place.name):
            list_subjects(place)


@given(st.integers(1, 60), st.data())
@settings(max_examples=100, deadline=None)
def test_split_views(count: int, data: st.DataObject) -> None:
    held_out, frontal = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count - 1))
    train, test = split_views(count, held_out, frontal=frontal)
    assert len(test) == held_out
    assert frontal in train
    assert sorted(train + test) == list(range(count))
    others = [view for view in range(count) if view != frontal]
    places = [-1 - (len(others) - 1 - others.index(test[-1])), *map(others.index, test)] if test else []
    gaps = [b - a for a, b in itertools.pairwise(places)]
    assert not gaps or max(gaps) <= 2 * math.ceil(len(others) / held_out)


def test_split_views_refuses_too_many() -> None:
    with pytest.raises(UserError, match=r"3 of 3 views cannot be held out \(fitting.planes.held_out of the preset\)"):
        split_views(3, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": []}, "frames"),
        ({"frames": None}, "frames"),
        ({"frames": [3]}, "frame 0"),
        ({"camera_angle_x": None}, "fl_x"),
        ({"camera_angle_x": 0.0}, "camera_angle_x"),
        ({"camera_angle_x": 1e-124}, "camera_angle_x"),
        ({"camera_angle_x": "wide"}, "camera_angle_x"),
        ({"camera_angle_x": float("nan")}, "camera_angle_x"),
        ({"fl_x": -3.0}, "fl_x"),
        ({"fl_x": True}, "fl_x"),
        ({"frontal": 3}, "frontal is 3"),
        ({"frontal": -1}, "frontal"),
        ({"frontal": 0.5}, "frontal"),
        ({"k1": 0.01}, "undistort"),
        ({"p2": -1e-4}, "undistort"),
        ({"camera_model": "OPENCV_FISHEYE"}, "OPENCV_FISHEYE"),
        ({"w": WIDTH * 2, "h": HEIGHT * 2}, "24 x 16"),
        ({"caption": 5}, "caption is 5; give text"),
        ({"captions": "a man"}, "captions is 'a man'; give a list"),
        ({"captions": ["a man", 5]}, "captions holds 5; give texts"),
        ({"captions": [" "]}, "captions holds ' '; give texts"),
        ({"attributes": []}, "attributes"),
        ({"aabb": [[0, 0, 0], [1, 0, 1]]}, "aabb"),
        ({"aabb": "unit"}, "aabb"),
    ],
)
def test_bad_documents(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    document = _write(tmp_path)
    document = {key: value for key, value in {**document, **changes}.items() if value is not None}
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    assert words in _refusal(tmp_path)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**400, 1e300]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_KEYS = [
    "frames",
    "camera_angle_x",
    "fl_x",
    "fl_y",
    "cx",
    "cy",
    "w",
    "h",
    "k1",
    "p1",
    "camera_model",
    "is_fisheye",
    "frontal",
    "caption",
    "captions",
    "attributes",
    "aabb",
    "up",
    "mask_path",
]


@example("frame", "transform_matrix", [[10**400]])
@given(st.sampled_from([*_KEYS, "frame"]), st.sampled_from(["file_path", "transform_matrix", *_KEYS]), _VALUES)
@settings(max_examples=150, deadline=None)
def test_any_value_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, frame_key: str, value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any_value"
    document = _write(folder) if not folder.is_dir() else json.loads((folder / "whole.json").read_text())
    (folder / "whole.json").write_text(json.dumps(document))
    if key == "frame":
        document["frames"][1][frame_key] = value
    else:
        document[key] = value
    (folder / "transforms.json").write_text(json.dumps(document))
    try:
        subject = load_subject(folder)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert bool(subject.camera.focal.isfinite().all())
        assert bool(subject.camera.cam_to_world.isfinite().all())


def _scaled(matrix: np.ndarray) -> Any:
    return (matrix * 2).tolist()


def _mirrored(matrix: np.ndarray) -> Any:
    return (matrix @ np.diag([-1.0, 1.0, 1.0, 1.0])).tolist()


def _sheared(matrix: np.ndarray) -> Any:
    matrix[0, 1] += 0.01
    return matrix.tolist()


def _broken_row(matrix: np.ndarray) -> Any:
    matrix[3, 0] = 0.5
    return matrix.tolist()


def _with_nan(matrix: np.ndarray) -> Any:
    matrix[0, 3] = np.nan
    return matrix.tolist()


@pytest.mark.parametrize(
    "spoil",
    [_scaled, _mirrored, _sheared, _broken_row, _with_nan, lambda m: m[:3].tolist(), lambda m: None, lambda m: [[1]]],
)
def test_bad_matrices(tmp_path: Path, spoil: Any) -> None:
    document = _write(tmp_path)
    document["frames"][1]["transform_matrix"] = spoil(np.array(document["frames"][1]["transform_matrix"]))
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    message = _refusal(tmp_path)
    assert "frame 1" in message
    assert "transform_matrix" in message


def test_bad_folders(tmp_path: Path) -> None:
    assert "no such folder" in _refusal(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "transforms.json" in _refusal(tmp_path / "empty")
    (tmp_path / "empty" / "transforms.json").write_text('{"frames": [')
    assert "JSON" in _refusal(tmp_path / "empty")
    (tmp_path / "empty" / "transforms.json").write_text("[]")
    assert "object" in _refusal(tmp_path / "empty")


def test_bad_images(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    document = _write(folder)
    whole = (folder / "001.png").read_bytes()
    for end in (0, 4, 20, 40, len(whole) // 2, len(whole) - 60):
        (folder / "001.png").write_bytes(whole[:end])
        assert "001.png" in _refusal(folder)
    Image.fromarray(_pixels(1, width=WIDTH + 1)).save(folder / "001.png")
    assert "001.png" in _refusal(folder)
    document.pop("w"), document.pop("h")
    (folder / "transforms.json").write_text(json.dumps(document))
    (folder / "001.png").unlink()
    assert "001.png: no such image" in _refusal(folder)
    document["frames"][1]["file_path"] = None
    (folder / "transforms.json").write_text(json.dumps(document))
    assert "file_path" in _refusal(folder)


def test_too_large_a_size_is_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    assert "size is 9; give larger images, or set it to 8 or less" in _refusal(tmp_path, size=9)
    with pytest.raises(UserError, match="size: 0"):
        load_subject(tmp_path, size=0)


@pytest.mark.parametrize("side", [8193, 20000, 2**31 - 1])
def test_decompression_bombs_are_refused_unread(tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder) -> None:
    """A PNG whose header claims a huge image, without the data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    _write(tmp_path)
    (tmp_path / "000.png").write_bytes(bomb)
    assert "000.png" in _refusal(tmp_path)
    assert not recwarn.list
