"""Contract: captures as other programs and machines write them load as the same subject, or are refused in one line
that says what to do; one in another world is turned, moved and scaled into the box."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rodin.data.captures import MultiView, find_placement, load_subject
from rodin.data.worlds import Placement
from rodin.errors import UserError
from rodin.fit.doubts import doubts


@pytest.fixture
def ball(balls: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(balls / "ball0", tmp_path / "ball0"))


def change(folder: Path, edit: Callable[[dict[str, Any]], object], **how: Any) -> None:
    path = folder / "transforms.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document), **how)


def refused(folder: Path, **how: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_subject(folder, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(one: MultiView, other: MultiView) -> None:
    assert torch.equal(one.images, other.images)
    torch.testing.assert_close(one.camera.cam_to_world, other.camera.cam_to_world)
    torch.testing.assert_close(one.camera.focal, other.camera.focal)


# ---- masks


def masked(folder: Path, save: Callable[[Image.Image, Path], object]) -> None:
    """The pictures over white, and their alpha as masks."""

    def edit(document: dict[str, Any]) -> None:
        for frame in document["frames"]:
            with Image.open(folder / frame["file_path"]) as picture:
                alpha = picture.getchannel("A")
                white = Image.new("RGBA", picture.size, "white")
                Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB").save(folder / frame["file_path"])
            frame["mask_path"] = frame["file_path"].replace(".png", ".mask.png")
            save(alpha, folder / frame["mask_path"])

    change(folder, edit)


def test_a_mask_is_alpha(balls: Path, ball: Path) -> None:
    true = load_subject(balls / "ball0").images[..., 3]
    masked(ball, lambda mask, path: mask.save(path))
    assert torch.equal(load_subject(ball).images[..., 3], true)


@pytest.mark.parametrize(
    "write",
    [
        lambda mask: mask.point(lambda value: value > 127 and 255).convert("1"),
        lambda mask: mask.point(lambda value: int(value > 127)),  # labels 0 and 1
        lambda mask: Image.merge("LA", (Image.new("L", mask.size, 255), mask.point(lambda v: v > 127 and 255))),
        lambda mask: mask.point(lambda value: value > 127 and 255).resize((48, 48), Image.Resampling.NEAREST),
    ],
    ids=["one bit", "labels", "transparent", "twice as large"],
)
def test_masks_of_all_kinds(balls: Path, ball: Path, write: Callable[[Image.Image], Image.Image]) -> None:
    true = load_subject(balls / "ball0").images[..., 3] * 255
    masked(ball, lambda mask, path: write(mask).save(path))
    assert torch.equal(load_subject(ball).images[..., 3] > 0.5, true.round() > 127)


def test_a_mask_for_all_and_a_folder_of_masks(ball: Path) -> None:
    masked(ball, lambda mask, path: mask.save(path))
    true = load_subject(ball).images
    (ball / "masks").mkdir()
    for path in ball.glob("*.mask.png"):
        path.rename(ball / "masks" / path.name.replace(".mask", ""))

    def of_document(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda document: (
            [frame.pop("mask_path", None) for frame in document["frames"]],
            document.update(mask_path=name),
        )[1]

    change(ball, of_document("masks"))
    assert torch.equal(load_subject(ball).images, true)
    change(ball, of_document("masks\\000.png"))
    alpha = load_subject(ball).images[..., 3]
    assert all(torch.equal(one, true[0, ..., 3]) for one in alpha)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no such image"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "001.mask.png"),
        (lambda path: Image.new("L", (24, 12), 255).save(path), "24 x 12 pixels, 001.png 24 x 24; give a mask"),
        (lambda path: Image.new("L", (24, 24)).save(path), "black all over"),
    ],
)
def test_masks_that_are_none(ball: Path, spoil: Callable[[Path], object], message: str) -> None:
    masked(ball, lambda mask, path: mask.save(path))
    spoil(ball / "001.mask.png")
    assert message in refused(ball)


# ---- other machines


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(balls: Path, ball: Path, encoding: str) -> None:
    change(ball, lambda document: None, encoding=encoding)
    same(load_subject(ball), load_subject(balls / "ball0"))


@pytest.mark.parametrize(
    "prefix", ["images\\", ".\\images\\", "C:\\Users\\kim\\head\\images\\", "/home/kim/head/images/"]
)
def test_paths_of_other_machines(balls: Path, ball: Path, prefix: str) -> None:
    (ball / "images").mkdir()
    for path in list(ball.glob("*.png")):
        path.rename(ball / "images" / path.name)

    def edit(document: dict[str, Any]) -> None:
        for frame in document["frames"]:
            for key in ("file_path", "materials_path"):
                frame[key] = prefix + frame[key]

    change(ball, edit)
    same(load_subject(ball, maps=True), load_subject(balls / "ball0", maps=True))


def test_a_path_of_another_machine_that_names_nothing(ball: Path) -> None:
    change(ball, lambda document: document["frames"][2].update(file_path="D:\\scan\\img\\a.png"))
    assert "frame 2: file_path 'D:\\\\scan\\\\img\\\\a.png' is a path of another machine" in refused(ball)
    change(ball, lambda document: document["frames"][2].update(file_path="/scan/left/001.png"))
    assert "both end in" in refused(ball), "not another view's picture"


# ---- lenses and sizes


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "frame 3: camera_model 'OPENCV_FISHEYE'"),
        ({"is_fisheye": True}, "frame 3: is_fisheye is set"),
        ({"k1": 0.1}, "frame 3: lens distortion k1 = 0.1"),
    ],
)
def test_a_frames_own_lens(ball: Path, keys: dict[str, Any], message: str) -> None:
    change(ball, lambda document: document["frames"][3].update(keys))
    assert message in refused(ball)
    assert "undistort" in refused(ball)


def test_mixed_sizes_load_with_exact_geometry(balls: Path, ball: Path) -> None:
    whole = load_subject(balls / "ball0", 12)

    def edit(document: dict[str, Any]) -> None:
        for frame in document["frames"][1::2]:
            path = ball / frame["file_path"]
            with Image.open(path) as picture:
                picture.resize((48, 48), Image.Resampling.NEAREST).save(path)
            frame.update(w=48, h=48, fl_x=document["fl_x"] * 2)

    change(ball, edit)
    mixed = load_subject(ball, 12)
    torch.testing.assert_close(mixed.images, whole.images)
    torch.testing.assert_close(mixed.camera.focal, whole.camera.focal)
    torch.testing.assert_close(mixed.camera.centre, whole.camera.centre)
    assert load_subject(ball).images.shape == (14, 24, 24, 4), "as large as the smallest"


def test_a_size_is_called_by_its_name(ball: Path) -> None:
    assert "24 x 24 pixels, --image-size is 32; give larger images, or set it to 24 or less" in refused(
        ball, size=32, size_name="--image-size"
    )


# ---- worlds


TURNS = {  # rows: where the file's x, y, z point in the box's world
    "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "-y": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "x": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "-z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
}


def move(folder: Path, turn: list[list[int]], scale: float = 1.0, shift: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
    """Write the cameras in a world that is turned, scaled and moved."""

    def edit(document: dict[str, Any]) -> None:
        for frame in document["frames"]:
            matrix = np.array(frame["transform_matrix"])
            matrix[:3, 3] = matrix[:3, 3] * scale
            matrix[:3] = np.array(turn).T @ matrix[:3]
            matrix[:3, 3] += shift
            frame["transform_matrix"] = matrix.tolist()

    change(folder, edit)


@pytest.mark.parametrize("up", TURNS)
def test_another_axis_is_refused_and_named(balls: Path, ball: Path, up: str) -> None:
    move(ball, TURNS[up])
    line = refused(ball)
    assert f"is nearest to {up}, not +y; fit with --up {up} --scale auto" in line
    assert "aabb" in line
    true = load_subject(balls / "ball0").camera.cam_to_world
    for asked in (up, "auto"):
        found = load_subject(ball, placed=find_placement(ball, asked, fill=False))  # type: ignore[arg-type]
        torch.testing.assert_close(found.camera.cam_to_world, true, atol=2e-3, rtol=0)
    change(ball, lambda document: document.update(up=up))
    torch.testing.assert_close(load_subject(ball).camera.cam_to_world, true, atol=2e-3, rtol=0)


def test_y_may_be_up_all_the_same(ball: Path) -> None:
    move(ball, TURNS["z"])
    change(ball, lambda document: document.update(up="y"))
    load_subject(ball)
    change(ball, lambda document: document.update(up="north"))
    assert "up is 'north'; choose" in refused(ball)


@pytest.mark.parametrize(("scale", "shift"), [(3.0, (0.0, 0.0, 0.0)), (0.2, (0.5, -2.0, 1.0)), (40.0, (9.0, 0.0, 5.0))])
def test_silhouettes_tell_the_scale(balls: Path, ball: Path, scale: float, shift: tuple[float, ...]) -> None:
    """The ball's own radius and middle are known: it must fill the box, wherever its world put it."""
    move(ball, TURNS["z"], scale, shift)
    subject = load_subject(ball, placed=find_placement(ball, "z", fill=True))
    assert doubts(subject) == []
    radius = float(subject.caption.split()[4].rstrip(","))
    distances = load_subject(balls / "ball0").camera.position.norm(dim=-1) / radius
    seen = subject.camera.position.norm(dim=-1)
    assert float((seen / distances - 1).abs().max()) < 0.2
    pixels, _ = subject.camera.project(torch.zeros(1, 3))
    rows, columns = (subject.images[..., 3].sum(dim=side) for side in (2, 1))
    places = torch.arange(24) + 0.5
    middle = torch.stack([(one * places).sum(-1) / one.sum(-1) for one in (columns, rows)], dim=-1)
    assert float((pixels[:, 0] - middle).abs().max()) < 1.0, "of 24 pixels"


