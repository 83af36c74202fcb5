"""Contract: a patch is a part of an image of the avatar; empty ones are drawn again, the focus is drawn as often as the
config says, and rendering in chunks changes neither values nor gradients."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from rodin import framing
from rodin.images import over
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import camera_rays
from rodin.render.renderer import occupied_bins, render_image
from rodin.train.patches import PatchConfig, draw_patch, draw_window, render_patch, rendered_patches

CONFIG = PatchConfig(size=8, image_size=32, samples=48)
FOCUS = (0.3, 0.2, 0.5)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """Dense where the first feature is above about 0.1, colour by the others."""
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=4, hidden=16)).requires_grad_(False)
    with torch.no_grad():
        decoder.trunk.weight[0] = torch.tensor([40.0, 0.0, 0.0, 0.0])
        decoder.trunk.bias[0] = 0.0
        decoder.density.weight.zero_()
        decoder.density.weight[0, 0] = 3.0
        decoder.density.bias.fill_(-6.0)
    return decoder


def ball(radius: float = 0.5) -> Tensor:
    """Planes [3, 4, 32, 32] of about a ball: each plane holds a part of radius^2 - x^2 - y^2 - z^2."""
    axis = torch.linspace(-1, 1, 33)[:-1] + 1 / 32
    squared = axis**2
    generator = torch.Generator().manual_seed(1)
    planes = torch.randn(3, 4, 32, 32, generator=generator)
    planes[:, 0] = radius**2 / 3 - (squared[:, None] + squared) / 2
    return planes


def test_a_patch_is_a_window_of_the_image(decoder: Decoder) -> None:
    planes, generator = ball(), torch.Generator().manual_seed(2)
    window = draw_window(CONFIG, generator)
    whole = dataclasses.replace(window, centre=torch.tensor([16.0, 16.0]), width=32, height=32)
    column, row = (16 - window.centre).round().int().tolist()
    assert 0 <= column <= 24
    assert 0 <= row <= 24
    image, _ = render_image(planes, decoder, whole, samples=48)
    rays = camera_rays(window)
    found, alpha = render_patch(planes, decoder, rays, occupied_bins(rays, 48, None))
    part = image[row : row + 8, column : column + 8]
    torch.testing.assert_close(found, over(part, 1.0).permute(2, 0, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alpha, part[..., 3], atol=1e-4, rtol=1e-4)


def test_culling_does_not_change_the_target(decoder: Decoder) -> None:
    planes = ball()
    patch = draw_patch(planes, decoder, CONFIG, torch.Generator().manual_seed(3))
    assert patch.bins.float().mean() < 0.7
    everywhere, _ = render_patch(planes, decoder, patch.rays, occupied_bins(patch.rays, 48, None))
    torch.testing.assert_close(patch.target, everywhere, atol=0.02, rtol=0.0)


def test_what_is_predicted_where_nothing_is_shows(decoder: Decoder) -> None:
    """A speck far from the ball lies in bins that the ball alone would leave out."""
    true, predicted = ball(0.3), ball(0.3)
    corner = slice(2, 6)
    predicted[:, 0, corner, :] += 1.5
    predicted.requires_grad_()
    config = dataclasses.replace(CONFIG, size=32, least_matter=0.0)
    images, targets = rendered_patches(predicted[None], true[None], decoder, config, seeds=[7])
    window = draw_window(config, torch.Generator().manual_seed(7))
    rays = camera_rays(window)
    everywhere, _ = render_patch(predicted, decoder, rays, occupied_bins(rays, config.samples, None))
    torch.testing.assert_close(images[0], everywhere, atol=0.02, rtol=0.0)
    assert (images - targets).abs().max() > 0.3
    (images - targets).square().mean().backward()
    assert predicted.grad[:, 0, corner].abs().max() > 0


def test_empty_patches_are_drawn_again(decoder: Decoder) -> None:
    planes = ball(0.6)
    shares = {}
    for least in (0.0, 0.5):
        config = dataclasses.replace(CONFIG, least_matter=least)
        generator = torch.Generator().manual_seed(4)
        alphas = []
        for _ in range(20):
            patch = draw_patch(planes, decoder, config, generator)
            alphas.append(render_patch(planes, decoder, patch.rays, patch.bins)[1].mean().item())
        shares[least] = alphas
    assert min(shares[0.0]) < 0.1  # so there are such patches
    assert min(shares[0.5]) >= 0.5


def test_an_avatar_of_nothing_still_gives_a_patch(decoder: Decoder) -> None:
    patch = draw_patch(ball(0.0) - 5.0, decoder, CONFIG, torch.Generator())
    torch.testing.assert_close(patch.target, torch.ones(3, 8, 8), atol=1e-3, rtol=0.0)


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_the_focus_is_drawn_more_often(probability: float) -> None:
    config = dataclasses.replace(
        CONFIG, focus=FOCUS, focus_radius=0.1, focus_probability=probability, focus_spread_deg=50.0
    )
    generator = torch.Generator().manual_seed(5)
    own = math.atan2(FOCUS[0], FOCUS[2])
    hits = 0
    for _ in range(400):
        window = draw_window(config, generator)
        pixel = window.project(torch.tensor([FOCUS]))[0][0]
        position = window.position
        turn = (math.atan2(position[0], position[2]) - own + math.pi) % (2 * math.pi) - math.pi
        near = (pixel - 4.0).norm() < 0.1 * 32 / 2.2 + 1.5  # the ball's radius in pixels, and the rounding
        hits += bool(near and abs(turn) < math.radians(50.0))
    by_chance = 0.05
    assert hits / 400 == pytest.approx(probability, abs=0.06 + by_chance)
    if not probability:
        assert hits / 400 < by_chance


def test_windows_lie_inside_the_image_and_all_around() -> None:
    config = dataclasses.replace(CONFIG, focus=(0.0, 0.0, 0.9), focus_radius=0.8, focus_probability=0.5)
    generator = torch.Generator().manual_seed(6)
    windows = [draw_window(config, generator) for _ in range(200)]
    corners = torch.stack([16 - window.centre for window in windows])
    assert corners.min() >= 0
    assert corners.max() <= 24
    heights = torch.stack([window.position for window in windows])[:, 1] / framing.RADIUS
    assert heights.min() >= math.sin(math.radians(-20.0)) - 1e-4
    assert heights.max() <= math.sin(math.radians(50.0)) + 1e-4
    behind = torch.stack([window.position for window in windows])[:, 2] < 0
    assert 0.1 < behind.float().mean() < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 40}, "patch size"),
        ({"samples": 0}, "samples"),
        ({"elevation_deg": (30.0, 10.0)}, "elevation_deg"),
        ({"least_matter": 2.0}, "least_matter"),
        ({"focus_probability": -0.5}, "focus_probability"),
        ({"focus_radius": -1.0}, "focus_radius"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)
