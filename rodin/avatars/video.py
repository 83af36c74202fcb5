"""Frames as a GIF, an animated WebP, or an MP4. The suffix chooses.

Transparency is laid on a background, or kept: by a WebP as it is, by a GIF as there or not there, by an MP4 not at all.

Symbols: N frames, H W rows and columns.
"""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.files import atomic_path
from rodin.images import over, to_bytes

Colour = tuple[float, float, float]

WHITE: Colour = (1.0, 1.0, 1.0)
SUFFIXES = (".gif", ".webp", ".mp4")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a disk says that takes no more
GIF_MAX_FPS = 50.0  # browsers slow down a GIF with less than 20 ms a frame
_PALETTE_PIXELS = 2**18  # from all frames together, to choose a GIF's colours by
_CLEAR = 255  # the entry of a GIF's palette that stands for transparent


def write_video(path: Path, frames: Tensor, fps: float, background: Colour | None = WHITE) -> None:
    """Write frames as the suffix says: .gif, .webp (both looped) or .mp4; whole or not at all.

    Args:
        frames: [N, H, W, 3 or 4] straight sRGB in [0, 1].
        fps: frames a second.
        background: sRGB in [0, 1] that transparency is laid on; None keeps it.

    Raises:
        UserError: see `check_video`; an fps that the format does not have, .mp4 without the package av, or the place
            cannot be written.
    """
    check_video(path, background)
    writers = {".gif": write_gif, ".webp": write_webp, ".mp4": write_mp4}
    writers[Path(path).suffix.lower()](path, frames, fps, background)


def check_video(path: Path, background: Colour | None) -> None:
    """Raise UserError if the suffix is no video format here, or if it knows no transparency and has to keep it."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: {suffix or 'no suffix'} is no video format here; choose {', '.join(SUFFIXES)}")
    if suffix == ".mp4" and background is None:
        raise UserError(f"{path}: an MP4 cannot be transparent; choose a colour such as white, or write a .webp")


def write_gif(path: Path, frames: Tensor, fps: float, background: Colour | None = WHITE) -> None:
    """Write a looped GIF with one palette for all frames, so that colours do not flicker. See `write_video`.

    A GIF counts hundredths of a second: frames get whole ones such that the whole lasts as long as asked. Its pixels
    are there or not: kept transparency is cut at one half.
    """
    pixels = _laid_on(frames, fps, background)
    if fps > GIF_MAX_FPS:
        raise UserError(f"{path}: {fps:g} frames a second are too many for a GIF; choose {GIF_MAX_FPS:g} or fewer")
    colours = pixels[..., :3]
    shown = pixels[..., 3] >= 128 if pixels.shape[-1] == 4 else None
    palette = _palette(colours.reshape(-1, 3) if shown is None or not shown.any() else colours[shown])
    pictures = []
    for index, frame in enumerate(colours):
        picture = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        pictures.append(picture if shown is None else _cleared(picture, ~shown[index]))
    _save_animation(path, pictures, _durations_ms(len(pictures), fps, step=10), "GIF", clear=shown is not None)


def write_webp(path: Path, frames: Tensor, fps: float, background: Colour | None = WHITE) -> None:
    """Write a looped animated WebP. See `write_video`."""
    pictures = [Image.fromarray(frame) for frame in _laid_on(frames, fps, background)]
    _save_animation(path, pictures, _durations_ms(len(pictures), fps, step=1), "WEBP", clear=False)


def write_mp4(path: Path, frames: Tensor, fps: float, background: Colour | None = WHITE) -> None:
    """Write H.264 in an MP4. An odd width or height grows by one repeated column or row. See `write_video`."""
    check_video(path, background)
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"{path}: MP4 needs the package av; pip install 'rodin-avatars[video]', or write a .gif"
        ) from error
    pixels = _laid_on(frames, fps, background)
    height, width = pixels.shape[1:3]
    pixels = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # 4:2:0 wants even sides
    with atomic_path(path) as temporary:
        try:
            with av.open(str(temporary), mode="w", options={"movflags": "faststart"}) as container:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.width, stream.height = pixels.shape[2], pixels.shape[1]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": "18"}
                for frame in pixels:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            if error.errno in FULL:  # the place's fault, which is told as of any file
                raise OSError(error.errno, os.strerror(error.errno)) from error
            raise UserError(f"{path}: not written ({one_line(error)}); write a .gif instead") from error


def _laid_on(frames: Tensor, fps: float, background: Colour | None) -> np.ndarray:
    """[N, H, W, 3] uint8, laid on the background; without one as many channels as the frames have."""
    if frames.ndim != 4 or frames.shape[-1] not in (3, 4) or 0 in frames.shape:
        raise ValueError(f"frames must be [N, H, W, 3 or 4] and not empty, got {list(frames.shape)}")
    if not 0 < fps <= 1000:
        raise UserError(f"fps: {fps:g} frames a second; choose above 0 and at most 1000")
    if frames.shape[-1] == 4 and background is not None:
        frames = over(frames, torch.tensor(background).to(frames))
    return to_bytes(frames).numpy()


def _durations_ms(count: int, fps: float, step: int) -> list[int]:
    """Durations in whole steps whose sums are as near to the true times as the step allows."""
    ends = [round(1000.0 * k / (fps * step)) * step for k in range(count + 1)]
    return [max(step, late - early) for early, late in pairwise(ends)]


def _palette(pixels: np.ndarray) -> Image.Image:
    """A picture whose palette is the best 255 colours for pixels [..., 3], judged by evenly spaced ones.

    The entry `_CLEAR` is left: it repeats the first.
    """
    flat = pixels.reshape(-1, 3)
    flat = flat[:: -(-len(flat) // _PALETTE_PIXELS)]
    chosen = Image.fromarray(flat[None]).quantize(_CLEAR, method=Image.Quantize.MEDIANCUT, kmeans=1)
    colours = (chosen.getpalette() or [])[: 3 * _CLEAR]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours + colours[:3] * (256 - len(colours) // 3))
    return palette


def _cleared(picture: Image.Image, clear: np.ndarray) -> Image.Image:
    """A picture of `_palette`, transparent where `clear` [H, W]."""
    indices = np.asarray(picture).copy()
    indices[indices == _CLEAR] = 0  # the same colour
    indices[clear] = _CLEAR
    other = Image.fromarray(indices, mode="P")
    other.putpalette(picture.getpalette() or [])
    return other


def _save_animation(
    path: Path, pictures: list[Image.Image], durations_ms: list[int], kind: str, *, clear: bool
) -> None:
    """Write frames; of a GIF with `clear`, the entry `_CLEAR` is transparent."""
    options: dict[str, Any] = {"quality": 90, "method": 4} if kind == "WEBP" else {"optimize": False}
    if clear:
        options |= {"transparency": _CLEAR, "disposal": 2}  # each frame replaces the one before it
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary,
            format=kind,
            save_all=True,
            append_images=pictures[1:],
            duration=durations_ms if len(pictures) > 1 else durations_ms[0],
            loop=0,
            **options,
        )
