"""Pictures: what every step of the project does with pixels, whatever they show.

Images are [..., H, W, 3 or 4] float32 in [0, 1], straight sRGB: colours are not multiplied by alpha. Where pictures are
mixed or resized they are premultiplied first, so that the colour of transparent pixels never bleeds in.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageColor
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.files import atomic_path

MAX_PIXELS = 2**26  # 8192 x 8192: a larger header is a mistake or an attack, and is refused before it is decoded
PICTURE_SUFFIXES = (".png", ".webp")  # formats with alpha
DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, Image.DecompressionBombError)

_EIGHT_BIT_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa")
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


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
        raise UserError(f"{text!r} is no colour; give a CSS name such as navy, or #rrggbb such as #a03020") from error
    if len(channels) != 3:
        raise UserError(f"{text!r} has an alpha, but nothing here is transparent; give #rgb or #rrggbb")
    if max(channels) > 255:
        raise UserError(f"{text!r} is beyond white; give numbers from 0 to 255")
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


def open_image(path: Path) -> Image.Image:
    """Open an image file without decoding its pixels; what is too large is refused by its header.

    Raises:
        UserError: the file is missing, no image, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, at a lower limit
            image = Image.open(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image; put it there or mend the path") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: the image is too large; scale it to {MAX_PIXELS} pixels") from error
    except DECODE_ERRORS as error:
        raise UserError(f"{path}: cannot be read as an image ({one_line(error)}); write it again") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise UserError(f"{path}: {image.width} x {image.height} pixels is too large; scale it to {MAX_PIXELS} pixels")
    return image


def decode_image(image: Image.Image, path: Path | str) -> Tensor:
    """[H, W, 4] straight sRGB in [0, 1]; alpha is 1 where the image has none.

    Grey and palette images become RGBA, 16-bit grey keeps its precision. The colour channels of 16-bit RGB lose their
    low byte (Pillow reads them so).

    Args:
        path: names the image in errors.

    Raises:
        UserError: the image is cut off, or of a colour space that is not supported.
    """
    mode = image.mode
    if mode not in _EIGHT_BIT_MODES + _SIXTEEN_BIT_MODES:
        raise UserError(f"{path}: pixel format {mode} is not supported; save it as 8-bit RGBA or RGB")
    try:
        if mode in _SIXTEEN_BIT_MODES:
            grey = torch.from_numpy(np.asarray(image).astype(np.float32) / 65535.0)
            return torch.stack([grey, grey, grey, torch.ones_like(grey)], dim=-1)
        return from_bytes(torch.from_numpy(np.array(image.convert("RGBA"))))
    except DECODE_ERRORS as error:
        raise UserError(f"{path}: damaged or cut off ({one_line(error)}); write it again") from error


def write_picture(path: Path, image: Tensor) -> None:
    """Write [H, W, 3] or, straight and transparent, [H, W, 4] in [0, 1] as a picture, whole or not at all.

    Raises:
        UserError: the suffix is no picture format with alpha, or the place cannot be written.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UserError(f"{path}: pictures are {' or '.join(PICTURE_SUFFIXES)}; change the suffix")
    with atomic_path(path) as temporary:
        Image.fromarray(to_bytes(image).numpy()).save(temporary)
