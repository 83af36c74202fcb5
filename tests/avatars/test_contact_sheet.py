"""Contract of rodin.avatars.contact_sheet: views stand side by side on one background, whatever their size."""

from __future__ import annotations

import pytest
import torch

from rodin.avatars.contact_sheet import BACKGROUND, grid, strip

GAP = 3


def test_views_lie_side_by_side() -> None:
    opaque, clear = torch.zeros(8, 8, 4), torch.zeros(4, 4, 4)
    opaque[..., 0] = opaque[..., 3] = 1.0
    picture = strip([opaque, clear], 8, GAP)
    assert picture.shape == (8, 16 + GAP, 3)
    assert torch.equal(picture[:, :8], torch.tensor([1.0, 0.0, 0.0]).expand(8, 8, 3))
    assert torch.allclose(picture[:, -8:], torch.tensor(BACKGROUND).expand(8, 8, 3), atol=1e-5)


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (8, 2, 4), (10, 3, 4), (12, 3, 4)])
def test_a_grid_has_every_view_once_in_reading_order(count: int, rows: int, columns: int) -> None:
    views = torch.arange(1.0, count + 1)[:, None, None, None].expand(count, 5, 5, 4)
    picture = grid(views)
    assert picture.shape == (rows * 5, columns * 5, 4)
    cells = picture[::5, ::5, 3].flatten()
    assert cells.tolist() == [*range(1, count + 1), *[0] * (rows * columns - count)]
    assert torch.equal(picture, picture[::5, ::5].repeat_interleave(5, 0).repeat_interleave(5, 1))
