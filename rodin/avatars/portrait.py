"""Portraits: any picture of a head to one framed like a frontal render of an avatar, without its background.

Faces are sought in every picture (`rodin.avatars.face_search`). A picture with transparency is a cut-out: it keeps its
alpha, and is used as framed where its face is where renders have it, or where none is found. An opaque one is a
photograph: its face is brought to where renders have it, and the background is taken away (`rodin.avatars.matte`).

Positions are in frames: (0, 0) is the upper left corner of the square picture, (1, 1) the lower right one.
"""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import ExifTags, Image
from torch import Tensor

from rodin.avatars.face_search import (
    Search,
    central_face,
    centre,
    eye_distance,
    mouth_below_eyes,
    search_faces,
    square_of,
    tilt_deg,
)
from rodin.avatars.faces import Face
from rodin.avatars.matte import bust_outline, foreground, share_of_head
from rodin.errors import UserError, one_line
from rodin.images import (
    DECODE_ERRORS,
    MAX_PIXELS,
    area_resize,
    check_pixels,
    decode_image,
    open_image,
    over,
    premultiplied,
    straight,
)

SMALLEST_SIDE, LARGEST_SIDE = 16, 16384  # pixels of a picture
MOST_DRAFTED = 2**28  # pixels of a JPEG that is reduced while it is decoded
READ_SIDE = 1024  # pixels of the longer side; twice as large pictures are reduced before anything else
LARGEST_PORTRAIT = 512  # pixels of a portrait that was framed here
WHOLE_HEAD = 0.9  # of where the head is likely: less of it in the picture, and it is cut off
SMALL_PORTRAIT = 96  # pixels, below which a framed portrait shows little
CUT_OUT_SHARE = 0.05  # of pixels that are transparent, from which on a picture is a cut-out and no photograph

# Where faces are in our frontal renders, in frames: the point between eyes and mouth, and the distance of the eyes
# plus that of the mouth below them. Medians over the 28 avatars of examples/avatars in which a face is found (of the
# others, most have beards, hats or glasses); there the points differ by 0.03, the distances by a quarter.
FACE_CENTRE = (0.50, 0.588)
FACE_SPAN = 0.34
# Up to which a cut-out's face is where renders have it: in frames, as a ratio, in degrees
CENTRE_OFF, SPAN_OFF, TILT_OFF_DEG = 0.08, 1.5, 20
LEVEL_DEG = 10  # tilts below which a face is left as it is
LEVELLINGS = 3  # times that a face is turned and found again, at most

ADVICE = "cut the head out, as a PNG that is transparent around it"

