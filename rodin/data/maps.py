"""Material maps of a capture: for every view, what share of each pixel each material covers.

`transforms.json` names the materials (`materials`, a list of names of `rodin.materials.MATERIALS`) and a map for every
frame (`materials_path`): a lossless grey image of as many bands as there are names, one below the other, each as large
as the view. The shares of a pixel add up to its alpha.

Symbols: K materials, H W rows and columns of a view.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rodin.data.named_files import named_file
from rodin.errors import UserError, shown
from rodin.images import decode_image, open_image
from rodin.materials import MATERIALS


def material_names(document: dict[str, Any], transforms: Path) -> list[str]:
    """The materials that the document's maps have bands for; none where it has no maps.

    Raises:
        UserError: a name is unknown or stands twice.
    """
    names = document.get("materials")
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{transforms}: materials is no list of names; give some of {', '.join(MATERIALS)}")
    for name in names:
        if name not in MATERIALS:
            raise UserError(f"{transforms}: materials: {shown(name)} is unknown; choose from {', '.join(MATERIALS)}")
        if names.count(name) > 1:
            raise UserError(f"{transforms}: materials: {shown(name)} stands twice; name each band of the maps once")
    return names


def load_map(frame: dict[str, Any], folder: Path, where: str, names: list[str], alpha: Tensor) -> Tensor:
    """The shares [H, W, K] of all MATERIALS in one view, zero for those without a band; they add up to alpha.

    Args:
        where: names the frame in errors.
        names: of the map's bands.
        alpha: [H, W] of the view, in [0, 1].

    Raises:
        UserError: the map is missing, of another size, or its shares do not add up to alpha.
    """
    name = frame.get("materials_path")
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"{where}: materials_path is missing; name a map, or remove materials from the file")
    path, (height, width) = named_file(name, folder, where, "materials_path"), alpha.shape
    with open_image(path) as image:
        if image.size != (width, height * len(names)):
            raise UserError(
                f"{path}: is {image.width} x {image.height} pixels; {len(names)} materials of a view of {width} x "
                f"{height} take {width} x {height * len(names)}"
            )
        bands = decode_image(image, path)[..., 0].reshape(len(names), height, width)
    # Whoever wrote the map may have rounded every band by itself, by half a byte.
    off = (bands.sum(dim=0) - alpha).abs()
    if off.max() > (0.5 * len(names) + 1) / 255:
        row, column = divmod(int(off.argmax()), width)
        total, wanted = bands[:, row, column].sum().item(), alpha[row, column].item()
        raise UserError(
            f"{path}: the shares at row {row}, column {column} add up to {total:.3f}, alpha is {wanted:.3f} there; "
            "write shares that add up to alpha"
        )
    shares = torch.zeros(height, width, len(MATERIALS))
    shares[..., [MATERIALS.index(name) for name in names]] = bands.permute(1, 2, 0)
    return shares * (alpha / shares.sum(dim=-1).clamp_min(1e-6))[..., None]
