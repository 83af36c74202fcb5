"""Contract of rodin.avatars.video: as many frames, of that size and duration, as were given, in every format; whole or
not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from torch import Tensor

from rodin.avatars.video import _durations_ms, write_gif, write_mp4, write_video, write_webp
from rodin.errors import UserError

COUNT, HEIGHT, WIDTH = 7, 18, 26


def _frames(channels: int = 3) -> Tensor:
    """A white bar that moves over a colour gradient; the fourth channel is a disc."""
    rows = torch.linspace(0, 1, HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    columns = torch.linspace(0, 1, WIDTH)[None].expand(HEIGHT, WIDTH)
    frames = torch.stack([rows, columns, 1 - rows], dim=-1).repeat(COUNT, 1, 1, 1)
    for k in range(COUNT):
        frames[k, :, 3 * k : 3 * k + 3] = 1.0
    if channels == 4:
        disc = ((rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.2).float()
        frames = torch.cat([frames, disc[None, :, :, None].expand(COUNT, -1, -1, -1)], dim=-1)
    return frames


def _read(path: Path) -> tuple[list[np.ndarray], list[int], int]:
    with Image.open(path) as image:
        durations, pictures = [], []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            durations.append(frame.info["duration"])
            pictures.append(np.asarray(frame.convert("RGB")))
        return pictures, durations, image.info["loop"]


@pytest.mark.parametrize(("suffix", "tolerance"), [(".gif", 12), (".webp", 12)])
def test_pictures_that_move(tmp_path: Path, suffix: str, tolerance: float) -> None:
    path = tmp_path / f"a{suffix}"
    frames = _frames()
    write_video(path, frames, fps=12)
    pictures, durations, loop = _read(path)
    assert len(pictures) == COUNT
    assert loop == 0
    assert sum(durations) == pytest.approx(COUNT / 12 * 1000, abs=10)
    for picture, frame in zip(pictures, frames, strict=True):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(picture - frame.numpy() * 255).mean() < tolerance
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_mp4(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    frames = torch.nn.functional.interpolate(_frames().permute(0, 3, 1, 2), scale_factor=4).permute(0, 2, 3, 1)
    write_video(path, frames, fps=12.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert float(stream.average_rate) == pytest.approx(12.5)
        assert float(stream.duration * stream.time_base) == pytest.approx(COUNT / 12.5, abs=1e-3)
    assert len(pictures) == COUNT
    for picture, frame in zip(pictures, frames, strict=True):
        assert picture.shape == (4 * HEIGHT, 4 * WIDTH, 3)
        assert np.abs(picture - frame.numpy() * 255).mean() < 8


def test_a_full_disk_takes_no_film(tmp_path: Path, full_disk: Any) -> None:
    """Another format would not fit either."""
    pytest.importorskip("av")
    noise = torch.rand(24, 64, 64, 4, generator=torch.Generator().manual_seed(0))
    with full_disk(2000), pytest.raises(UserError, match=r"full\.mp4: not written \(.*\); free some space") as caught:
        write_mp4(tmp_path / "full.mp4", noise, 12)
    assert ".gif" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_mp4_of_odd_size(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write_mp4(tmp_path / "a.mp4", _frames()[:, :17, :25], fps=24)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width) == (18, 26)


@pytest.mark.parametrize("write", [write_gif, write_webp])
def test_transparency_is_laid_on_the_background(tmp_path: Path, write: object) -> None:
    path = tmp_path / "a"
    write(path, _frames(channels=4), 10, (0.0, 1.0, 0.0))  # type: ignore[operator]
    corner = _read(path)[0][0][0, 0]
    assert np.abs(corner.astype(int) - [0, 255, 0]).max() < 20
    write(path, _frames(channels=4), 10)  # type: ignore[operator]
    assert _read(path)[0][0][0, 0].min() > 235


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_transparency_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    frames = _frames(channels=4)
    write_video(path, frames, fps=10, background=None)
    with Image.open(path) as image:
        assert image.n_frames == COUNT
        for frame, picture in zip(frames, ImageSequence.Iterator(image), strict=True):
            pixels = np.asarray(picture.convert("RGBA")).astype(int)
            inside = frame[..., 3].numpy() > 0.5
            assert ((pixels[..., 3] > 127) == inside).all(), "what was there in the frame before shows through"
            assert np.abs(pixels[inside, :3] - frame.numpy()[inside, :3] * 255).mean() < 14


def test_a_gif_of_nothing_is_transparent_and_of_everything_is_not(tmp_path: Path) -> None:
    frames = torch.zeros(2, 8, 8, 4)
    for alpha in (0.0, 1.0):
        frames[..., 3] = alpha
        write_gif(tmp_path / "a.gif", frames, fps=10, background=None)
        with Image.open(tmp_path / "a.gif") as image:
            assert set(np.unique(np.asarray(image.convert("RGBA"))[..., 3])) == {round(255 * alpha)}


def test_a_single_frame(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", _frames()[:1], fps=10)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size) == (1, (WIDTH, HEIGHT))


@given(st.integers(1, 200), st.floats(0.5, 50), st.sampled_from([1, 10]))
def test_durations_never_drift(count: int, fps: float, step: int) -> None:
    durations = _durations_ms(count, fps, step)
    assert len(durations) == count
    assert all(duration >= step and duration % step == 0 for duration in durations)
    assert abs(sum(durations) - count / fps * 1000) <= step


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = _frames()
    for name in ("a.avi", "a"):
        with pytest.raises(UserError, match=r"choose \.gif, \.webp, \.mp4"):
            write_video(tmp_path / name, frames, fps=10)
    for fps in (0, -1, float("nan"), 2000):
        with pytest.raises(UserError, match="fps"):
            write_video(tmp_path / "a.webp", frames, fps=fps)
    with pytest.raises(UserError, match="too many for a GIF"):
        write_video(tmp_path / "a.gif", frames, fps=60)
    with pytest.raises(UserError, match=r"a\.mp4: an MP4 cannot be transparent; choose a colour"):
        write_video(tmp_path / "a.mp4", frames, fps=10, background=None)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"rodin-avatars\[video\]"):
        write_video(tmp_path / "a.mp4", frames, fps=10)
    for bad in (frames[0], frames[:0], frames[..., :2]):
        with pytest.raises(ValueError, match="frames must be"):
            write_video(tmp_path / "a.gif", bad, fps=10)
    assert not list(tmp_path.iterdir())
