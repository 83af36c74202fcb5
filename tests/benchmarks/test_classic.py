"""Contract of what the fused paths are measured against: the classic two-pass renderer shows what a dense one shows,
its gradients are those of its own differences, and its pieces do what they say."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from classic import Classic, Published, compositing_weights, draw_places, strata, two_pass

from rodin.camera import Camera, look_at, orbit
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import camera_rays, clip_to_box
from rodin.render.reference import Field


def smooth_scene(colours: int = 3, density_scale: float = 10.0) -> tuple[torch.Tensor, Decoder]:
    """A ball with its edge at a radius of about 0.7, coloured by planes [3, 4, 24, 40] of low frequencies."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(3, 4, 4, 5, generator=generator)
    planes = torch.nn.functional.interpolate(coarse, size=(24, 40), mode="bilinear", align_corners=False)
    rows, columns = ((torch.arange(size) + 0.5) * 2 / size - 1 for size in (24, 40))
    planes[:, 0] = 1 / 3 - rows[:, None] ** 2 - columns**2  # the sum of the three is 1 - 2 r^2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"hidden": 8, "density_scale": density_scale, "density_shift": -9.0, "colours": colours}
        decoder = Decoder(DecoderConfig(channels=4, **shape))
        torch.nn.init.normal_(decoder.direction.weight, std=0.1)
    decoder.requires_grad_(False)
    decoder.trunk.weight[0] = torch.tensor([8.0, 0.0, 0.0, 0.0])
    decoder.density.weight[0] = 0.0
    decoder.density.weight[0, 0] = 6.0
    return planes, decoder


@functools.cache
def dense_rendering(colours: int, density_scale: float, size: int, samples: int) -> torch.Tensor:
    """[size, size, K + 2], the reference."""
    planes, decoder = smooth_scene(colours, density_scale)
    rays = camera_rays(orbit([30.0], [20.0], size=size))
    return Field(planes, decoder).totals(rays, samples, None, False).reshape(size, size, -1)


@pytest.mark.parametrize("colours", [3, 5])
@pytest.mark.parametrize("chunk", [100, 4096])
def test_it_agrees_with_a_dense_rendering(colours: int, chunk: int) -> None:
    planes, decoder = smooth_scene(colours)
    camera = orbit([30.0], [20.0], size=40)
    dense = Field(planes, decoder).totals(camera_rays(camera), 1024, None, False).reshape(40, 40, -1)
    assert 0.15 < dense[..., colours].mean() < 0.9  # there is something to see, and something to see past
    dense = dense_rendering(colours, 10.0, 40, 512)
    assert 0.15 < dense[..., colours].mean() < 0.9  # there is something to see, and something to see past
    seen = Classic(planes, decoder, chunk).totals(camera[0])
    assert seen.shape == dense.shape
    error = (seen - dense)[..., : colours + 1].square().mean().item()
    assert -10 * math.log10(error) > 40
    torch.testing.assert_close(seen[..., -1], dense[..., -1], atol=0.2, rtol=0)


def test_as_published_it_shows_the_same() -> None:
    planes, decoder = smooth_scene(colours=4)
    camera = orbit([30.0], [20.0], size=40)[0]
    torch.testing.assert_close(
        Published(planes, decoder).totals(camera), Classic(planes, decoder).totals(camera), atol=1e-5, rtol=1e-5
    )


def test_fine_samples_sharpen_a_thin_wall() -> None:
    planes, decoder = smooth_scene(density_scale=200.0)
    camera = orbit([30.0], [20.0], size=16)
    dense = dense_rendering(3, 200.0, 16, 4096)
    errors = [
        (Classic(planes, decoder).totals(camera[0], coarse=16, fine=fine) - dense)[..., :4].square().mean().item()
        for fine in (2, 48)
    ]
    assert errors[1] < errors[0] / 4


def test_rays_that_miss_see_nothing() -> None:
    planes, decoder = smooth_scene()
    away = look_at(torch.tensor([0.0, 0.0, 5.0]), torch.tensor([0.0, 0.0, 9.0]))
    camera = Camera(away, torch.tensor([8.0, 8.0]), torch.tensor([4.0, 4.0]), 8, 8)
    assert torch.equal(Classic(planes, decoder).totals(camera), torch.zeros(8, 8, 5))


def test_gradients_are_those_of_differences() -> None:
    planes, decoder = smooth_scene()
    planes, decoder = planes.double(), decoder.double()
    origins = torch.tensor([[0.1, 0.2, 3.0], [0.0, -0.4, 3.0], [0.0, 9.0, 3.0]], dtype=torch.float64)
    directions = torch.tensor([[0.0, 0.0, -1.0]] * 3, dtype=torch.float64)
    rays = clip_to_box(origins, directions)
    # The places of fine samples hang on the planes too, but by design no gradient goes through them; with a coarse
    # pass of one weight they do not move.
    moved = planes.clone().requires_grad_()
    two_pass(moved, decoder, rays, 2, 6, None).square().sum().backward()
    along = torch.randn(planes.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-5
    there, back = (two_pass(planes + s * along, decoder, rays, 2, 6, None).square().sum() for s in (step, -step))
    torch.testing.assert_close((moved.grad * along).sum(), (there - back) / (2 * step), rtol=1e-5, atol=1e-8)


def test_weights_of_constant_density_are_those_of_beer_and_lambert() -> None:
    place = torch.linspace(0, 1, 7, dtype=torch.float64)[None]
    weights = compositing_weights(place, torch.full_like(place, 2.0), torch.tensor([[1.5]], dtype=torch.float64))
    torch.testing.assert_close(weights.sum(), torch.tensor(1 - math.exp(-3.0), dtype=torch.float64))


def test_places_follow_the_weights() -> None:
    place = strata(torch.zeros(1), 100, None)
    weights = torch.zeros(1, 99)
    weights[0, 40:60] = 1.0
    drawn = draw_places(place, weights, strata(torch.zeros(1), 1000, None))[0]
    assert (drawn.diff() >= 0).all()
    inside = ((drawn > 0.39) & (drawn < 0.62)).float().mean()
    assert inside > 0.94  # the rest is what FLOOR spreads over the whole ray


def test_strata_hold_one_place_each() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = (strata(torch.zeros(50), 8, generator) * 8).floor()
    assert torch.equal(cells, torch.arange(8.0).expand(50, 8))
