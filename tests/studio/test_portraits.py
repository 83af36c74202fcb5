"""Contract of rodin.studio.portraits: the model sees what `read_portrait` would show it, until somebody corrects that;
and no bytes that a stranger sends do more than be refused in a line."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from rodin.avatars.portrait import Crop, read_portrait
from rodin.errors import UserError
from rodin.studio.portraits import ASIDE, NO_FACE, Found, Portraits, examined, read_picture

PIXELS = 2_000_000


def sent(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(astronaut())


@pytest.fixture
def portraits(tmp_path: Path) -> Portraits:
    return Portraits(tmp_path / "portraits", most=3, most_pixels=PIXELS)


def test_a_photograph_is_seen_as_the_commands_see_it(portraits: Portraits, photograph: Image.Image) -> None:
    found = portraits.add("me", sent(photograph))
    assert (found.width, found.height, found.cut_out, found.doubt) == (512, 512, False, "")
    assert len(found.faces) == 1
    face, crop = found.faces[0], found.crop
    assert crop.left < face["left"] < face["left"] + face["width"] < crop.left + crop.size
    wanted = read_portrait(photograph).pixels
    torch.testing.assert_close(portraits.framed(found).pixels, wanted, atol=2 / 255, rtol=0)


def test_a_cut_out_is_seen_as_the_commands_see_it(portraits: Portraits) -> None:
    picture = Image.open(Path(__file__).parents[2] / "examples" / "portrait.webp")
    found = portraits.add("me", sent(picture))
    assert found.cut_out
    torch.testing.assert_close(portraits.framed(found).pixels, read_portrait(picture).pixels, atol=2 / 255, rtol=0)


def test_without_a_face_the_frame_is_set_by_hand(portraits: Portraits) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    found = portraits.add("me", sent(Image.fromarray(noise)))
    assert found.faces == ()
    assert NO_FACE in found.remarks
    assert ASIDE not in found.remarks
    assert found.crop == Crop(15, 0, 60)
    moved = portraits.crop(found, Crop(-10, -20, 70))
    assert portraits.get(found.id, "me") == moved
    framed = portraits.framed(moved).pixels
    assert framed.shape == (70, 70, 4)
    assert not framed[:20, :, 3].any(), "what is beyond the picture is transparent"
    assert not framed[:, :10, 3].any()


def test_a_matte_drawn_by_hand_is_what_the_model_sees(portraits: Portraits, photograph: Image.Image) -> None:
    found = portraits.add("me", sent(photograph))
    middle = Image.new("L", (found.width, found.height), 0)
    crop = found.crop
    box = tuple(value + crop.size // 4 for value in (crop.left, crop.top))
    middle.paste(255, (*box, *(value + crop.size // 2 for value in box)))
    found = portraits.take_matte(found, sent(middle.convert("RGBA")))  # as a canvas writes it
    assert found.by_hand
    alpha = portraits.framed(found).pixels[..., 3]
    quarter = crop.size // 4
    assert float(alpha.mean()) == pytest.approx(0.25, abs=0.02)
    assert alpha[quarter + 1 : 3 * quarter - 1, quarter + 1 : 3 * quarter - 1].min() == 1
    moved = portraits.crop(found, Crop(crop.left + 3, crop.top, crop.size))
    assert moved.by_hand
    torch.testing.assert_close(portraits.framed(moved).pixels[:, : quarter - 4, 3], torch.zeros(crop.size, quarter - 4))


def test_a_matte_of_another_kind_or_size_is_refused(portraits: Portraits, photograph: Image.Image) -> None:
    found = portraits.add("me", sent(photograph))
    with pytest.raises(UserError, match="matte: 10 x 10 pixels; give one of 512 x 512"):
        portraits.take_matte(found, sent(Image.new("L", (10, 10))))
    with pytest.raises(UserError, match="matte: it cannot be read"):
        portraits.take_matte(found, sent(Image.new("L", (512, 512)), "JPEG"))
    nothing = portraits.take_matte(found, sent(Image.new("L", (512, 512), 0)))
    with pytest.raises(UserError, match="leaves nothing of the person"):
        portraits.framed(nothing)


@pytest.mark.parametrize(
    "crop", [Crop(0, 0, 15), Crop(0, 0, 5000), Crop(512, 0, 100), Crop(-100, 0, 100), Crop(0, 900, 64)]
)
def test_a_frame_beside_the_picture_is_refused(portraits: Portraits, photograph: Image.Image, crop: Crop) -> None:
    found = portraits.add("me", sent(photograph))
    with pytest.raises(UserError, match=r"^crop: "):
        portraits.crop(found, crop)
    assert portraits.get(found.id, "me") == found


def test_a_portrait_is_its_owners_alone_and_the_oldest_goes(portraits: Portraits) -> None:
    small = sent(Image.new("RGB", (20, 20), "red"))
    found = [portraits.add("me", small) for _ in range(4)]
    assert portraits.get(found[-1].id, "another") is None
    assert portraits.get("../" + found[-1].id, "me") is None
    there = [portraits.get(one.id, "me") is not None for one in found]
    assert sum(there) == 3
    assert there[-1]


def test_a_turned_photograph_comes_upright_and_large_ones_small(photograph: Image.Image) -> None:
    found, upright, matte = examined(read_picture(sent(photograph.rotate(90, expand=True)), PIXELS))
    assert len(found.faces) == 1
    assert (upright[..., :3] - torch.from_numpy(astronaut() / 255).float()).abs().mean() < 0.02
    assert matte.shape == upright.shape[:2]
    large = read_picture(sent(photograph.resize((1300, 1300)), "JPEG"), PIXELS)
    assert max(large.shape) <= 1024
    tilted, upright, matte = examined(read_picture(sent(photograph.rotate(25)), PIXELS))
    assert max(upright.shape[:2]) <= 1024
    assert (tilted.height, tilted.width) == upright.shape[:2] == matte.shape
    assert isinstance(tilted, Found)


# ---- strangers


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, of a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    return sent(frames[0], "GIF", save_all=True, append_images=frames[1:])


REFUSED = {
    "nothing": b"",
    "text": b"<svg onload=alert(1)>" * 9,
    "a page": b"<!doctype html><script>alert(1)</script>",
    "a bomb by its header": png_header(60000, 60000),
    "larger than is let in": png_header(2000, 1001),
    "cut off": sent(Image.new("RGB", (64, 64)), "PNG")[:60],
    "no pixels": png_header(64, 64),
    "a thin line": sent(Image.new("RGB", (500, 3)), "PNG"),
    "all transparent": sent(Image.new("RGBA", (64, 64)), "PNG"),
    "animated": animated(),
    "PostScript, which would start a program": sent(Image.new("RGB", (64, 64)), "EPS"),
    "a PDF": sent(Image.new("RGB", (64, 64)), "PDF"),
    "a zip": b"PK\x03\x04" + bytes(64),
    "HEIC in name alone": b"\0\0\0\x18ftypheic" + bytes(64),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_portrait_is_refused_in_a_line(portraits: Portraits, tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError) as caught:
        portraits.add("me", REFUSED[kind])
    said = str(caught.value)
    assert said.startswith("picture: ")
    assert "\n" not in said
    assert str(tmp_path) not in said
    assert "object at" not in said
    assert list((tmp_path / "portraits").iterdir()) == []


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 300), st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
def test_damaged_pictures_are_read_or_refused(noise: bytes, at: int, kind: str) -> None:
    content = sent(Image.effect_noise((48, 40), 60).convert("RGB"), kind)
    damaged = content[:at] + noise + content[at + len(noise) :]
    with contextlib.suppress(UserError):  # nothing else
        pixels = read_picture(damaged, PIXELS)
        assert pixels.shape[-1] == 4
        assert torch.isfinite(pixels).all()