def test_opaque_pictures_tell_no_scale(ball: Path) -> None:
    for path in ball.glob("[0-9][0-9][0-9].png"):
        with Image.open(path) as picture:
            picture.convert("RGB").save(path)
    with pytest.raises(UserError, match="--scale auto: all pictures are opaque"):
        find_placement(ball, None, fill=True)
    (line,) = doubts(load_subject(ball))
    assert "mask_path" in line


@pytest.mark.parametrize(
    ("scale", "message"), [(3.0, "reaches beyond the box"), (0.1, "cameras stand inside"), (0.28, "fills less than")]
)
def test_a_subject_of_another_size_is_doubted(ball: Path, scale: float, message: str) -> None:
    assert doubts(load_subject(ball)) == []
    move(ball, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], scale)
    found = doubts(load_subject(ball))
    assert any(message in line and "aabb" in line and "--scale auto" in line for line in found)


def test_inverted_masks_are_doubted(ball: Path) -> None:
    masked(ball, lambda mask, path: mask.point(lambda value: 255 - value).save(path))
    assert any("masks are white where the subject is" in line for line in doubts(load_subject(ball)))


def test_a_placement_is_read_as_written() -> None:
    one = Placement(rotation=((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)), shift=(1.0, 2.0, 3.0), scale=0.5)
    assert Placement.read(json.loads(json.dumps(one.plain())), "") == one
    with pytest.raises(UserError, match="delete the file"):
        Placement.read({"rotation": 1}, "worlds.json")
