"""Contract of rodin.images: pixels of every format are read right, resizing never mixes in the colour of what is
transparent, bytes come back as they were, and a picture is written whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from rodin.errors import UserError
from rodin.images import (
    area_resize,
    decode_image,
    from_bytes,
    open_image,
    over,
    parse_colour,
    premultiplied,
    psnr,
    resized,
    ssim,
    straight,
    to_bytes,
    write_picture,
)


def read(path: Path) -> Tensor:
    with open_image(path) as image:
        return decode_image(image, path)


def test_pixel_formats(tmp_path: Path) -> None:
    grey16 = np.arange(6, dtype=np.uint16).reshape(2, 3) * 13000
    Image.fromarray(grey16).save(tmp_path / "grey16.png")
    image = read(tmp_path / "grey16.png")
    torch.testing.assert_close(image[..., 1], torch.from_numpy(grey16.astype(np.float32) / 65535))
    assert bool((image[..., 3] == 1).all())
    Image.fromarray(np.array([[0, 128]], dtype=np.uint8)).save(tmp_path / "grey8.png")
    torch.testing.assert_close(read(tmp_path / "grey8.png")[0, 1], torch.tensor([128 / 255] * 3 + [1.0]))
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "palette.png", transparency=0)
    torch.testing.assert_close(read(tmp_path / "palette.png")[0], torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 1]]))
    Image.new("CMYK", (2, 2), (255, 0, 255, 0)).save(tmp_path / "print.tif")
    torch.testing.assert_close(read(tmp_path / "print.tif")[0, 0], torch.tensor([0.0, 1, 0, 1]))
    Image.new("F", (2, 2)).save(tmp_path / "deep.tif")
    with pytest.raises(UserError, match=r"deep\.tif: pixel format F is not supported; save it as"):
        read(tmp_path / "deep.tif")


# ---- colour profiles

# sRGB's primaries in XYZ under D50, a column each (IEC 61966-2-1, adapted)
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])


def srgb_of(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("space", ["adobe", "p3"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_colours_go_by_the_profile(
    tmp_path: Path, colour_profile: Callable[[str], bytes], space: str, mode: str
) -> None:
    """Reference: the primaries' matrices, written out."""
    primaries = {
        "adobe": [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]],
        "p3": [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]],
    }[space]
    colour = (120, 120, 120) if mode == "L" else (180, 120, 90)
    picture = Image.new("RGBA", (4, 4), (*colour, 100)).convert(mode if mode != "P" else "RGB")
    if mode == "P":
        picture = picture.quantize(4)
    picture.save(tmp_path / "wide.png", icc_profile=colour_profile(space))
    linear = np.linalg.inv(SRGB) @ np.array(primaries) @ (np.array(colour) / 255) ** 2.2
    expected = [*srgb_of(linear), 100 / 255 if mode == "RGBA" else 1]
    assert np.abs(np.array(expected[:3]) * 255 - colour).max() > (0 if mode == "L" else 5)
    assert read(tmp_path / "wide.png")[0, 0].tolist() == pytest.approx(expected, abs=2.5 / 255)


def test_grey_goes_by_its_profile(tmp_path: Path, colour_profile: Callable[[str], bytes]) -> None:
    """Of 8 and of 16 bits, with alpha and without: linear light here, so that half of it is lighter than half."""
    linear = colour_profile("grey")
    Image.new("L", (3, 3), 51).save(tmp_path / "8.png", icc_profile=linear)
    Image.new("LA", (3, 3), (51, 90)).save(tmp_path / "8a.png", icc_profile=linear)
    Image.fromarray(np.full((3, 3), 51 * 257, np.uint16)).save(tmp_path / "16.png", icc_profile=linear)
    expected = float(srgb_of(np.array(0.2)))
    for name in ("8", "8a", "16"):
        seen = read(tmp_path / f"{name}.png")[1, 1].tolist()
        assert seen == pytest.approx([expected] * 3 + [90 / 255 if name == "8a" else 1], abs=2 / 255), name


