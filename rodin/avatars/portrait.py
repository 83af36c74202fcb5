"""Portraits: any picture of a head to one framed like a frontal render of an avatar, without its background.

A picture with transparency is a cut-out and taken as framed. An opaque one is a photograph: its face is found with
scikit-image's LBP cascade, brought to where faces lie in our renders, and the background is taken away by colour and
framing: two colour histograms, of the person and of what is behind, are learned from a head-and-shoulders template
(as GrabCut does, Rother et al. 2004), and a random walker (Grady 2006) draws the edge between what they are sure of.

Positions are in frames: (0, 0) is the upper left corner of the square picture, (1, 1) the lower right one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.images import DECODE_ERRORS, MAX_PIXELS, area_resize, decode_image, open_image, over, resized

Array = NDArray[np.float64]

SMALLEST_SIDE, LARGEST_SIDE = 16, 16384  # pixels of a picture
READ_SIDE = 1024  # pixels of the longer side; twice as large pictures are reduced before anything else
LARGEST_PORTRAIT = 512  # pixels of a photograph's portrait
CUT_OUT_SHARE = 0.05  # of pixels that are transparent, from which on a picture is a cut-out and no photograph

# Where the cascade finds faces in our frontal renders, in frames: the medians over those that it finds, of
# `rodin synth --size 256 --views 1 --count 8 --seed 7` (faces differ by 0.02; it misses beards and glasses)
FACE_CENTRE = (0.50, 0.54)
FACE_WIDTH = 0.42

DETECTION_SIDES = (240, 480)  # pixels of the longer side that faces are sought in
# Detections that must agree, strict first; with 10 it finds 48 of 50 faces of skimage's lfw_subset, and none in a cat
NEIGHBOURS = (30, 10)
MATTE_SIDE = 128


@dataclass(frozen=True)
class Portrait:
    """A head framed like a frontal render.

    Args:
        pixels: [S, S, 4] straight RGBA in [0, 1].
        how: one line that says what was made of the picture.
    """

    pixels: Tensor
    how: str


def read_portrait(image: Tensor | Image.Image | str | Path) -> Portrait:
    """A portrait of a picture: [H, W, 3 or 4] floats in [0, 1], a PIL image, or a file.

    Raises:
        UserError: the file cannot be read as one image, it is too small or too large, shows nothing, or is a photograph
            in which no face is found.
    """
    name = str(image) if isinstance(image, (str, Path)) else "image"
    if isinstance(image, (str, Path)):
        with open_image(Path(image)) as picture:
            pixels = picture_pixels(picture, name)
    elif isinstance(image, Image.Image):
        pixels = picture_pixels(image, name)
    else:
        pixels = checked_pixels(image)
    height, width = pixels.shape[:2]
    check_size(width, height, name)
    transparent = float((pixels[..., 3] < 0.5).float().mean())
    if transparent == 1:
        raise UserError(f"{name}: all of it is transparent; give a picture that shows a head")
    if transparent >= CUT_OUT_SHARE:
        return Portrait(cropped_square(pixels), f"a cut-out, used as framed ({width} x {height} pixels)")
    return photograph(pixels, name)


# ---- reading


def picture_pixels(picture: Image.Image, name: str) -> Tensor:
    """[H, W, 4] of a picture, upright, the longer side below 2 READ_SIDE; `name` is for errors."""
    check_size(picture.width, picture.height, name)
    number = orientation(picture)
    try:
        # MPO is what phones make of one photograph and its thumbnails
        if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
            raise UserError(f"{name}: animated or of several pages; save one frame of it as PNG")
        if picture.mode in ("CMYK", "YCbCr", "HSV"):
            picture = picture.convert("RGB")
        factor = max(picture.size) // READ_SIDE
        if factor > 1 and not picture.mode.startswith("I"):
            picture = picture.convert("RGBA").reduce(factor)
    except DECODE_ERRORS as error:
        raise UserError(f"{name}: damaged or cut off ({one_line(error, kind=True)}); write it again") from error
    return upright(decode_image(picture, name), number)


def check_size(width: int, height: int, name: str) -> None:
    """Refuse sizes that no portrait has, before anything is decoded."""
    if min(width, height) < SMALLEST_SIDE:
        raise UserError(f"{name}: {width} x {height} pixels is too small; give {SMALLEST_SIDE} or more a side")
    if max(width, height) > LARGEST_SIDE or width * height > MAX_PIXELS:
        wanted = f"{LARGEST_SIDE} or fewer a side and {MAX_PIXELS} in all"
        raise UserError(f"{name}: {width} x {height} pixels is too large; scale it to {wanted}")


def checked_pixels(image: Tensor) -> Tensor:
    """[H, W, 4] of a tensor [H, W, 3 or 4]; alpha is 1 where it has none."""
    if image.ndim != 3 or image.shape[-1] not in (3, 4) or 0 in image.shape or not image.is_floating_point():
        raise UserError(f"image: expected [H, W, 3 or 4] floats in [0, 1], got {list(image.shape)} {image.dtype}")
    if not torch.isfinite(image).all():
        raise UserError("image: expected [H, W, 3 or 4] floats in [0, 1], some are not finite; mend them")
    if image.shape[-1] == 3:
        image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
    return image.detach().cpu().float().clamp(0, 1)


def orientation(picture: Image.Image) -> int:
    """How the camera was held, EXIF's number 1 to 8; 1, as it is, where the picture does not say."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (ValueError, SyntaxError, OSError, struct.error):  # damaged notes; the pixels are whole
        return 1


