"""Contract: density depends on features alone and is near zero for zero planes; colour lies in [0, 1] and follows the
direction only when configured; xi embeds the features at octaves; the hidden layers bend as configured, and a config
that was saved before the choice existed keeps its meaning."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from rodin.parts import config_from_dict
from rodin.render.decoder import Activation, Decoder, DecoderConfig, direction_basis


def directions(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)


def test_zero_planes_are_near_empty_space() -> None:
    torch.manual_seed(0)
    density = Decoder(DecoderConfig(channels=8, density_shift=-8.0)).density_of(torch.zeros(5, 8))
    assert (density >= 0).all()
    assert density.max() < 0.1


@pytest.mark.parametrize(("frequencies", "colour_layers"), [(0, 0), (0, 1), (2, 1), (3, 2)])
def test_density_ignores_direction_and_colour_follows_it(frequencies: int, colour_layers: int) -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=6, frequencies=frequencies, colour_layers=colour_layers))
    torch.nn.init.normal_(decoder.direction.weight)
    features = torch.randn(30, 6)
    density, colour = decoder(features, directions(30, 1))
    other_density, other_colour = decoder(features, directions(30, 2))
    assert torch.equal(density, other_density)
    torch.testing.assert_close(density, decoder.density_of(features))
    assert (colour - other_colour).abs().max() > 1e-3
    assert colour.min() >= 0
    assert colour.max() <= 1


def test_without_view_direction_colour_is_diffuse() -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=6, view_direction=False))
    features = torch.randn(10, 6)
    assert torch.equal(decoder(features, directions(10, 1))[1], decoder(features, directions(10, 2))[1])


def test_fourier_embedding_is_of_the_features() -> None:
    decoder = Decoder(DecoderConfig(channels=2, frequencies=2))
    embedded = decoder.embed(torch.tensor([[0.3, -0.7]]))[0]
    angles = torch.tensor([0.3, 0.6, -0.7, -1.4])
    torch.testing.assert_close(embedded, torch.cat([torch.tensor([0.3, -0.7]), angles.sin(), angles.cos()]))


def silu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-x))


def softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.log1p(torch.exp(x))


@pytest.mark.parametrize(("name", "bend"), [("silu", silu), ("softplus", softplus)])
def test_the_activation_bends_trunk_and_colour(name: Activation, bend: Callable) -> None:
    torch.manual_seed(0)
    config = DecoderConfig(channels=5, hidden=7, activation=name, view_direction=False)
    decoder = Decoder(config).double()
    features = torch.randn(9, 5, dtype=torch.float64)
    hidden = bend(decoder.trunk(features))
    inner = bend(decoder.colour[0](hidden))
    density, colour = decoder(features, directions(9).double())
    torch.testing.assert_close(density, 30 * softplus(decoder.density(hidden)[:, 0] - 4))
    torch.testing.assert_close(decoder.density_of(features), density)
    torch.testing.assert_close(colour, torch.sigmoid(decoder.colour[1](inner)))


def test_a_config_without_activation_is_of_silu() -> None:
    assert config_from_dict(DecoderConfig, {"channels": 4}, "old.json").activation == "silu"


def test_direction_basis_is_orthogonal_over_the_sphere() -> None:
    basis = direction_basis(directions(200_000))
    gram = basis.T @ basis / len(basis)
    off_diagonal = gram - torch.diag(gram.diagonal())
    assert off_diagonal.abs().max() < 0.01


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"decoder\.hidden must be at least 1, got 0"):
        DecoderConfig(channels=4, hidden=0)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(ValueError, match=r"decoder\.activation must be one of silu, softplus, got relu"):
        DecoderConfig(channels=4, activation="relu")  # type: ignore[arg-type]
