"""Pictures: what every step of the project does with pixels, whatever they show.

Images are [..., H, W, 3 or 4] float32 in [0, 1], straight sRGB: colours are not multiplied by alpha. Where pictures are
mixed or resized they are premultiplied first, so that the colour of transparent pixels never bleeds in.
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageColor
from torch import Tensor

from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path, check_regular

MAX_PIXELS = 2**26  # 8192 x 8192: a larger header is a mistake or an attack, and is refused before it is decoded
PICTURE_SUFFIXES = (".png", ".webp")  # formats with alpha
#: What strangers may send, beside HEIC: other formats start programs (EPS), or are seldom read and so seldom mended.
SENT_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, Image.DecompressionBombError)

_EIGHT_BIT_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa")
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_OTHER_COLOUR_MODES = ("CMYK", "YCbCr", "LAB", "HSV")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


# ---- alpha


def premultiplied(image: Tensor) -> Tensor:
    """Straight RGBA [..., 4] with its colours multiplied by alpha, [..., 4]."""
    alpha = image[..., 3:]
    return torch.cat([image[..., :3] * alpha, alpha], dim=-1)


def straight(colour: Tensor, alpha: Tensor) -> Tensor:
    """Premultiplied colours [..., 3] divided by alpha [...]; black where there is nothing."""
    return torch.where(alpha[..., None] > 1e-4, colour / alpha[..., None].clamp_min(1e-4), 0)


def over(image: Tensor, background: float | Tensor) -> Tensor:
    """Composite straight RGBA [..., 4] over a grey level or a colour [3] -> [..., 3]."""
    return image[..., :3] * image[..., 3:] + (1 - image[..., 3:]) * background


def check_colours(palette: Tensor) -> None:
    """Raise ValueError unless `palette` is [K, 3], sRGB colours in [0, 1]."""
    if palette.ndim != 2 or palette.shape[1] != 3:
        raise ValueError(f"palette must be [K, 3], got {list(palette.shape)}")
    if not ((palette >= 0) & (palette <= 1)).all():
        worst = palette.flatten()[(palette.flatten() - 0.5).abs().nan_to_num(torch.inf).argmax()]
        raise ValueError(f"palette must lie in [0, 1], holds {worst.item():g}")


def parse_colour(text: str) -> tuple[float, float, float]:
    """Red, green and blue in [0, 1] of a CSS colour: a name, #rgb, #rrggbb, rgb() or hsl().

    Raises:
        UserError: it is none, or transparent.
    """
    try:
        channels = ImageColor.getrgb(text)
    except ValueError as error:
        raise UserError(
            f"{shown(text)} is no colour; give a CSS name such as navy, or #rrggbb such as #a03020"
        ) from error
    if len(channels) != 3:
        raise UserError(f"{shown(text)} has an alpha, but nothing here is transparent; give #rgb or #rrggbb")
    if max(channels) > 255:
        raise UserError(f"{shown(text)} is beyond white; give numbers from 0 to 255")
    red, green, blue = (channel / 255 for channel in channels)
    return red, green, blue


# ---- bytes


def to_bytes(image: Tensor) -> Tensor:
    """Numbers in [0, 1] as uint8, of the same shape, on the CPU; what lies outside is clamped."""
    return (image.detach().cpu().float() * 255.0).round().clamp(0, 255).to(torch.uint8).contiguous()


def from_bytes(image: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1], of the same shape."""
    return image.float() / 255.0


