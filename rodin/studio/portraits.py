"""Portraits that people bring: what part of the picture the model sees, and what of that is the person.

Both are found as `rodin.avatars.portrait` does, and can be corrected by hand: where no face is found, that is what one
does. All is kept in a private folder, under unguessable names, until newer ones need the room:

    ID.png         the upright picture
    ID-matte.png   what of it is the person, as grey
    ID.json        the rest; written last
"""

from __future__ import annotations

import io
import secrets
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from rodin.avatars.face_search import search_faces
from rodin.avatars.faces import Face
from rodin.avatars.matte import bust_outline, foreground, share_of_head
from rodin.avatars.portrait import (
    CUT_OUT_SHARE,
    READ_SIDE,
    SMALL_PORTRAIT,
    WHOLE_HEAD,
    Crop,
    Portrait,
    check_size,
    crop_around,
    cropped,
    exposed,
    is_in_place,
    levelled,
    picture_pixels,
)
from rodin.errors import UserError
from rodin.files import atomic_path, read_json, write_json
from rodin.images import (
    DECODE_ERRORS,
    area_resize,
    decode_image,
    open_sent_image,
    over,
    resized,
    to_bytes,
    write_picture,
)
from rodin.parts import config_from_dict
from rodin.studio.history import owner_of

SMALLEST_CROP = 16  # pixels
NO_FACE = "no face was found: set the frame around the head by hand"
ASIDE = "the face looks to the side: a picture from the front is followed better"
CUT_OFF = "the picture ends within the head: show all of it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A portrait as it is kept.

    Args:
        id: names its files.
        owner: hash of the person who brought it.
        width: of the upright picture, in pixels.
        height: likewise.
        crop: what the model sees.
        faces: left, top, width and height of each.
        cut_out: the picture has an alpha of its own.
        by_hand: the matte was drawn by hand.
        doubt: why the matte may be wrong; "" where nothing speaks against it.
        remarks: what else there is to say.
    """

    id: str
    owner: str
    width: int
    height: int
    crop: Crop
    faces: tuple[dict, ...]
    cut_out: bool
    in_place: bool
    by_hand: bool
    doubt: str
    remarks: tuple[str, ...]


class Portraits:
    """The portraits in a folder. Not for several threads at once.

    Args:
        folder: made, readable for its owner alone, where it is missing.
        most: portraits that are kept.
        most_pixels: of a picture that is read.
    """

    def __init__(self, folder: Path, most: int, most_pixels: int) -> None:
        self._folder, self._most, self._most_pixels = folder, most, most_pixels
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)

    def add(self, person: str, content: bytes) -> Found:
        """Look at a picture, and keep it.

        Raises:
            UserError: it is none, too small, too large, animated, or shows nothing.
        """
        pixels = read_picture(content, self._most_pixels)
        found, upright, matte = examined(pixels)
        found = replace(found, id=secrets.token_urlsafe(16), owner=owner_of(person))
        write_picture(self.picture(found.id), upright)
        self._write_matte(found.id, matte)
        self._write(found)
        self._forget()
        return found

    def get(self, name: str, person: str) -> Found | None:
        """A person's portrait; None where there is none of that id, or it is another's."""
        path = self._folder / f"{name}.json"
        if "/" in name or not path.is_file():
            return None
        found = config_from_dict(Found, read_json(path), "portrait")
        return found if found.owner == owner_of(person) else None

    def crop(self, found: Found, crop: Crop) -> Found:
        """Let the model see another part. A matte that was drawn by hand stays.

        Raises:
            UserError: the part shows nothing of the picture, or is too small or too large.
        """
        check_crop(crop, found.width, found.height)
        pixels = self._pixels(found)
        found = replace(found, crop=crop, in_place=False)
        if not found.by_hand and not found.cut_out:
            matte, doubt = found_matte(pixels, crop)
            self._write_matte(found.id, matte)
            found = replace(found, doubt=doubt)
        found = replace(found, remarks=remarks_on(pixels, found))
        self._write(found)
        return found

    def take_matte(self, found: Found, content: bytes) -> Found:
        """Take a matte that was drawn by hand: grey, white where the person is, of the picture's size.

        Raises:
            UserError: it is no PNG, or of another size.
        """
        try:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                if image.size != (found.width, found.height):
                    raise UserError(
                        f"matte: {image.width} x {image.height} pixels; give one of {found.width} x {found.height}"
                    )
                matte = decode_image(image.convert("L"), "matte")[..., 0]
        except UserError:
            raise
        except DECODE_ERRORS as error:
            raise UserError("matte: it cannot be read; give a grey PNG") from error
        self._write_matte(found.id, matte)
        found = replace(found, by_hand=True, doubt="")
        self._write(found)
        return found

    def framed(self, found: Found) -> Portrait:
        """What the model will see.

        Raises:
            UserError: nothing is left of the person in the frame.
        """
        pixels, matte = self._pixels(found), self._read_matte(found)
        seen = cropped(torch.cat([pixels[..., :3], matte[..., None]], dim=-1), found.crop)
        if not (seen[..., 3] > 0.5).any():
            raise UserError("portrait: the matte leaves nothing of the person in the frame; correct one of them")
        if found.cut_out and not found.in_place:
            seen = torch.cat([seen[..., :3], seen[..., 3:] * bust_outline(len(seen))[..., None]], dim=-1)
        if not found.cut_out:
            bright = exposed(cropped(pixels, found.crop))
            seen = torch.cat([bright[..., :3], seen[..., 3:]], dim=-1)
        return Portrait(seen, "; ".join(found.remarks))

    def picture(self, name: str) -> Path:
        """The upright picture of a portrait."""
        return self._folder / f"{name}.png"

    def matte(self, name: str) -> Path:
        """Its matte."""
        return self._folder / f"{name}-matte.png"

    def _pixels(self, found: Found) -> Tensor:
        with Image.open(self.picture(found.id)) as image:
            return decode_image(image, "portrait")

    def _read_matte(self, found: Found) -> Tensor:
        with Image.open(self.matte(found.id)) as image:
            return decode_image(image, "matte")[..., 0]

    def _write_matte(self, name: str, matte: Tensor) -> None:
        with atomic_path(self.matte(name)) as temporary:
            Image.fromarray(to_bytes(matte).numpy()).save(temporary)

    def _write(self, found: Found) -> None:
        write_json(self._folder / f"{found.id}.json", asdict(found))

    def _forget(self) -> None:
        kept = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(len(kept) - self._most, 0)]:
            for one in (path, self.picture(path.stem), self.matte(path.stem)):
                one.unlink(missing_ok=True)


def read_picture(content: bytes, most_pixels: int) -> Tensor:
    """[H, W, 4] of a picture that somebody sent, upright, READ_SIDE pixels a side at most.

    Only its header is looked at before its size is known to be bearable.

    Raises:
        UserError: it is no picture of a known format, damaged, too small, too large, animated, or shows nothing.
    """
    name = "picture"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_sent_image(content, name, most_pixels) as picture:
            pixels = picture_pixels(picture, name)
    check_size(pixels.shape[1], pixels.shape[0], name, most_pixels)
    longest = max(pixels.shape[:2])
    if longest > READ_SIDE:
        height, width = (max(round(side * READ_SIDE / longest), 1) for side in pixels.shape[:2])
        pixels = area_resize(pixels, height, width)
    if not (pixels[..., 3] >= 0.5).any():
        raise UserError(f"{name}: all of it is transparent; give one that shows a head")
    return pixels


def examined(pixels: Tensor) -> tuple[Found, Tensor, Tensor]:
    """A picture [H, W, 4] looked at: what was found, the upright picture [H, W, 4] and its matte [H, W]."""
    cut_out = float((pixels[..., 3] < 0.5).float().mean()) >= CUT_OUT_SHARE
    if not cut_out:  # what is rather transparent in a photograph is background
        pixels = torch.cat([pixels[..., :3], (pixels[..., 3:] >= 0.5).float()], dim=-1)
    found = search_faces(over(exposed(pixels), 1.0))
    upright, faces = torch.rot90(pixels, found.turns), found.faces or found.aside
    remarks = [] if found.faces else [ASIDE if found.aside else NO_FACE]
    in_place = cut_out and not found.turns and bool(found.faces) and is_in_place(faces[0], *upright.shape[:2])
    in_place = in_place or (cut_out and not found.faces)
    height, width = upright.shape[:2]
    side = min(height, width)
    crop = Crop((width - side) // 2, 0, side)
    if faces and not in_place:
        upright, face, tilt = levelled(upright, faces[0])
        faces = [face] if tilt else faces
        crop = crop_around(face)
        if max(upright.shape[:2]) > READ_SIDE:  # it was turned, in a square of three frames
            scale = READ_SIDE / max(upright.shape[:2])
            upright = area_resize(upright, *(max(round(side * scale), 1) for side in upright.shape[:2]))
            crop = Crop(*(round(value * scale) for value in (crop.left, crop.top, crop.size)))
            faces = [_scaled(face, scale)]
    matte, doubt = (upright[..., 3], "") if cut_out else found_matte(upright, crop)
    height, width = upright.shape[:2]
    whole = Found(
        id="",
        owner="",
        width=width,
        height=height,
        crop=crop,
        faces=tuple(_box(face) for face in faces),
        cut_out=cut_out,
        in_place=in_place,
        by_hand=False,
        doubt=doubt,
        remarks=tuple(remarks),
    )
    return replace(whole, remarks=remarks_on(upright, whole)), upright, matte


def _scaled(face: Face, scale: float) -> Face:
    left, top, right, bottom = (scale * value for value in face.box)
    return Face((left, top, right, bottom), scale * face.points, face.score)


def _box(face: Face) -> dict[str, float]:
    left, top, right, bottom = (round(float(value), 1) for value in face.box)
    return {"left": left, "top": top, "width": round(right - left, 1), "height": round(bottom - top, 1)}


def check_crop(crop: Crop, width: int, height: int) -> None:
    """Raise UserError if a crop shows nothing of a picture, or is too small or too large."""
    most = 4 * max(width, height)
    if not SMALLEST_CROP <= crop.size <= most:
        raise UserError(f"crop: {crop.size} pixels a side; choose {SMALLEST_CROP} to {most}")
    if not (-crop.size < crop.left < width and -crop.size < crop.top < height):
        raise UserError(f"crop: at ({crop.left}, {crop.top}) it shows nothing of the picture; move it over the head")


def found_matte(pixels: Tensor, crop: Crop) -> tuple[Tensor, str]:
    """The person in the crop of a photograph [H, W, 4]: [H, W], and why it may be wrong."""
    found = foreground(exposed(cropped(pixels, crop)))
    square = resized(found.alpha[..., None], crop.size, crop.size)[..., 0]
    matte = torch.zeros(pixels.shape[:2])
    top, left = max(crop.top, 0), max(crop.left, 0)
    bottom, right = min(crop.top + crop.size, len(matte)), min(crop.left + crop.size, matte.shape[1])
    matte[top:bottom, left:right] = square[top - crop.top : bottom - crop.top, left - crop.left : right - crop.left]
    return matte, found.doubt


def remarks_on(pixels: Tensor, found: Found) -> tuple[str, ...]:
    """What there is to say of a portrait in its frame."""
    remarks = [one for one in found.remarks if one in (NO_FACE, ASIDE)]
    if len(found.faces) > 1:
        remarks.append(f"the largest of {len(found.faces)} faces is taken")
    seen = cropped(pixels, found.crop)
    if not found.cut_out and share_of_head(seen[..., 3]) < WHOLE_HEAD:
        remarks.append(CUT_OFF)
    if len(seen) < SMALL_PORTRAIT:
        remarks.append(f"it is small, {len(seen)} pixels a side: show the head larger in the picture")
    return tuple(remarks)
