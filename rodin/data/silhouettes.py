"""What the silhouettes of a capture say of where its subject is: the visual hull (Laurentini 1994), point by point.

Symbols: V views, N points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.camera import Camera
from rodin.errors import UserError

CELLS = 48  # a side of the grids that look for the subject
ROUNDS = 4  # of a smaller and smaller box around it
WITNESSES = 0.5  # part of the views that must see a place before it may be the subject's


def carved(points: Tensor, cell: Tensor, images: Tensor, camera: Camera, margin: int = 0) -> tuple[Tensor, Tensor]:
    """Which cells every view allows to be matter: a matte pixel counts for all cells that it touches.

    Args:
        points: [N, 3] the cells' middles, in the world.
        cell: [3] sides of a cell.
        images: [V, H, W, 4]; a cell outside an image is not judged by it.
        margin: pixels around it for which a matte pixel counts at least; 0 takes only those that are matte by half.

    Returns:
        allowed [N] bool, and how many views have seen each cell [N]; of a cell that is not allowed, before it was
        ruled out.
    """
    kept = torch.arange(len(points))  # cells that no view has judged empty yet
    seen = torch.zeros(len(points), dtype=torch.int64)
    middle = points.mean(dim=0, keepdim=True)
    for index in range(len(camera)):
        view = camera[index]
        pixels, depth = view.project(points[kept])
        # A matte pixel counts for every cell whose middle lies within half a cell's diagonal of it.
        away = view.project(middle)[1].clamp_min(0.05 * cell.norm() * len(points) ** (1 / 3))  # how far the grid is
        reach = max(margin, round((view.focal.max() / away * cell.norm() / 2).item()))
        reach = min(reach, max(view.width, view.height))
        mask = (
            F.max_pool2d(
                images[None, index, :, :, 3].gt(0.0 if margin else 0.5).float(), 2 * reach + 1, stride=1, padding=reach
            )[0]
            > 0
        )
        column, row = pixels.floor().nan_to_num().clamp(-(2**30), 2**30).int().unbind(dim=-1)
        inside = (depth > 0) & (column >= 0) & (column < view.width) & (row >= 0) & (row < view.height)
        matte = mask[row.clamp(0, view.height - 1), column.clamp(0, view.width - 1)]
        seen[kept] += inside
        kept = kept[~inside | matte]
    allowed = torch.zeros(len(points), dtype=torch.bool)
    allowed[kept] = True
    return allowed, seen


def cells_of(low: Tensor, high: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Middles [count^3, 3] of the cells of a box, indices along x, y, z, and a cell's sides [3]."""
    cell = (high - low) / count
    axes = [low[k] + cell[k] * (torch.arange(count) + 0.5) for k in range(3)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3), cell


def silhouette_box(images: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """The box [3], [3] around what the silhouettes hold in common, in whatever world the cameras are.

    Raises:
        UserError: the pictures are opaque, the cameras do not look at one place, or it is empty.
    """
    if not bool((images[..., 3] < 1).any()):
        raise UserError("all pictures are opaque, so that nothing tells how large the subject is; cut it out")
    centre, reach = _looked_at(images, camera)
    low, high = centre - reach, centre + reach
    for _ in range(ROUNDS):
        points, cell = cells_of(low, high, CELLS)
        allowed, seen = carved(points, cell, images, camera)
        found = points[allowed & (seen >= max(1, WITNESSES * len(camera)))]
        if not len(found):
            raise UserError("the pictures show nothing that they all agree on; check their alpha and the cameras")
        low, high = (found.amin(dim=0) - cell).maximum(low), (found.amax(dim=0) + cell).minimum(high)
    return low, high


def _looked_at(images: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """The point [3] nearest to the lines of sight through the middles of the silhouettes, and how far from it the
    nearest camera is."""
    normal, sums = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for index in range(len(camera)):
        view, alpha = camera[index], images[index, ..., 3]
        if not bool(alpha.any()):
            continue
        rows, columns = (alpha.sum(dim=side) for side in (1, 0))
        y = ((torch.arange(len(rows)) + 0.5) * rows).sum() / rows.sum()
        x = ((torch.arange(len(columns)) + 0.5) * columns).sum() / columns.sum()
        toward = torch.stack(
            [(x - view.centre[0]) / view.focal[0], (view.centre[1] - y) / view.focal[1], -x.new_ones(())]
        )
        direction = F.normalize(view.cam_to_world[:3, :3].double() @ toward.double(), dim=0)
        across = torch.eye(3, dtype=torch.float64) - torch.outer(direction, direction)
        normal += across
        sums += across @ view.position.double()
    if torch.linalg.matrix_rank(normal, rtol=1e-3) < 3:
        raise UserError("the cameras all look the same way, so that nothing tells how far the subject is; give aabb")
    centre = torch.linalg.solve(normal, sums).float()
    return centre, (camera.position - centre).norm(dim=-1).min()