# ---- size


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """An image [H, W, C] at another size, bilinear, without aliasing -> [height, width, C]."""
    batch = image.permute(2, 0, 1)[None]
    other = F.interpolate(batch, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return other[0].permute(1, 2, 0).clamp(0, 1).contiguous()


def area_average(values: Tensor, height: int, width: int) -> Tensor:
    """Average [..., H, W, C] down, each new pixel over exactly the area it covers -> [..., height, width, C]."""
    rows = _area_weights(values.shape[-3], height).to(values)
    columns = _area_weights(values.shape[-2], width).to(values)
    averaged = rows @ values.flatten(-2)  # [..., height, W * C]
    return columns @ averaged.unflatten(-1, (-1, values.shape[-1]))


def area_resize(images: Tensor, height: int, width: int) -> Tensor:
    """Average straight RGBA images down, each new pixel over exactly the area it covers.

    The average is taken of premultiplied values, so that the colour of transparent pixels never bleeds in; fully
    transparent pixels of the result are black.

    Args:
        images: [..., H, W, 4] straight, in [0, 1].

    Returns:
        [..., height, width, 4] straight.
    """
    averaged = area_average(premultiplied(images), height, width)
    alpha = averaged[..., 3:]
    # 1e-6 is far below one step of 16-bit alpha; smaller values are rounding, and no colour can be had from them
    colour = torch.where(alpha > 1e-6, averaged[..., :3] / alpha.clamp_min(1e-6), torch.zeros_like(alpha))
    return torch.cat([colour, alpha], dim=-1).clamp(0.0, 1.0)


def _area_weights(old: int, new: int) -> Tensor:
    """[new, old] rows that sum to 1: the share of each old pixel in each new one."""
    edges = torch.arange(new + 1, dtype=torch.float64) * old / new
    left = torch.arange(old, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], left + 1) - torch.maximum(edges[:-1, None], left)
    return overlap.clamp_min(0.0) * new / old


# ---- likeness