# Where the brightest hundredth of a framed photograph lies below DARK, it is underexposed, and multiplied up to BRIGHT
DARK, BRIGHT = 0.5, 0.9


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
            in which no face is found that looks at the camera.
    """
    name = str(image) if isinstance(image, (str, Path)) else "image"
    with warnings.catch_warnings():  # Pillow's and scikit-image's are not for those who give a picture
        warnings.simplefilter("ignore")
        if isinstance(image, (str, Path)):
            with open_image(Path(image), MOST_DRAFTED) as picture:
                pixels = picture_pixels(picture, name)
        elif isinstance(image, Image.Image):
            pixels = picture_pixels(image, name)
        else:
            pixels = checked_pixels(image)
        check_size(pixels.shape[1], pixels.shape[0], name, MAX_PIXELS)
        transparent = float((pixels[..., 3] < 0.5).float().mean())
        if transparent == 1:
            raise UserError(f"{name}: all of it is transparent; give a picture that shows a head")
        return cut_out(pixels) if transparent >= CUT_OUT_SHARE else photograph(pixels, name)


# ---- reading


def picture_pixels(picture: Image.Image, name: str) -> Tensor:
    """[H, W, 4] of a picture, upright, the longer side below 2 READ_SIDE; `name` is for errors."""
    number = orientation(picture)
    try:
        # MPO is what phones make of one photograph and its thumbnails
        several = picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1
        drafted = picture.format in ("JPEG", "MPO") and not picture.info.get(
            "progressive"
        )  # those are decoded at full size
        check_size(picture.width, picture.height, name, MOST_DRAFTED if drafted else MAX_PIXELS)
        if drafted:
            scale = READ_SIDE / max(picture.size)
            picture.draft(None, (math.ceil(picture.width * scale), math.ceil(picture.height * scale)))
        factor = max(picture.size) // READ_SIDE
        if factor > 1 and not several and not picture.mode.startswith("I"):
            picture = _of_whole_bytes(picture).reduce(factor)
    except UserError:
        raise
    except DECODE_ERRORS as error:
        raise UserError(f"{name}: damaged or cut off ({one_line(error, kind=True)}); write it again") from error
    if several:
        raise UserError(f"{name}: animated or of several pages; save one frame of it as PNG")
    return upright(decode_image(picture, name), number)


def _of_whole_bytes(picture: Image.Image) -> Image.Image:
    """A picture that can be averaged: its numbers are colours, not places in a palette, and its alpha is a channel."""
    if picture.mode in ("P", "PA") or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture.convert("L") if picture.mode == "1" else picture


def check_size(width: int, height: int, name: str, most: int) -> None:
    """Refuse sizes that no portrait has, before anything is decoded."""
    if min(width, height) < SMALLEST_SIDE:
        raise UserError(f"{name}: {width} x {height} pixels is too small; give {SMALLEST_SIDE} or more a side")
    if max(width, height) > LARGEST_SIDE:
        wanted = f"{LARGEST_SIDE} or fewer a side"
        raise UserError(f"{name}: {width} x {height} pixels is too large; scale it to {wanted}, or crop it to the head")
    check_pixels(width, height, name, most)


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


# ---- cut-outs


def cut_out(pixels: Tensor) -> Portrait:
    """The portrait of a cut-out [H, W, 4]: reframed where its face is not where renders have it."""
    height, width = pixels.shape[:2]
    size = f"({width} x {height} pixels)"
    found = search_faces(over(exposed(pixels), 1.0))
    as_framed = cropped_square(pixels)
    if not found.faces:
        what = "its face looks to the side" if found.aside else "no face found in it"
        return Portrait(as_framed, f"a cut-out: {what}, used as framed {size}")
    face = found.faces[0]
    if not found.turns and is_in_place(face, height, width):
        return Portrait(as_framed, f"a cut-out: its face is in place, used as framed {size}")
    framed, tilt = frame_face(torch.rot90(pixels, found.turns), face)
    framed = torch.cat([framed[..., :3], framed[..., 3:] * bust_outline(framed.shape[0])[..., None]], dim=-1)
    how = f"a cut-out{_turned(found, tilt)}: {_which(found)}, and framed by it, its alpha kept{_small(framed)}"
    return Portrait(framed, how)


def is_in_place(face: Face, height: int, width: int) -> bool:
    """Whether a face of a picture is where renders have it, once the picture is cropped square."""
    side = min(height, width)
    x, y = centre(face)
    x -= (width - side) // 2
    ratio = _span(face) / side / FACE_SPAN
    return (
        max(abs(x / side - FACE_CENTRE[0]), abs(y / side - FACE_CENTRE[1])) < CENTRE_OFF
        and 1 / SPAN_OFF < ratio < SPAN_OFF
        and abs(tilt_deg(face)) < TILT_OFF_DEG
    )


# ---- photographs


def photograph(pixels: Tensor, name: str) -> Portrait:
    """The portrait of a photograph [H, W, 4] (what is rather transparent in it counts as background)."""
    pixels = torch.cat([pixels[..., :3], (pixels[..., 3:] >= 0.5).float()], dim=-1)
    found = search_faces(over(exposed(pixels), 1.0))
    if not found.faces and found.aside:
        raise UserError(
            f"{name}: the face looks to the side; give a photograph from the front, or {ADVICE}, and say with "
            "--azimuth from where it is seen"
        )
    if not found.faces:
        raise UserError(
            f"{name}: no face found; give a sharper photograph from the front, or cut the head out (a PNG that is "
            "transparent around it is used as framed)"
        )
    framed, tilt = frame_face(torch.rot90(pixels, found.turns), found.faces[0])
    bright = exposed(framed)
    matte = foreground(bright)
    behind = (
        f"parts of its background may be left ({matte.doubt}): {ADVICE}" if matte.doubt else "its background removed"
    )
    light = ", brightened" if bright is not framed else ""
    cut = "; the picture ends within the head: show all of it" if share_of_head(framed[..., 3]) < WHOLE_HEAD else ""
    how = f"a photograph{_turned(found, tilt)}{light}: {_which(found)}, and {behind}{cut}{_small(framed)}"
    return Portrait(torch.cat([bright[..., :3], matte.alpha[..., None]], dim=-1), how)


def exposed(framed: Tensor) -> Tensor:
    """A picture [H, W, 4] as bright as it should be; the same tensor where it is bright enough."""
    seen = framed[framed[..., 3] > 0.5][..., :3].amax(dim=-1)
    seen = seen[:: max(len(seen) // 2**16, 1)]
    brightest = float(seen.quantile(0.99)) if len(seen) else 1.0
    if brightest > DARK:
        return framed
    gain = BRIGHT / max(brightest, 0.02)
    return torch.cat([(framed[..., :3] * gain).clamp_max(1), framed[..., 3:]], dim=-1)


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a picture, in its pixels; it may reach beyond the picture."""

    left: int
    top: int
    size: int


