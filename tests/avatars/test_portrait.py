"""Contract of rodin.avatars.portrait: a face comes to where faces lie in our renders, whichever way up it is and
however small; a cut-out keeps its alpha, a photograph's background goes or is said to stay; all ways to give a picture
agree, and what is no portrait is refused in one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from rodin.avatars.face_search import centre, search_faces
from rodin.avatars.faces import LEFT_EYE, RIGHT_EYE
from rodin.avatars.portrait import FACE_CENTRE, LARGEST_PORTRAIT, Portrait, read_portrait, upright
from rodin.errors import UserError
from rodin.images import over


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """512 x 512 RGB: a woman before a flag and a model of a shuttle, her face about 100 pixels wide at (223, 115)."""
    from skimage.data import astronaut

    return Image.fromarray(astronaut())


@pytest.fixture(scope="module")
def astronaut_cut_out(astronaut: Image.Image) -> Portrait:
    return read_portrait(astronaut)


@pytest.fixture(scope="module")
def head(astronaut: Image.Image) -> Image.Image:
    """The astronaut as a background remover leaves her: the picture as large as it was, all but her transparent."""
    mask = Image.new("L", astronaut.size)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((152, 12, 302, 192), fill=255)
    draw.polygon([(180, 170), (260, 170), (400, 300), (420, 511), (20, 511), (60, 270)], fill=255)
    cut = astronaut.convert("RGBA")
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(1)))
    return cut


@pytest.fixture(scope="module")
def head_cut_out(head: Image.Image) -> Portrait:
    return read_portrait(head)


def eyes(portrait: Portrait) -> tuple[float, float, float, float]:
    """Where a portrait's eyes are in its frame: x and y of the right one, x and y of the left one."""
    (face,) = search_faces(over(portrait.pixels, 1.0)).faces
    points = face.points / len(portrait.pixels)
    return (*points[RIGHT_EYE].tolist(), *points[LEFT_EYE].tolist())


def unlikeness(one: Portrait, other: Portrait) -> float:
    """The mean difference of two portraits in colour, where their heads are, and in alpha."""
    pair = [picture.pixels.permute(2, 0, 1)[None] for picture in (one, other)]
    a, b = (torch.nn.functional.interpolate(image, (64, 64), mode="area")[0] for image in pair)
    colour = (a[:3] - b[:3])[:, 16:48, 16:48].abs().mean()
    return float(colour + (a[3] - b[3]).abs().mean())


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
    assert found.how == "a cut-out: no face found in it, used as framed (20 x 20 pixels)"


def test_a_cut_out_is_framed_by_its_face(head_cut_out: Portrait) -> None:
    """The eyes of our renders are at (0.42, 0.50) and (0.58, 0.50); her alpha stays, and ends like a bust."""
    assert head_cut_out.how.startswith("a cut-out: the face found, ")
    assert head_cut_out.how.endswith(", and framed by it, its alpha kept")
    assert eyes(head_cut_out) == pytest.approx((0.41, 0.50, 0.59, 0.50), abs=0.03)
    side = len(head_cut_out.pixels)
    alpha = head_cut_out.pixels[..., 3]
    assert float(alpha[int(0.2 * side) : int(0.7 * side), int(0.4 * side) : int(0.6 * side)].min()) > 0.98
    assert float(alpha[: int(0.5 * side), : int(0.1 * side)].max()) < 0.02
    assert float(alpha[-3:].max()) < 0.02


