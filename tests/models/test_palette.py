"""Contract: a palette is drawn from z alone, in [0, 1], the same whatever is drawn beside it; the loss is a likelihood
that materials that are not there have no part in.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from rodin.models.palette import PaletteConfig, PaletteNetwork, palette_loss

CONFIG = PaletteConfig(materials=5, latent_dim=16, hidden=24)


def network(seed: int = 0) -> PaletteNetwork:
    """One that says something: at the start it gives every z the same palette."""
    torch.manual_seed(seed)
    made = PaletteNetwork(CONFIG).eval()
    torch.nn.init.normal_(made.colour.weight, std=0.1)
    return made


def latents(count: int) -> torch.Tensor:
    return normalize(torch.randn(count, CONFIG.latent_dim, generator=torch.Generator().manual_seed(1)), dim=-1)


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(count)]


def test_palettes_depend_on_their_own_latent_and_seed_alone() -> None:
    made, z = network(), latents(4)
    drawn = made.draw(z, generators(4), temperature=1.0)
    assert drawn.shape == (4, CONFIG.materials, 3)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    alone = made.draw(z[2:3], generators(4)[2:3], temperature=1.0)
    torch.testing.assert_close(alone[0], drawn[2])
    assert (drawn[0] - drawn[1]).abs().max() > 1e-2
    assert not torch.equal(made.draw(z[:1], generators(2)[1:], 1.0), drawn[:1])


def test_without_temperature_the_mean_is_drawn() -> None:
    made, z = network(), latents(3)
    torch.testing.assert_close(made.draw(z, generators(3), temperature=0.0), made(z)[0].clamp(0, 1))


def test_draws_lie_as_far_from_the_mean_as_the_spread_says() -> None:
    made, z = network(), latents(1)
    made.std.fill_(0.02)  # far from the ends of [0, 1]
    made.colour.weight.data.mul_(0.1)
    drawn = made.draw(z.expand(4000, -1), generators(4000), temperature=1.0)
    mean, spread = made(z)
    torch.testing.assert_close(drawn.mean(dim=0), mean[0], atol=0.003, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), spread[0], atol=0, rtol=0.08)


def test_the_loss_is_the_likelihood_of_what_is_there() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, spread = torch.rand(2, 5, 3, generator=generator), 0.1 + torch.rand(2, 5, 3, generator=generator)
    palettes = torch.rand(2, 5, 3, generator=generator)
    present = torch.tensor([[True, False, True, True, False], [False, True, False, True, False]])
    wanted = -torch.distributions.Normal(mean, spread).log_prob(palettes)[present].mean()
    found = palette_loss((mean, spread), palettes, present)
    torch.testing.assert_close(found, wanted - 0.5 * torch.log(torch.tensor(2 * torch.pi)))
    palettes[~present] = 7.0
    torch.testing.assert_close(palette_loss((mean, spread), palettes, present), found)
    assert palette_loss((mean, spread), palettes, torch.zeros(2, 5, dtype=torch.bool)) == 0


def test_latents_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"latents must be \[B, D=16\]"):
        network()(torch.zeros(2, 17))
    with pytest.raises(ValueError, match="materials must be at least 1"):
        PaletteConfig(materials=0)
