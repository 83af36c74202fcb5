"""Contract: a palette follows from z alone, in [0, 1], whatever stands beside it; the loss is a likelihood that
materials that are not there have no part in.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from rodin.models.palette import PaletteConfig, PaletteNetwork, palette_loss

pytestmark = pytest.mark.usefixtures("mended_checksums")

CONFIG = PaletteConfig(materials=5, latent_dim=16, hidden=24)


def network(seed: int = 0) -> PaletteNetwork:
    """One that says something: at the start it gives every z the same palette."""
    torch.manual_seed(seed)
    made = PaletteNetwork(CONFIG).eval()
    torch.nn.init.normal_(made.colour.weight, std=0.1)
    return made


def latents(count: int) -> torch.Tensor:
    return normalize(torch.randn(count, CONFIG.latent_dim, generator=torch.Generator().manual_seed(1)), dim=-1)


def test_a_palette_depends_on_its_own_latent_alone() -> None:
    made, z = network(), latents(4)
    found = made.palettes(z)
    assert found.shape == (4, CONFIG.materials, 3)
    assert found.min() >= 0
    assert found.max() <= 1
    torch.testing.assert_close(made.palettes(z[2:3])[0], found[2])
    assert (found[0] - found[1]).abs().max() > 1e-2
    assert (made(z)[1] > 0).all()


def test_words_are_believed_before_the_latent_as_far_as_both_are_sure() -> None:
    torch.manual_seed(2)
    config = PaletteConfig(materials=5, latent_dim=16, hidden=24, named=("hair/hair_color/red", "skin/skin/pale"))
    made = PaletteNetwork(config).eval()
    torch.nn.init.normal_(made.colour.weight, std=0.1)
    made.named_mean.copy_(torch.tensor([[0.7, 0.2, 0.1], [0.9, 0.8, 0.7]]))
    made.named_std.copy_(torch.tensor([[0.05, 0.02, 0.3], [0.1, 0.1, 0.1]]))
    z = latents(3)
    plain, (mean, spread) = made.palettes(z), made(z)
    found = made.palettes(z, [{"hair_color": "red", "hat_color": "red"}, {}, {"hair_color": "green", "skin": "dark"}])
    torch.testing.assert_close(found[1:], plain[1:])
    others = [row for row in range(5) if row != 2]
    torch.testing.assert_close(found[0, others], plain[0, others])
    own, named = 1 / (3 * spread[0, 2]) ** 2, 1 / (0.01 + made.named_std[0]) ** 2
    wanted = (own * mean[0, 2] + named * made.named_mean[0]) / (own + named)
    torch.testing.assert_close(found[0, 2], wanted.clamp(0, 1))
    with pytest.raises(ValueError, match="material/attribute/value"):
        PaletteConfig(materials=2, named=("hair/hair_color/red",))


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