def test_inks_go_by_their_profile(tmp_path: Path, colour_profile: Callable[[str], bytes]) -> None:
    """A press whose cyan is a red; the same file without the profile is cyan."""
    ink = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    ink.save(tmp_path / "press.jpg", icc_profile=colour_profile("cmyk"), quality=95)
    ink.save(tmp_path / "plain.jpg", quality=95)
    red, green, blue, _ = read(tmp_path / "press.jpg")[4, 4].tolist()
    assert red > max(green, blue) + 0.2
    red, green, blue, _ = read(tmp_path / "plain.jpg")[4, 4].tolist()
    assert (red, green, blue) == pytest.approx((0, 1, 1), abs=0.1)


@pytest.mark.parametrize("kind", ["no profile", "cut off", "of inks", "of grey"])
def test_a_profile_that_does_not_fit_changes_nothing(
    tmp_path: Path, colour_profile: Callable[[str], bytes], kind: str
) -> None:
    profile = {
        "no profile": b"no profile at all",
        "cut off": colour_profile("p3")[:200],
        "of inks": colour_profile("cmyk"),
        "of grey": colour_profile("grey"),
    }[kind]
    Image.new("RGB", (4, 4), (180, 120, 90)).save(tmp_path / "odd.png", icc_profile=profile)
    expected = [180 / 255, 120 / 255, 90 / 255, 1]
    assert read(tmp_path / "odd.png")[0, 0].tolist() == pytest.approx(expected)


# ---- HEIC


