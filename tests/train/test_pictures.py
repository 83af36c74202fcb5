"""Contract: a picture of planes shows each subject in a row and each kind of planes in its columns, as the renderer
shows them over white; smaller planes are enlarged by a bicubic; autocast does not reach the rays."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from rodin.camera import orbit
from rodin.images import over
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import render_image
from rodin.train import pictures
from rodin.train.pictures import AZIMUTHS_DEG, ELEVATION_DEG, plane_rows


def test_rows_are_subjects_and_columns_kinds_of_planes() -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=4, hidden=8, density_shift=1.0)).requires_grad_(False)
    statistics = PlaneStatistics(PlaneStatisticsConfig(channels=4, height=16, width=16, clip=4.0))
    statistics.mean_planes.normal_()
    statistics.std.uniform_(0.5, 2.0)
    full, low = torch.randn(2, 3, 4, 16, 16), torch.randn(2, 3, 4, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        picture = plane_rows([full, low], statistics, decoder)
    views, side = len(AZIMUTHS_DEG), pictures.SIDE
    assert picture.shape == (2 * side, 2 * views * side, 3)
    enlarged = F.interpolate(low.flatten(0, 1), (16, 16), mode="bicubic").unflatten(0, (2, 3))
    camera = orbit(list(AZIMUTHS_DEG), [ELEVATION_DEG] * views, size=side)
    for row in range(2):
        for column, planes in enumerate((full, enlarged)):
            image, _ = render_image(statistics.denormalize(planes[row]), decoder, camera, pictures.SAMPLES)
            for view in range(views):
                top, left = row * side, (column * views + view) * side
                cell = picture[top : top + side, left : left + side]
                # empty cells are left out of the picture, which shows a little at the edge of matter
                torch.testing.assert_close(cell, over(image[view], 1.0), atol=0.02, rtol=0)