def upright(image: Tensor, number: int) -> Tensor:
    """[H, W, 4] to [H or W, W or H, 4]: undo an EXIF orientation."""
    if number in (5, 6, 7, 8):
        image = image.transpose(0, 1)
    return image.flip({2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(number, ()))


def cropped_square(pixels: Tensor) -> Tensor:
    """The middle of a wide picture, the upper part of a tall one, where a portrait has its face; [S, S, 4]."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    return pixels[:side, left : left + side]


# ---- photographs


def photograph(pixels: Tensor, name: str) -> Portrait:
    """The portrait of a photograph [H, W, 4] (what is transparent in it counts as background)."""
    faces = find_faces(pixels)
    if not faces:
        raise UserError(
            f"{name}: no face found; give a sharper photograph from the front, or cut the head out (a PNG that is "
            "transparent around it is used as framed)"
        )
    x, y, width = max(faces, key=lambda face: face[2])
    framed = frame_face(pixels, x, y, width)
    alpha = foreground(framed)
    which = "the face" if len(faces) == 1 else f"the largest of {len(faces)} faces"
    how = f"a photograph: {which} found, {width:.0f} pixels wide at ({x:.0f}, {y:.0f}), and its background removed"
    return Portrait(torch.cat([framed[..., :3], alpha[..., None]], dim=-1), how)


def find_faces(pixels: Tensor) -> list[tuple[float, float, float]]:
    """Faces that look at the camera in a photograph [H, W, 4], each (x, y) of its centre and its width in pixels."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade  # half a second that only photographs need

    height, width = pixels.shape[:2]
    low, high = DETECTION_SIDES
    scale = min(max(max(height, width), low), high) / max(height, width)
    small = resized(over(pixels, 1.0), max(1, round(height * scale)), max(1, round(width * scale)))
    side = min(small.shape[:2])
    cascade = Cascade(lbp_frontal_face_cascade_filename())
    for neighbours in NEIGHBOURS:
        found = cascade.detect_multi_scale(
            img=small.numpy(),
            scale_factor=1.05,
            step_ratio=1,
            min_size=(max(24, side // 10),) * 2,  # 24 is the cascade's window
            max_size=(side, side),
            min_neighbor_number=neighbours,
        )
        if found:
            break
    return [
        ((face["c"] + face["width"] / 2) / scale, (face["r"] + face["height"] / 2) / scale, face["width"] / scale)
        for face in found
    ]


def frame_face(pixels: Tensor, x: float, y: float, width: float) -> Tensor:
    """[S, S, 4] of a photograph [H, W, 4], cut so that a face lies where faces lie in our renders.

    What the frame shows beyond the photograph is transparent.
    """
    side = max(round(width / FACE_WIDTH), 1)
    left, top = round(x - FACE_CENTRE[0] * side), round(y - FACE_CENTRE[1] * side)
    height, breadth = pixels.shape[:2]
    framed = pixels.new_zeros(side, side, 4)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, breadth))
    framed[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = pixels[rows, columns]
    return area_resize(framed, LARGEST_PORTRAIT, LARGEST_PORTRAIT) if side > LARGEST_PORTRAIT else framed


def foreground(framed: Tensor) -> Tensor:
    """Soft alpha [S, S] of the person in a framed photograph [S, S, 4], cut off below like a bust.

    Found at MATTE_SIDE, since the edge of hair has no more to give to a render's size.
    """
    from skimage.color import rgb2lab
    from skimage.segmentation import random_walker  # a second that only photographs need

    size = MATTE_SIDE
    known = resized(framed[..., 3:], size, size)[..., 0].numpy() > 0.99
    rgb = resized(over(framed, 1.0), size, size).numpy()
    lab = rgb2lab(rgb) / 100  # L in [0, 1], a and b in about [-1, 1]
    inside, outside, likely, bust = _template(size)
    outside = (outside | ~known) & ~inside
    sure = _sure(_by_colour(lab, inside, outside, likely), inside, outside)
    if (sure == 0).any():
        chances = random_walker(lab, sure, beta=800, mode="cg_j", tol=1e-5, channel_axis=-1, return_full_prob=True)
        alpha = np.clip((chances[0] - 0.2) / 0.6, 0, 1)
    else:
        alpha = (sure == 1).astype(np.float64)
    matte = torch.from_numpy(alpha * bust * known).float()
    return resized(matte[..., None], *framed.shape[:2])[..., 0] * framed[..., 3]


def _template(size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Array, Array]:
    """Where a framed person surely is, surely is not, the likelihood of the rest, and the bust's soft outline.

    The bust is that of our avatars, all of whom end in it; a photograph's shoulders go on, and nothing could render
    them. All are [size, size].
    """
    from scipy import ndimage

    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    beside = np.abs(columns - 0.5)

    def ellipse(row: float, radius_x: float, radius_y: float) -> Array:
        return np.hypot(beside / radius_x, (rows - row) / radius_y)

    inside = (ellipse(0.55, 0.12, 0.17) < 1) | ((beside < 0.06) & (rows > 0.6) & (rows < 0.9))
    outside = (rows < 0.02) | ((ellipse(0.5, 0.45, 0.5) > 1) & (rows < 0.7))
    head_or_body = np.minimum(ellipse(0.47, 0.28, 0.38), ellipse(1.0, 0.45, 0.25))
    likely = 1 / (1 + np.exp(8 * (head_or_body - 1)))
    bust = (ellipse(0.80, 0.27, 0.115) < 1) | ((beside < 0.27) & (rows < 0.8)) | (rows < 0.7)
    return inside, outside, likely, ndimage.gaussian_filter(bust.astype(np.float64), 0.8)


def _by_colour(lab: Array, inside: NDArray[np.bool_], outside: NDArray[np.bool_], likely: Array) -> Array:
    """The chance [S, S] of each pixel to be the person, by place and by colour histograms learned from the chances."""
    from scipy import ndimage

    bins = np.array([16, 20, 20])
    smooth = ndimage.gaussian_filter(lab, (0.7, 0.7, 0))
    place = tuple((np.clip(smooth * [1, 0.8, 0.8] + [0, 0.5, 0.5], 0, 1) * bins).round().astype(int).transpose(2, 0, 1))

    def likelihood(weights: Array) -> Array:
        histogram = np.zeros(bins + 1)
        np.add.at(histogram, place, weights)
        histogram = ndimage.gaussian_filter(histogram, 1.0)
        return (histogram / histogram.sum() + 1e-5)[place]

    prior = np.log(likely / (1 - likely))
    chance = likely
    for _ in range(5):
        chance = np.where(inside, 1.0, np.where(outside, 0.0, chance))
        ratio = np.log(likelihood(chance) / likelihood(1 - chance))
        chance = 1 / (1 + np.exp(-(prior + np.clip(ratio, -4, 4))))
    return chance


def _sure(chance: Array, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Seeds [S, S] of the random walker: 1 the person, 2 the background, 0 to be found out."""
    from scipy import ndimage

    person = (ndimage.minimum_filter(chance, 3) > 0.85) | inside
    pieces, _ = ndimage.label(person & ~outside)
    person = pieces == pieces[inside][0]  # one piece around the face; what else has its colours does not count
    behind = (ndimage.maximum_filter(chance, 3) < 0.15) | outside
    return np.where(person, 1, np.where(behind & ~inside, 2, 0))