def test_heic_is_read_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file is called; a cut-off one is named as such."""
    heif = pytest.importorskip("pillow_heif")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])  # imageio gives it to Pillow
    picture = Image.new("RGB", (64, 48), (200, 100, 50))
    for name in ("phone.HEIC", "phone.jpg"):
        heif.from_pillow(picture).save(tmp_path / name)
        seen = read(tmp_path / name)
        assert seen.shape == (48, 64, 4)
        assert seen[24, 32].tolist() == pytest.approx([200 / 255, 100 / 255, 50 / 255, 1], abs=0.03)
    with pytest.raises(UserError, match=r"phone\.jpg: 64 x 48 pixels is too large; scale it to 36 x 27 pixels"):
        open_image(tmp_path / "phone.jpg", most=1000)
    whole = (tmp_path / "phone.jpg").read_bytes()
    (tmp_path / "part.heic").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"part\.heic: damaged or cut off HEIC \(.+\); write it again"):
        read(tmp_path / "part.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"phone\.jpg: is HEIC.*save it as JPEG or PNG, or pip install pillow-heif"):
        open_image(tmp_path / "phone.jpg")


@given(st.integers(1, 9), st.integers(1, 9), st.data())
@settings(max_examples=40, deadline=None)
def test_area_resize_is_the_exact_average(old: int, new: int, data: st.DataObject) -> None:
    """Reference: repeat every pixel `new` times, then average blocks of `old`: exact for any ratio."""
    new = min(old, new)
    seed = data.draw(st.integers(0, 1000))
    rgba = torch.rand(old, old, 4, generator=torch.Generator().manual_seed(seed)).double()
    rgba[..., 3] = (rgba[..., 3] * 3 - 1).clamp(0, 1)
    premultiplied = torch.cat([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], dim=-1)
    repeated = premultiplied.repeat_interleave(new, 0).repeat_interleave(new, 1)
    expected = repeated.reshape(new, old, new, old, 4).mean(dim=(1, 3))
    result = area_resize(rgba, new, new)
    torch.testing.assert_close(result[..., 3], expected[..., 3])
    torch.testing.assert_close(result[..., :3] * result[..., 3:], expected[..., :3], atol=1e-6, rtol=1e-6)
    assert bool((result >= 0).all())
    assert bool((result <= 1).all())


def test_colour_under_transparency_does_not_bleed() -> None:
    image = torch.tensor([[[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]]).repeat(2, 1, 1)
    torch.testing.assert_close(area_resize(image, 1, 1)[0, 0], torch.tensor([1.0, 0.0, 0.0, 0.5]))


def test_every_byte_comes_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(4, 16, 4)
    assert torch.equal(to_bytes(from_bytes(values)), values)
    assert to_bytes(torch.tensor([-0.5, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 7.0])).tolist() == [0, 0, 0, 1, 255, 255]


def test_alpha_is_multiplied_in_and_out() -> None:
    image = torch.rand(3, 5, 7, 4, generator=torch.Generator().manual_seed(0))  # not square on purpose
    image[0, 0, 0, 3] = 0.0
    there = premultiplied(image)
    expected = image[..., :3].double().numpy() * image[..., 3:].double().numpy()
    np.testing.assert_allclose(there[..., :3].numpy(), expected, atol=1e-6)
    back = straight(there[..., :3], there[..., 3])
    visible = image[..., 3] > 1e-3
    torch.testing.assert_close(back[visible], image[..., :3][visible], atol=1e-4, rtol=1e-4)
    assert back[0, 0, 0].tolist() == [0.0, 0.0, 0.0]


def test_over_is_between_picture_and_ground() -> None:
    image = torch.tensor([[[1.0, 0.0, 0.5, 0.25]]])
    torch.testing.assert_close(over(image, 1.0), torch.tensor([[[1.0, 0.75, 0.875]]]))
    torch.testing.assert_close(over(image, torch.tensor([0.0, 0.0, 1.0])), torch.tensor([[[0.25, 0.0, 0.875]]]))


def test_resizing_keeps_what_is_even_and_the_order_of_axes() -> None:
    even = torch.full((6, 10, 4), 0.3)
    torch.testing.assert_close(resized(even, 9, 4), torch.full((9, 4, 4), 0.3))
    ramp = torch.linspace(0, 1, 10).expand(6, 10)[..., None]  # grows along columns alone
    smaller = resized(ramp, 3, 5)[..., 0]
    torch.testing.assert_close(smaller[0], smaller[2])
    assert bool((smaller[0].diff() > 0).all())


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_a_picture_is_read_back_as_written(tmp_path: Path, channels: int, suffix: str) -> None:
    image = from_bytes(torch.randint(0, 256, (5, 8, channels), generator=torch.Generator().manual_seed(1)))
    path = tmp_path / f"picture{suffix}"
    write_picture(path, image)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), to_bytes(image).numpy())


def test_a_format_without_alpha_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"picture\.jpg: pictures are \.png or \.webp"):
        write_picture(tmp_path / "picture.jpg", torch.zeros(2, 2, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_uniform_error_of_a_tenth_is_twenty_decibels() -> None:
    true = torch.full((2, 3, 16, 16), 0.4)
    assert psnr(true + 0.1, true) == pytest.approx(20.0, abs=1e-4)
    assert psnr(true, true) == pytest.approx(100.0)


@given(seed=st.integers(0, 2**31 - 1), contrast=st.floats(0.05, 0.4))
def test_structural_similarity_is_what_its_definition_says_of_flat_and_of_equal_pictures(
    seed: int, contrast: float
) -> None:
    noise = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(seed))
    assert ssim(noise, noise) == pytest.approx(1.0, abs=1e-5)
    one, other = (torch.full((1, 3, 24, 20), value, dtype=torch.float64) for value in (0.5, 0.5 + contrast))
    luminance = (2 * 0.5 * (0.5 + contrast) + 1e-4) / (0.5**2 + (0.5 + contrast) ** 2 + 1e-4)
    assert ssim(one, other) == pytest.approx(luminance, abs=1e-6), "flat pictures differ in luminance alone"


# ---- colours


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("navy", (0, 0, 128)),
        ("RebeccaPurple", (0x66, 0x33, 0x99)),
        ("#a03020", (0xA0, 0x30, 0x20)),
        ("#f80", (255, 0x88, 0)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
    ],
)
def test_css_colours(text: str, colour: tuple[int, int, int]) -> None:
    assert parse_colour(text) == pytest.approx([value / 255 for value in colour])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "'' is no colour; give a CSS name"),
        ("dark sand", "'dark sand' is no colour; give a CSS name"),
        ("#12", "'#12' is no colour"),
        ("x" * 200, "is no colour"),
        ("#12345678", "'#12345678' has an alpha, but nothing here is transparent"),
        ("rgb(256, 0, 0)", "is beyond white; give numbers from 0 to 255"),
    ],
)
def test_what_is_no_colour(text: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        parse_colour(text)