def frame_face(pixels: Tensor, face: Face) -> tuple[Tensor, float]:
    """A picture [H, W, 4] cut so that a face lies where faces lie in our renders, its eyes level.

    Returns:
        [S, S, 4], transparent where the frame shows what is beyond the picture, and by how many degrees it was turned
        to the left.
    """
    whole, face, tilt = levelled(pixels, face)
    return cropped(whole, crop_around(face)), tilt


def levelled(pixels: Tensor, face: Face) -> tuple[Tensor, Face, float]:
    """A picture [H, W, 4] whose face has its eyes level: itself where they are, else a square around the face, turned.

    Returns:
        the picture, the face in it, and by how many degrees it was turned to the left.
    """
    tilt = 0.0
    whole, upright_face = pixels, face
    for _ in range(LEVELLINGS):  # the detector takes great tilts for smaller ones
        if abs(tilt_deg(upright_face)) < LEVEL_DEG:
            break
        side = 3 * max(round(_span(face) / FACE_SPAN), 1)
        angle = tilt + tilt_deg(upright_face)
        square = turned(square_of(pixels, *centre(face), side, outside=0.0), math.radians(angle))
        again = central_face(over(square, 1.0))
        if again is None:
            break
        tilt, whole, upright_face = angle, square, again
    return whole, upright_face, tilt


def crop_around(face: Face) -> Crop:
    """The square in which a level face lies where faces lie in our renders."""
    side = max(round(_span(face) / FACE_SPAN), 1)
    x, y = (at + (0.5 - wanted) * side for at, wanted in zip(centre(face), FACE_CENTRE, strict=True))
    return Crop(round(x - side / 2), round(y - side / 2), side)


def cropped(pixels: Tensor, crop: Crop) -> Tensor:
    """[S, S, 4] of a picture [H, W, 4], LARGEST_PORTRAIT pixels a side at most; transparent beyond the picture."""
    half = crop.size / 2
    square = square_of(pixels, crop.left + half, crop.top + half, crop.size, outside=0.0)
    return area_resize(square, LARGEST_PORTRAIT, LARGEST_PORTRAIT) if crop.size > LARGEST_PORTRAIT else square


def turned(square: Tensor, angle: float) -> Tensor:
    """A straight RGBA square [S, S, 4] turned to the left about its middle by an angle in radians; empty corners."""
    cos, sin = math.cos(angle), math.sin(angle)
    grid = F.affine_grid(torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]), [1, 4, *square.shape[:2]], False)
    image = F.grid_sample(premultiplied(square).permute(2, 0, 1)[None], grid, align_corners=False)
    image = image[0].permute(1, 2, 0)
    return torch.cat([straight(image[..., :3], image[..., 3]), image[..., 3:]], dim=-1).clamp(0, 1)


def _span(face: Face) -> float:
    return eye_distance(face) + mouth_below_eyes(face)


# ---- what is said


def _turned(found: Search, tilt: float) -> str:
    left = round(90 * found.turns + tilt + 180) % 360 - 180
    if not left:
        return ""
    return f", turned by {abs(left)} degrees" + ("" if left == -180 else " left" if left > 0 else " right")


def _which(found: Search) -> str:
    face = found.faces[0]
    which = "the face" if len(found.faces) == 1 else f"the largest of {len(found.faces)} faces"
    x, y = centre(face)
    return f"{which} found, {face.width:.0f} pixels wide at ({x:.0f}, {y:.0f})"


def _small(framed: Tensor) -> str:
    side = framed.shape[0]
    return (
        f"; it is small, {side} pixels a side with the head: show the head larger in the picture"
        if side < SMALL_PORTRAIT
        else ""
    )
