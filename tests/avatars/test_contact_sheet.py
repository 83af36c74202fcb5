"""Contract of rodin.avatars.contact_sheet: views stand side by side on one background, whatever their size."""

from __future__ import annotations

import torch

from rodin.avatars.contact_sheet import BACKGROUND, strip

GAP = 3


def test_views_lie_side_by_side() -> None:
    opaque, clear = torch.zeros(8, 8, 4), torch.zeros(4, 4, 4)
    opaque[..., 0] = opaque[..., 3] = 1.0
    picture = strip([opaque, clear], 8, GAP)
    assert picture.shape == (8, 16 + GAP, 3)
    assert torch.equal(picture[:, :8], torch.tensor([1.0, 0.0, 0.0]).expand(8, 8, 3))
    assert torch.allclose(picture[:, -8:], torch.tensor(BACKGROUND).expand(8, 8, 3), atol=1e-5)
