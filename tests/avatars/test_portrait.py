"""Contract of rodin.avatars.portrait: a cut-out is used as framed, a photograph's face comes to where faces lie in our
renders and its background goes, all ways to give a picture agree, and what is no portrait is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from rodin.avatars.portrait import (
    FACE_CENTRE,
    FACE_WIDTH,
    LARGEST_PORTRAIT,
    Portrait,
    find_faces,
    frame_face,
    read_portrait,
    upright,
)
from rodin.errors import UserError


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """512 x 512 RGB: a woman before a flag and a model of a shuttle, her face about 100 pixels wide at (223, 115)."""
    from skimage.data import astronaut

    return Image.fromarray(astronaut())


@pytest.fixture(scope="module")
def astronaut_cut_out(astronaut: Image.Image) -> Portrait:
    return read_portrait(astronaut)


def cut_out(height: int, width: int) -> Tensor:
    """[H, W, 4] random colours and alpha, a fifth of them transparent."""
    image = torch.rand(height, width, 4, generator=torch.Generator().manual_seed(0))
    image[..., 3] = (image[..., 3] > 0.2).float()
    return (image * 255).round() / 255


def picture_of(image: Tensor) -> Image.Image:
    return Image.fromarray((image * 255).round().byte().numpy())


# ---- cut-outs


def test_a_cut_out_is_cropped_square() -> None:
    """The middle of a wide picture, the upper part of a tall one."""
    wide, tall, square = cut_out(20, 50), cut_out(50, 20), cut_out(20, 20)
    assert torch.equal(read_portrait(wide).pixels, wide[:, 15:35])
    assert torch.equal(read_portrait(tall).pixels, tall[:20])
    found = read_portrait(square)
    assert torch.equal(found.pixels, square)
    assert found.how == "a cut-out, used as framed (20 x 20 pixels)"


def test_tensor_picture_and_file_agree(tmp_path: Path) -> None:
    image = cut_out(24, 30)
    picture_of(image).save(tmp_path / "cut.png")
    expected = read_portrait(image).pixels
    for other in (picture_of(image), tmp_path / "cut.png", str(tmp_path / "cut.png")):
        torch.testing.assert_close(read_portrait(other).pixels, expected)


@pytest.mark.parametrize("number", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, number: int) -> None:
    """Phones store how they were held (EXIF); Pillow's own turning is the reference."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    picture_of(cut_out(24, 16)).save(tmp_path / "held.png", exif=exif)
    with Image.open(tmp_path / "held.png") as held:
        turned = torch.from_numpy(np.array(ImageOps.exif_transpose(held))).float() / 255
        raw = torch.from_numpy(np.array(held)).float() / 255
        assert torch.equal(upright(raw, number), turned)
        expected = read_portrait(turned).pixels
        torch.testing.assert_close(read_portrait(held).pixels, expected)
    torch.testing.assert_close(read_portrait(tmp_path / "held.png").pixels, expected)


def test_large_pictures_are_reduced() -> None:
    found = read_portrait(picture_of(cut_out(16, 16)).resize((4200, 4100), Image.Resampling.NEAREST))
    assert found.pixels.shape == (1025, 1025, 4)


# ---- photographs


def test_a_photograph_is_framed_and_cut_out(astronaut_cut_out: Portrait) -> None:
    found = astronaut_cut_out
    assert found.how.startswith("a photograph: the face found, ")
    side = found.pixels.shape[0]
    assert found.pixels.shape == (side, side, 4)
    assert 220 < side < 260  # a head's height

    def alpha(x: float, y: float) -> float:
        return float(found.pixels[int(y * side), int(x * side), 3])

    for x, y in [(0.5, 0.54), (0.42, 0.45), (0.58, 0.45), (0.5, 0.7), (0.5, 0.25), (0.5, 0.85)]:
        assert alpha(x, y) == pytest.approx(1, abs=0.02), "face, hair and collar"
    for x, y in [(0.02, 0.02), (0.98, 0.02), (0.02, 0.98), (0.98, 0.98), (0.1, 0.3), (0.9, 0.3), (0.9, 0.6)]:
        assert alpha(x, y) < 0.02, "background"
    soft = ((found.pixels[..., 3] > 0.02) & (found.pixels[..., 3] < 0.98)).float().mean()
    assert soft < 0.1


