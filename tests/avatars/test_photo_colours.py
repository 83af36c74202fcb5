"""Contract: the likeliest palette is what rendered a portrait, where the portrait shows a material; where it does not,
the palette stays what was expected.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rodin.avatars.photo_colours import PalettePrior, likeliest_palette
from rodin.render.materials import Emitted, paint

RAYS, K = 400, 4
UNSEEN = 3


def rays(seed: int = 0) -> Tensor:
    """What rays see of three materials out of four, with shades and residuals, some of them past the avatar."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.softmax(6 * torch.randn(RAYS, K - 1, generator=generator), dim=-1)
    shares = torch.nn.functional.pad(shares, (0, 1))
    alpha = (torch.rand(RAYS, 1, generator=generator) < 0.8).float()
    shade = 0.7 + 0.5 * torch.rand(RAYS, 1, generator=generator)
    residual = 0.05 * torch.randn(RAYS, 3, generator=generator)
    return Emitted(alpha * shade * shares, alpha * residual, alpha * shares).join()


def portrait(emitted: Tensor, palette: Tensor) -> Tensor:
    """[R, 4] straight pixels that the rays would see."""
    alpha = emitted[:, -K:].sum(dim=-1, keepdim=True)
    colour = paint(emitted, palette)
    return torch.cat([torch.where(alpha > 0, colour / alpha.clamp_min(1e-6), 0), alpha], dim=-1)


def prior(spread: float) -> PalettePrior:
    return PalettePrior(torch.full((K, 3), 0.5), torch.full((K, 3), spread))


def test_the_colours_of_a_portrait_are_found() -> None:
    emitted = rays()
    palette = 0.2 + 0.6 * torch.rand(K, 3, generator=torch.Generator().manual_seed(3))
    found = likeliest_palette(emitted, portrait(emitted, palette), prior(10.0))
    torch.testing.assert_close(found[:UNSEEN], palette[:UNSEEN], atol=1e-3, rtol=0)
    torch.testing.assert_close(found[UNSEEN], torch.full((3,), 0.5))


def test_what_is_sure_already_hardly_moves() -> None:
    emitted = rays()
    target = portrait(emitted, torch.full((K, 3), 0.9))
    moved = [(likeliest_palette(emitted, target, prior(s)) - 0.5)[:UNSEEN].mean().item() for s in (1e-4, 0.02, 10.0)]
    assert moved[0] == pytest.approx(0, abs=1e-4)
    assert moved[0] < moved[1] < moved[2]
    assert moved[2] == pytest.approx(0.4, abs=0.01)


def test_it_is_the_least_of_what_it_minimises() -> None:
    """Against gradient descent on the sum of squares that the module states."""
    emitted, expected = rays(1), prior(0.1)
    target = torch.rand(RAYS, 4, generator=torch.Generator().manual_seed(4))
    palette = torch.full((K, 3), 0.5, requires_grad=True)
    optimizer = torch.optim.LBFGS([palette], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        mask = target[:, 3:]
        miss = mask * (paint(emitted, palette) - target[:, :3] * mask)
        value = miss.square().sum() / 0.5**2 + ((palette - expected.mean) / expected.spread).square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    found = likeliest_palette(emitted, target, expected)
    torch.testing.assert_close(found, palette.detach().clamp(0, 1), atol=1e-4, rtol=0)
