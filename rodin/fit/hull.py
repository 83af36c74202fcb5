"""The visual hull: where the views of a subject allow matter to be."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.camera import Camera
from rodin.data.silhouettes import carved, cells_of
from rodin.render.rays import Occupancy


def visual_hull(images: Tensor, camera: Camera, cells: int) -> Occupancy:
    """Cells of the box that every view sees as matter (Laurentini 1994).

    Args:
        images: [V, H, W, 4]; a cell outside an image is not judged by it, a cell outside all of them is empty.
    """
    points, cell = cells_of(torch.full((3,), -1.0), torch.ones(3), cells)
    allowed, seen = carved(points, cell, images, camera, margin=1)
    return Occupancy((allowed & (seen > 0)).reshape(cells, cells, cells))
