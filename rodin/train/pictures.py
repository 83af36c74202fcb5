"""Small pictures of planes, by which a training can be looked at: a row a subject.

Symbols: N subjects, C channels, H W rows and columns of the fitted planes, h w of smaller ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.camera import orbit
from rodin.images import over
from rodin.models.statistics import PlaneStatistics
from rodin.render.decoder import Decoder
from rodin.render.renderer import Renderer

SHOWN = 4  # subjects of one kind
AZIMUTHS_DEG = (0.0, 45.0)
ELEVATION_DEG = 4.0
SIDE = 96  # pixels of a view
SAMPLES = 64  # bins a ray


@torch.no_grad()
def plane_rows(
    columns: Sequence[Tensor], statistics: PlaneStatistics, decoder: Decoder, palettes: Sequence[Tensor | None] = ()
) -> Tensor:
    """Picture [N SIDE, W', 3] in [0, 1], on the CPU: a row has each column's front and three-quarter view, over white.

    Args:
        columns: each [N, 3, C, h, w] residuals, enlarged by a bicubic where they are smaller than the fitted planes.
        statistics: of the fitted planes, on the device of the columns.
        decoder: reads them.
        palettes: N of [K, 3] where it has materials.
    """
    size = statistics.config.height
    camera = orbit(list(AZIMUTHS_DEG), [ELEVATION_DEG] * len(AZIMUTHS_DEG), size=SIDE)
    rows = []
    with torch.autocast(columns[0].device.type, enabled=False):  # which would round the rays
        for subject, palette in zip(zip(*columns, strict=True), palettes or [None] * len(columns[0]), strict=True):
            views: list[Tensor] = []
            for residual in subject:
                planes = statistics.denormalize(enlarged(residual.float(), size))
                views += over(Renderer.culled(planes, decoder, palette).image(camera, SAMPLES)[0], 1.0).cpu()
            rows.append(torch.cat(views, dim=1))
    return torch.cat(rows).clamp(0, 1)


def enlarged(planes: Tensor, size: int) -> Tensor:
    """Planes [3, C, h, w] -> [3, C, size, size], bicubic."""
    return F.interpolate(planes, size=(size, size), mode="bicubic", align_corners=False)
