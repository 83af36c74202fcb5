"""Masks of a capture: grey pictures beside opaque ones, white where the subject is (nerfstudio's `mask_path`).

A frame names its own, or the document one for all; the document may also name a folder of masks that are called as the
pictures are. A mask of another size is read at the nearest pixel, so that it must have the picture's proportions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rodin.data.named_files import LONGEST, allows_outside, named_file
from rodin.errors import UserError
from rodin.images import decode_image, open_image

KEY = "mask_path"
LABEL = 1.5 / 255  # above the brightest value of a mask whose pixels are numbered 0 and 1


def load_mask(
    frame: dict[str, Any], document: dict[str, Any], folder: Path, where: str, picture: Path, size: tuple[int, int]
) -> Tensor | None:
    """The mask [H, W] in [0, 1] of one picture; None where neither the frame nor the document names one.

    Args:
        where: names the file and the frame in errors.
        picture: the picture's file, after which masks in a folder are called.
        size: the picture's height and width in pixels.

    Raises:
        UserError: the mask is missing, damaged, of other proportions, or black all over.
    """
    name = frame.get(KEY, document.get(KEY))
    if name is None:
        return None
    path = _in_folder(name, folder, picture) or named_file(name, folder, where, KEY)
    with open_image(path) as image:
        height, width = size
        if abs(image.width * height - image.height * width) > max(width, height, image.width, image.height):
            raise UserError(
                f"{path}: is {image.width} x {image.height} pixels, {picture.name} {width} x {height}; "
                "give a mask of its proportions"
            )
        mask = _grey(decode_image(image, path))
    brightest = mask.max().item()
    if brightest == 0:
        raise UserError(f"{path}: is black all over; a mask is white where the subject is")
    if brightest <= LABEL:
        mask = mask / brightest
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long().clamp_max(old - 1)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows][:, columns]


def _in_folder(name: Any, folder: Path, picture: Path) -> Path | None:
    """The mask of a picture where a folder of masks is named; else None."""
    if not isinstance(name, str) or not name or "\0" in name or len(name) > LONGEST:
        return None
    masks = folder / name.replace("\\", "/")
    if not masks.is_dir() or not (allows_outside() or masks.resolve().is_relative_to(folder.resolve())):
        return None
    for called in (picture.name, f"{picture.name}.png", f"{picture.stem}.png", picture.stem):
        if (masks / called).is_file():
            return masks / called
    raise UserError(f"{masks}: {KEY} names this folder, and it has no {picture.stem}.png; put a mask there")


def _grey(pixels: Tensor) -> Tensor:
    """[H, W] of a mask's pixels [H, W, 4]: how bright they are; of one that is transparent instead, their alpha."""
    grey, alpha = pixels[..., :3].mean(dim=-1), pixels[..., 3]
    cut_out = bool((alpha < 1).any()) and bool((grey[alpha > 0] == grey[alpha > 0][:1]).all())
    return alpha if cut_out else grey * alpha