def psnr(seen: Tensor, true: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of numbers in [0, 1], of any shape; 100 where both are the same."""
    return -10 * math.log10(max((seen - true).square().mean().item(), 1e-10))


def ssim(seen: Tensor, true: Tensor) -> float:
    """Structural similarity of pictures [B, 3, H, W] in [0, 1]: 1 where both are the same (Wang et al. 2004)."""
    # Imported here: it takes 2 s, for which every process that fits or trains would wait.
    from torchmetrics.functional.image import structural_similarity_index_measure

    return float(structural_similarity_index_measure(seen, true, data_range=1.0))


# ---- files


def open_image(path: Path, most: int = MAX_PIXELS) -> Image.Image:
    """Open an image file without decoding its pixels; what is too large is refused by its header.

    HEIC is read where `pillow_heif` is installed; it is decoded at once.

    Args:
        most: pixels that are not too many.

    Raises:
        UserError: the file is missing, no image, or too large.
    """
    check_regular(path)
    return _open(path, str(path), most, None)


def open_sent_image(content: bytes, name: str, most: int = MAX_PIXELS) -> Image.Image:
    """Like `open_image`, of bytes that a stranger sent: in SENT_FORMATS alone.

    Args:
        name: what errors call it.

    Raises:
        UserError: likewise.
    """
    return _open(io.BytesIO(content), name, most, SENT_FORMATS)


def _open(source: Path | io.BytesIO, name: str, most: int, formats: tuple[str, ...] | None) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, at a lower limit
            image = Image.open(source, formats=formats)
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such image; put it there or mend the path") from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{name}: the image is too large; scale it to {_fitting(1, 1, min(most, MAX_PIXELS))} pixels"
        ) from error
    except DECODE_ERRORS as error:
        if _is_heic(source):
            return _open_heic(source, name, most)
        reason = one_line(error) if isinstance(source, Path) else "unknown to us"
        raise UserError(f"{name}: cannot be read as an image ({reason}); write it again as PNG or JPEG") from error
    try:
        check_pixels(image.width, image.height, name, most)
    except UserError:
        image.close()
        raise
    return image


def check_pixels(width: int, height: int, path: Path | str, most: int = MAX_PIXELS) -> None:
    """Raise a UserError that names a size to scale to if an image has more pixels than `most`."""
    if width * height > most:
        fitting = _fitting(width, height, most)
        raise UserError(f"{path}: {width} x {height} pixels is too large; scale it to {fitting} pixels or fewer")


def _fitting(width: int, height: int, most: int) -> str:
    """The largest size of the same shape that has no more pixels than `most`, in words."""
    scale = math.sqrt(most / (width * height))
    return f"{max(int(width * scale), 1)} x {max(int(height * scale), 1)}"


def _is_heic(source: Path | io.BytesIO) -> bool:
    """Whether a file says of itself that it is HEIC, whatever its name (ISO/IEC 23008-12)."""
    if isinstance(source, io.BytesIO):
        head = source.getvalue()[:12]
    else:
        try:
            with source.open("rb") as file:
                head = file.read(12)
        except OSError:
            return False
    return head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS


def _open_heic(source: Path | io.BytesIO, name: str, most: int) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError(
            f"{name}: is HEIC, as iPhones write it; save it as JPEG or PNG, or pip install pillow-heif"
        ) from error
    try:
        file = pillow_heif.open_heif(source)
        width, height = file.size
        check_pixels(width, height, name, most)
        return file.to_pillow()
    except UserError:
        raise
    except (*DECODE_ERRORS, RuntimeError) as error:
        raise UserError(f"{name}: damaged or cut off HEIC ({one_line(error)}); write it again") from error


def decode_image(image: Image.Image, path: Path | str) -> Tensor:
    """[H, W, 4] straight sRGB in [0, 1]; alpha is 1 where the image has none.

    Grey, palette and CMYK images become RGBA, 16-bit grey keeps its precision. The colour channels of 16-bit RGB lose
    their low byte (Pillow reads them so). Colours go by the image's profile; without one, or with one that cannot be
    read, they are taken for sRGB (CMYK: for paper's complements).

    Args:
        path: names the image in errors.

    Raises:
        UserError: the image is cut off, or of a colour space that is not supported.
    """
    mode = image.mode
    if mode not in _EIGHT_BIT_MODES + _SIXTEEN_BIT_MODES + _OTHER_COLOUR_MODES:
        raise UserError(f"{path}: pixel format {mode} is not supported; save it as 8-bit RGBA or RGB")
    try:
        image.load()
        image = to_srgb(image)
        if image.mode in _SIXTEEN_BIT_MODES:
            grey = torch.from_numpy(np.asarray(image).astype(np.float32) / 65535.0)
            return torch.stack([grey, grey, grey, torch.ones_like(grey)], dim=-1)
        return from_bytes(torch.from_numpy(np.array(image.convert("RGBA"))))
    except DECODE_ERRORS as error:
        raise UserError(f"{path}: damaged or cut off ({one_line(error)}); write it again") from error


def to_srgb(image: Image.Image) -> Image.Image:
    """A decoded picture with its colours in sRGB, by the profile (ICC) that lies in the file.

    It is RGB, RGBA or 16-bit grey where it was converted, and as it was where it has no profile, that of sRGB, or one
    that cannot be read or belongs to another kind of picture.
    """
    converted = None
    if "icc_profile" in image.info:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            if not ImageCms.getProfileDescription(profile).startswith("sRGB"):
                converted = _by_profile(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    if converted is None:
        return image.convert("RGB") if image.mode in _OTHER_COLOUR_MODES else image
    converted.info.pop("icc_profile", None)
    return converted


def _by_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image | None:
    """A picture from a profile's colours to sRGB; None where the profile is of another kind of picture."""
    space, grey = profile.profile.xcolor_space.strip(), image.mode in ("1", "L", "LA", "La", *_SIXTEEN_BIT_MODES)
    srgb = ImageCms.createProfile("sRGB")
    if image.mode in _SIXTEEN_BIT_MODES:  # by a curve, since Pillow converts 8 bits only
        if space != "GRAY":
            return None
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        curve = np.asarray(ImageCms.profileToProfile(ramp, profile, srgb, outputMode="RGB"))[0, :, 1] * 257.0
        values = np.interp(np.asarray(image).astype(np.float64), np.arange(256) * 257.0, curve)
        return Image.fromarray(values.round().astype(np.uint16))
    if image.mode in ("LAB", "YCbCr", "HSV"):
        image = image.convert("RGB")
    alpha = None
    if "transparency" in image.info or image.mode not in ("1", "L", "RGB", "CMYK"):
        whole = image.convert("RGBA")
        image, alpha = whole.convert("RGB"), whole.getchannel("A")
    if space == "GRAY" and grey:
        image = image.convert("L")
    elif space == "RGB" and image.mode != "CMYK":
        image = image.convert("RGB")
    elif space != image.mode:
        return None
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    if converted is not None and alpha is not None:
        converted.putalpha(alpha)
    return converted


def write_picture(path: Path, image: Tensor) -> None:
    """Write [H, W], [H, W, 3] or, straight and transparent, [H, W, 4] in [0, 1] as a picture, whole or not at all.

    Raises:
        UserError: the suffix is no picture format with alpha, or the place cannot be written.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UserError(f"{path}: pictures are {' or '.join(PICTURE_SUFFIXES)}; change the suffix")
    with atomic_path(path) as temporary:
        Image.fromarray(to_bytes(image).numpy()).save(temporary)