def on_canvas(picture: Image.Image, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGBA", size)
    canvas.paste(picture, at)
    return canvas


@pytest.mark.parametrize(
    "kind", ["corner", "turned left", "on its head", "turned a little", "colours of P3", "palette", "dark"]
)
def test_a_cut_out_may_be_anywhere_and_any_way_up(
    head: Image.Image, head_cut_out: Portrait, tmp_path: Path, colour_profile: Callable[[str], bytes], kind: str
) -> None:
    given: Any = {
        "corner": lambda: on_canvas(head, (1400, 1200), (880, 690)),
        "turned left": lambda: head.transpose(Image.Transpose.ROTATE_90),
        "on its head": lambda: head.transpose(Image.Transpose.ROTATE_180),
        "turned a little": lambda: head.rotate(-25, resample=Image.Resampling.BICUBIC, expand=True),
        "colours of P3": lambda: head,
        "palette": lambda: head.quantize(250),
        "dark": lambda: Image.merge(
            "RGBA", [band.point(lambda v: v // 8) for band in head.split()[:3]] + [head.split()[3]]
        ),
    }[kind]()
    if kind == "colours of P3":
        given.save(tmp_path / "p3.png", icc_profile=colour_profile("p3"))
        given = tmp_path / "p3.png"
    found = read_portrait(given)
    assert found.how.startswith("a cut-out")
    assert "framed by it, its alpha kept" in found.how
    said = {
        "turned left": ", turned by 90 degrees right:",
        "on its head": ", turned by 180 degrees:",
        "turned a little": " degrees left:",
    }
    assert said.get(kind, "a cut-out: ") in found.how
    if kind == "dark":  # its colours stay
        assert float((found.pixels[..., :3] * found.pixels[..., 3:]).max()) < 0.14
        found = Portrait(torch.cat([found.pixels[..., :3] * 8, found.pixels[..., 3:]], dim=-1), found.how)
    # a tilt of less than ten degrees may be left
    assert unlikeness(found, head_cut_out) < (0.1 if kind == "turned a little" else 0.06), found.how


def test_a_cut_out_in_place_is_used_as_framed(head_cut_out: Portrait) -> None:
    found = read_portrait(head_cut_out.pixels)
    assert torch.equal(found.pixels, head_cut_out.pixels)
    side = len(found.pixels)
    assert found.how == f"a cut-out: its face is in place, used as framed ({side} x {side} pixels)"


def test_renders_are_used_as_framed() -> None:
    """Whether or not a face is found in them, and whichever avatar it is."""
    renders = sorted((Path(__file__).parents[2] / "examples" / "avatars").glob("*/000.webp"))
    for path in renders[::4]:
        with Image.open(path) as picture:
            found = read_portrait(picture)
            assert torch.equal(found.pixels, torch.from_numpy(np.array(picture.convert("RGBA"))) / 255)
        assert "used as framed (64 x 64 pixels)" in found.how


def test_of_two_heads_in_a_cut_out_the_larger_is_taken(head: Image.Image, head_cut_out: Portrait) -> None:
    canvas = on_canvas(head.resize((300, 300)), (900, 520), (0, 200))
    canvas.alpha_composite(head, (380, 0))
    found = read_portrait(canvas)
    assert found.how.startswith("a cut-out: the largest of 2 faces found, ")
    assert unlikeness(found, head_cut_out) < 0.06


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


def test_the_face_comes_to_where_renders_have_it(astronaut_cut_out: Portrait) -> None:
    assert eyes(astronaut_cut_out) == pytest.approx((0.41, 0.50, 0.59, 0.50), abs=0.03)
    (face,) = search_faces(over(astronaut_cut_out.pixels, 1.0)).faces
    size = len(astronaut_cut_out.pixels)
    assert tuple(at / size for at in centre(face)) == pytest.approx(FACE_CENTRE, abs=0.03)


def test_what_lies_beyond_the_photograph_is_transparent(astronaut: Image.Image) -> None:
    """A picture cut off above her eyebrows and right of her chin."""
    found = read_portrait(astronaut.crop((0, 70, 250, 512)))
    side = len(found.pixels)
    assert found.pixels[: int(0.25 * side)].sum() == 0, "above the photograph"
    assert found.pixels[:, int(0.7 * side) :].sum() == 0, "right of it"
    assert found.pixels[int(0.5 * side), int(0.5 * side), 3] > 0.98
    assert found.how.endswith("; the picture ends within the head: show all of it")


def test_a_translucent_photograph_is_a_photograph(astronaut: Image.Image, astronaut_cut_out: Portrait) -> None:
    faint = astronaut.convert("RGBA")
    faint.putalpha(128)
    assert unlikeness(read_portrait(faint), astronaut_cut_out) < 0.02


def test_a_face_against_the_light_is_found(astronaut: Image.Image) -> None:
    rows, columns = np.mgrid[:512, :512]
    shadow = 0.85 * np.exp(-((columns - 225) ** 2 + (rows - 110) ** 2) / (2 * 110**2))
    dim = (np.array(astronaut) * (1 - shadow[..., None])).astype(np.uint8)
    assert read_portrait(Image.fromarray(dim)).how.startswith("a photograph")


@pytest.mark.parametrize(
    ("turned", "said"),
    [
        (Image.Transpose.ROTATE_90, "a photograph, turned by 90 degrees right: the face found"),
        (Image.Transpose.ROTATE_270, "a photograph, turned by 90 degrees left: the face found"),
        (Image.Transpose.ROTATE_180, "a photograph, turned by 180 degrees: the face found"),
    ],
)
def test_a_photograph_may_lie_on_its_side(
    astronaut: Image.Image, astronaut_cut_out: Portrait, turned: Image.Transpose, said: str
) -> None:
    """A scan, or a picture whose EXIF a messenger has stripped."""
    found = read_portrait(astronaut.transpose(turned))
    assert found.how.startswith(said)
    assert unlikeness(found, astronaut_cut_out) < 0.05


@pytest.mark.parametrize("angle", [-50, -20, 20, 50])
def test_a_tilted_head_is_levelled(astronaut: Image.Image, angle: int) -> None:
    found = read_portrait(astronaut.rotate(angle, resample=Image.Resampling.BICUBIC))
    right_x, right_y, left_x, left_y = eyes(found)
    assert left_x - right_x > 0.1
    assert abs(left_y - right_y) / (left_x - right_x) < 0.18, "less than ten degrees"
    assert f"degrees {'left' if angle < 0 else 'right'}" in found.how


def beside(*pictures: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (sum(picture.width for picture in pictures), max(picture.height for picture in pictures)))
    for k, picture in enumerate(pictures):
        canvas.paste(picture, (sum(before.width for before in pictures[:k]), 0))
    return canvas


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("larger_first", [False, True])
def test_of_two_faces_the_larger_is_taken(
    astronaut: Image.Image, astronaut_cut_out: Portrait, larger_first: bool, lying: bool
) -> None:
    small = ImageOps.mirror(astronaut).resize((360, 360))
    both = beside(astronaut, small) if larger_first else beside(small, astronaut)
    found = read_portrait(both.transpose(Image.Transpose.ROTATE_90) if lying else both)
    assert "the largest of 2 faces found, " in found.how
    assert ("turned by 90 degrees right" in found.how) == lying
    assert unlikeness(found, astronaut_cut_out) < 0.05


@pytest.mark.parametrize("share", [0.08, 0.04])
def test_a_small_face_in_a_large_picture_is_found(astronaut: Image.Image, share: float) -> None:
    """A whole person at a distance; the face is `share` of the picture's width."""
    side = round(89 / share)
    scene = Image.new("RGB", (side, side), (120, 140, 120))
    scene.paste(astronaut, (side // 2, side // 3))
    found = read_portrait(scene)
    assert found.how.startswith("a photograph: the face found, ")
    assert eyes(found) == pytest.approx((0.41, 0.50, 0.59, 0.50), abs=0.03)


@pytest.mark.parametrize("light", [0.4, 0.2, 0.1])
def test_a_dark_photograph_is_brightened_first(
    astronaut: Image.Image, astronaut_cut_out: Portrait, light: float
) -> None:
    found = read_portrait(ImageEnhance.Brightness(astronaut).enhance(light))
    assert "brightened: the face found" in found.how
    assert unlikeness(found, astronaut_cut_out) < 0.1, "no grey halo, and the colours of daylight"


def test_a_matte_that_may_be_wrong_says_so(
    astronaut: Image.Image, astronaut_cut_out: Portrait, head: Image.Image
) -> None:
    """Panelling in the colours of skin and hair: nothing tells them apart."""
    assert "its background removed" in astronaut_cut_out.how
    rng = np.random.default_rng(1)
    grain = 20 * np.sin(np.arange(512) / 9) + rng.normal(0, 14, (512, 512))
    wood = (np.array([150, 112, 84]) + grain[..., None]).clip(0, 255).astype(np.uint8)
    scene = Image.fromarray(wood)
    scene.paste(head, mask=head.getchannel("A"))
    found = read_portrait(scene)
    assert "parts of its background may be left (the person and what is behind have the same colours)" in found.how
    assert "cut the head out, as a PNG that is transparent around it" in found.how
    assert "background removed" not in found.how


def test_libraries_say_nothing(astronaut: Image.Image, tmp_path: Path) -> None:
    """Neither scikit-image of its chances nor Pillow of palettes and large pictures."""
    astronaut.quantize(64).save(tmp_path / "palette.png", transparency=bytes([255] * 64))
    Image.new("L", (10000, 9000), 128).save(tmp_path / "large.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_portrait(tmp_path / "palette.png")
        with pytest.raises(UserError, match="no face found"):
            read_portrait(tmp_path / "large.jpg")


@pytest.mark.parametrize(
    "kind", ["L", "1", "P", "CMYK", "CMYK jpeg", "16 bit", "small", "large", "turned", "turned twice", "jpeg", "tensor"]
)
def test_any_photograph_will_do(astronaut: Image.Image, astronaut_cut_out: Portrait, tmp_path: Path, kind: str) -> None:
    expected = astronaut_cut_out.pixels
    given: Any = astronaut
    if kind in ("L", "P", "CMYK"):
        given = astronaut.convert(kind)
    elif kind == "1":
        given = astronaut.resize((1536, 1536)).convert("1")
    elif kind == "CMYK jpeg":  # Adobe's: its numbers are the complements of the inks
        given = tmp_path / "press.jpg"
        astronaut.convert("CMYK").save(given, quality=95)
        assert b"Adobe" in given.read_bytes()
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
    elif kind == "turned twice":  # EXIF says upright, and it is not
        given = tmp_path / "twice.jpg"
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 3
        astronaut.save(given, exif=exif, quality=95)
    elif kind == "jpeg":
        given = tmp_path / "photo.jpg"
        astronaut.save(given)
    else:
        given = torch.from_numpy(np.array(astronaut)).float() / 255
    found = read_portrait(given).pixels[..., 3]
    assert found.shape[0] <= LARGEST_PORTRAIT
    same = torch.nn.functional.interpolate(found[None, None], expected.shape[:2], mode="area")[0, 0]
    assert (same - expected[..., 3]).abs().mean() < (0.1 if kind == "1" else 0.05), (
        "the same face and background, a pixel or two apart"
    )


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
        ("moving.gif", animated, "moving.gif: animated or of several pages; save one frame of it as PNG$"),
        ("moving.webp", animated, "moving.webp: animated or of several pages; save one frame of it as PNG$"),
        ("moving.png", animated, "moving.png: animated or of several pages; save one frame of it as PNG$"),
        ("pages.tif", animated, "pages.tif: animated or of several pages; save one frame of it as PNG$"),
        ("one.png", lambda path: Image.new("RGB", (1, 1)).save(path), "1 x 1 pixels is too small; give 16 or more"),
        ("long.png", lambda path: Image.new("1", (20000, 20)).save(path), "20000 x 20 pixels is too large; scale it"),
        ("vast.png", lambda path: Image.new("1", (20000, 20000)).save(path), "large; scale it to 8192 x 8192 pixels"),
        (
            "huge.png",
            lambda path: Image.new("1", (9000, 10000)).save(path),
            "9000 x 10000 pixels is too large; scale it to 7771 x 8635 pixels or fewer$",
        ),
        (
            "huge.jpg",
            lambda path: Image.new("L", (9000, 10000)).save(path, progressive=True),
            "9000 x 10000 pixels is too large; scale it to 7771 x 8635 pixels or fewer$",
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


def drawing() -> np.ndarray:
    """A house, a tree and a sun, as a child draws them."""
    picture = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((60, 130, 180, 250), outline="brown", width=4)
    draw.polygon([(50, 130), (120, 60), (190, 130)], outline="red", width=4)
    draw.rectangle((80, 160, 105, 185), outline="blue", width=3)
    draw.rectangle((135, 160, 160, 185), outline="blue", width=3)
    draw.ellipse((300, 20, 370, 90), fill="yellow")
    draw.ellipse((240, 110, 340, 200), fill="green")
    draw.rectangle((280, 200, 300, 260), fill="brown")
    return np.array(picture)


def test_pictures_without_faces_are_refused() -> None:
    """Nothing that resembles a face is taken for one, whichever way it is turned."""
    from skimage import data

    for picture in (data.chelsea(), data.coffee(), data.coins(), data.rocket(), data.gravel(), data.text(), drawing()):
        with pytest.raises(UserError, match=r"^image: no face found; give a sharper photograph from the front"):
            read_portrait(Image.fromarray(picture))


def test_a_face_in_profile_is_refused() -> None:
    from skimage.data import camera

    with pytest.raises(
        UserError, match=r"^image: the face looks to the side; give a photograph from the front, or cut"
    ):
        read_portrait(Image.fromarray(camera()))


def test_a_huge_photograph_is_reduced_while_it_is_decoded(
    astronaut: Image.Image, astronaut_cut_out: Portrait, tmp_path: Path
) -> None:
    """144 million pixels, which would be 576 MB as RGBA."""
    astronaut.resize((12000, 12000)).save(tmp_path / "huge.jpg", quality=80)
    found = read_portrait(tmp_path / "huge.jpg")
    assert found.how.startswith("a photograph: the face found, ")
    assert unlikeness(found, astronaut_cut_out) < 0.06


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
