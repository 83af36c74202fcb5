"""Frames as a GIF, an animated WebP, or an MP4. The suffix chooses.

Symbols: N frames, H W rows and columns.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.files import atomic_path
from rodin.images import over, to_bytes

WHITE = (1.0, 1.0, 1.0)
GIF_MAX_FPS = 50.0  # browsers slow down a GIF with less than 20 ms a frame
_PALETTE_PIXELS = 2**18  # from all frames together, to choose a GIF's colours by


def write_video(path: Path, frames: Tensor, fps: float, background: tuple[float, float, float] = WHITE) -> None:
    """Write frames as the suffix says: .gif, .webp (both looped) or .mp4; whole or not at all.

    Args:
        frames: [N, H, W, 3 or 4] straight sRGB in [0, 1]; transparency is laid on the background.
        fps: frames a second.
        background: sRGB in [0, 1].

    Raises:
        UserError: another suffix, an fps that the format does not have, .mp4 without the package av, or the place
            cannot be written.
    """
    writers = {".gif": write_gif, ".webp": write_webp, ".mp4": write_mp4}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise UserError(f"{path}: {suffix or 'no suffix'} is no video format here; choose {', '.join(writers)}")
    writers[suffix](path, frames, fps, background)


def write_gif(path: Path, frames: Tensor, fps: float, background: tuple[float, float, float] = WHITE) -> None:
    """Write a looped GIF with one palette for all frames, so that colours do not flicker. See `write_video`.

    A GIF counts hundredths of a second: frames get whole ones such that the whole lasts as long as asked.
    """
    pixels = _laid_on(frames, fps, background)
    if fps > GIF_MAX_FPS:
        raise UserError(f"{path}: {fps:g} frames a second are too many for a GIF; choose {GIF_MAX_FPS:g} or fewer")
    palette = _palette(pixels)
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in pixels
    ]
    _save_animation(path, pictures, _durations_ms(len(pictures), fps, step=10), "GIF")


def write_webp(path: Path, frames: Tensor, fps: float, background: tuple[float, float, float] = WHITE) -> None:
    """Write a looped animated WebP. See `write_video`."""
    pictures = [Image.fromarray(frame) for frame in _laid_on(frames, fps, background)]
    _save_animation(path, pictures, _durations_ms(len(pictures), fps, step=1), "WEBP")


def write_mp4(path: Path, frames: Tensor, fps: float, background: tuple[float, float, float] = WHITE) -> None:
    """Write H.264 in an MP4. An odd width or height grows by one repeated column or row. See `write_video`."""
    try:
        import av
    except ImportError as error:
        raise UserError(f"{path}: MP4 needs the package av; pip install 'rodin[video]', or write a .gif") from error
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
            raise UserError(f"{path}: not written ({one_line(error)}); write a .gif instead") from error


def _laid_on(frames: Tensor, fps: float, background: tuple[float, float, float]) -> np.ndarray:
    """[N, H, W, 3] uint8, laid on the background."""
    if frames.ndim != 4 or frames.shape[-1] not in (3, 4) or 0 in frames.shape:
        raise ValueError(f"frames must be [N, H, W, 3 or 4] and not empty, got {list(frames.shape)}")
    if not 0 < fps <= 1000:
        raise UserError(f"fps: {fps:g} frames a second; choose above 0 and at most 1000")
    if frames.shape[-1] == 4:
        frames = over(frames, torch.tensor(background).to(frames))
    return to_bytes(frames).numpy()


def _durations_ms(count: int, fps: float, step: int) -> list[int]:
    """Durations in whole steps whose sums are as near to the true times as the step allows."""
    ends = [round(1000.0 * k / (fps * step)) * step for k in range(count + 1)]
    return [max(step, late - early) for early, late in pairwise(ends)]


def _palette(pixels: np.ndarray) -> Image.Image:
    """A picture whose palette is the best 256 colours for all frames, judged by evenly spaced pixels."""
    flat = pixels.reshape(-1, 3)
    flat = flat[:: -(-len(flat) // _PALETTE_PIXELS)]
    return Image.fromarray(flat[None]).quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _save_animation(path: Path, pictures: list[Image.Image], durations_ms: list[int], kind: str) -> None:
    options = {"quality": 90, "method": 4} if kind == "WEBP" else {"optimize": False}
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
