"""The visual hull: where the views of a subject allow matter to be."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.camera import Camera
from rodin.render.rays import Occupancy


def visual_hull(images: Tensor, camera: Camera, cells: int) -> Occupancy:
    """Cells of the box that every view sees as matter (Laurentini 1994).

    Args:
        images: [V, H, W, 4]; a cell outside an image is not judged by it, a cell outside all of them is empty.
    """
    axis = (torch.arange(cells) + 0.5) * (2 / cells) - 1
    centres = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    kept = torch.arange(len(centres))  # cells that no view has judged empty yet
    seen = torch.zeros(len(centres), dtype=torch.bool)
    for index in range(len(camera)):
        view = camera[index]
        pixels, depth = view.project(centres[kept])
        # A matte pixel counts for every cell whose middle lies within half a cell's diagonal of it.
        middle = view.project(centres.new_zeros(1, 3))[1].clamp_min(0.1)  # how far away the box is
        reach = max(1, round((view.focal.max() / middle * (3**0.5 / cells)).item()))
        mask = F.max_pool2d(images[None, index, :, :, 3].gt(0).float(), 2 * reach + 1, stride=1, padding=reach)[0] > 0
        column, row = pixels.floor().int().unbind(dim=-1)
        inside = (depth > 0) & (column >= 0) & (column < view.width) & (row >= 0) & (row < view.height)
        matte = mask[row.clamp(0, view.height - 1), column.clamp(0, view.width - 1)]
        seen[kept] |= inside
        kept = kept[~inside | matte]
    grid = torch.zeros_like(seen)
    grid[kept] = seen[kept]
    return Occupancy(grid.reshape(cells, cells, cells))