def test_the_face_comes_to_where_renders_have_it(astronaut: Image.Image) -> None:
    pixels = torch.from_numpy(np.array(astronaut.convert("RGBA"))).float() / 255
    framed = frame_face(pixels, *find_faces(pixels)[0])
    ((x, y, width),) = find_faces(framed)
    size = framed.shape[0]
    assert (x / size, y / size) == pytest.approx(FACE_CENTRE, abs=0.03)
    assert width / size == pytest.approx(FACE_WIDTH, abs=0.05)


def test_what_lies_beyond_the_photograph_is_transparent() -> None:
    framed = frame_face(torch.ones(40, 30, 4), 2.0, 38.0, 21.0)
    assert framed.shape == (50, 50, 4)
    assert framed[:, :23].sum() == 0, "left of the photograph"
    assert framed[29:].sum() == 0, "below it"
    assert framed[:29, 23:].min() == 1


@pytest.mark.parametrize("kind", ["L", "P", "CMYK", "16 bit", "small", "large", "turned", "jpeg", "tensor"])
def test_any_photograph_will_do(astronaut: Image.Image, astronaut_cut_out: Portrait, tmp_path: Path, kind: str) -> None:
    expected = astronaut_cut_out.pixels
    given: Any = astronaut
    if kind in ("L", "P", "CMYK"):
        given = astronaut.convert(kind)
    elif kind == "16 bit":
        given = tmp_path / "deep.png"
        Image.fromarray(np.array(astronaut.convert("L")).astype(np.uint16) * 257).save(given)
    elif kind in ("small", "large"):
        given = astronaut.resize((128, 128) if kind == "small" else (3000, 3000))
    elif kind == "turned":
        given = tmp_path / "turned.jpg"
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        astronaut.rotate(90).save(given, exif=exif, quality=95)
    elif kind == "jpeg":
        given = tmp_path / "photo.jpg"
        astronaut.save(given)
    else:
        given = torch.from_numpy(np.array(astronaut)).float() / 255
    found = read_portrait(given).pixels[..., 3]
    assert found.shape[0] <= LARGEST_PORTRAIT
    same = torch.nn.functional.interpolate(found[None, None], expected.shape[:2], mode="area")[0, 0]
    assert (same - expected[..., 3]).abs().mean() < 0.05, "the same face and background, a pixel or two apart"


def test_rounded_corners_are_no_cut_out(astronaut: Image.Image) -> None:
    rounded = torch.from_numpy(np.array(astronaut.convert("RGBA"))).float() / 255
    rounded[:20, :20, 3] = 0
    assert read_portrait(rounded).how.startswith("a photograph")


# ---- what is refused


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def cut_off(path: Path) -> None:
    picture_of(torch.rand(64, 64, 4)).save(path)
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("none.png", lambda path: None, "no such image"),
        ("text.png", lambda path: path.write_text("no image"), "cannot be read as an image"),
        ("empty.png", lambda path: path.write_bytes(b""), "cannot be read as an image"),
        ("cut.png", cut_off, "damaged or cut off"),
        ("moving.gif", animated, "animated or of several pages; save one frame of it as PNG"),
        ("one.png", lambda path: Image.new("RGB", (1, 1)).save(path), "1 x 1 pixels is too small; give 16 or more"),
        ("long.png", lambda path: Image.new("1", (20000, 20)).save(path), "20000 x 20 pixels is too large; scale it"),
        (
            "vast.png",
            lambda path: Image.new("1", (20000, 20000)).save(path),
            "the image is too large; scale it",
        ),
        ("clear.png", lambda path: Image.new("RGBA", (32, 32)).save(path), "all of it is transparent"),
        ("blank.png", lambda path: Image.new("RGB", (64, 64), "pink").save(path), "no face found; give a sharper"),
    ],
)
def test_no_portrait_is_one_line(tmp_path: Path, name: str, write: Any, message: str) -> None:
    write(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        read_portrait(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_pictures_without_faces_are_refused() -> None:
    from skimage.data import camera, chelsea

    for picture in (camera(), chelsea()):  # a man in profile, a cat
        with pytest.raises(UserError, match=r"^image: no face found"):
            read_portrait(Image.fromarray(picture))


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(20, 20),
        torch.zeros(20, 20, 3, dtype=torch.uint8),
        torch.zeros(0, 20, 3),
        torch.full((20, 20, 3), torch.nan),
        torch.zeros(20, 20, 2),
    ],
)
def test_tensors_that_are_no_image_are_named(image: Tensor) -> None:
    with pytest.raises(UserError, match=r"^image: expected \[H, W, 3 or 4\] floats in \[0, 1\]"):
        read_portrait(image)
