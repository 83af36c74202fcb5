"""Contract: a fit with materials learns where each is and which colour it has in this subject, also in a decoder's
first phase, where subjects share their planes but not their palettes; turning one entry of the palette then moves that
part of the picture and no other.

The subjects are balls, one half of each of one material, seen by hand-made rays.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from rodin.camera import Camera, orbit
from rodin.fit.losses import LossConfig
from rodin.fit.palette import mean_colours
from rodin.fit.planes import FitConfig, FittedPlanes, fit_planes
from rodin.fit.scene import Scene, empty_cells
from rodin.fit.shared import SharedConfig, SharedDecoder, learn_decoder
from rodin.render.decoder import DecoderConfig
from rodin.render.rays import Occupancy, camera_rays, grid_points
from rodin.render.renderer import Renderer, occupied_bins

RADIUS, SAMPLES, CELLS = 0.55, 24, 16
COLOURS = torch.tensor(
    [[[0.8, 0.2, 0.1], [0.1, 0.3, 0.7]], [[0.2, 0.7, 0.3], [0.9, 0.8, 0.2]], [[0.6, 0.5, 0.9], [0.3, 0.1, 0.1]]]
)
FIT = FitConfig(
    plane_size=12,
    image_size=24,
    samples=SAMPLES,
    steps=150,
    rays=256,
    learning_rate=0.15,
    palette_learning_rate=0.02,  # above the usual: these fits are short, and begin grey
    loss=LossConfig(shares=0.5),
)
VIEWS = orbit([0.0, 50.0, 95.0, 140.0, 190.0, 235.0, 285.0, 330.0], [0.0, 30.0, -30.0, 10.0] * 2, size=20)


def halves(camera: Camera) -> tuple[Tensor, Tensor]:
    """Of each ray of the cameras: whether it meets the ball [R], and whether it does so at x > 0 [R]."""
    rays = camera_rays(camera)
    half_b = (rays.origins * rays.directions).sum(dim=1)
    discriminant = half_b.square() - rays.origins.square().sum(dim=1) + RADIUS**2
    distance = -half_b - discriminant.clamp_min(0).sqrt()
    return discriminant > 0, (rays.origins + distance[:, None] * rays.directions)[:, 0] > 0


def scene_of(colours: Tensor, maps: bool = True) -> Scene:
    """A ball in two colours [2, 3], with or without maps of the halves."""
    hit, right = halves(VIEWS)
    shares = torch.stack([hit & ~right, hit & right], dim=1).float()
    targets = torch.cat([shares @ colours, hit[:, None]], dim=1)
    axis = grid_points(CELLS + 1, colours)[:-1, :-1, :-1] + 1 / CELLS
    occupancy = Occupancy(axis.norm(dim=-1) < RADIUS + 0.2)
    rays = camera_rays(VIEWS)
    bins = occupied_bins(rays, SAMPLES, occupancy)
    seen = bins.any(dim=1)
    return Scene(
        rays[seen],
        targets[seen],
        bins[seen],
        occupancy,
        empty=empty_cells(occupancy),
        shares=shares[seen] if maps else None,
    )


def test_a_palette_begins_at_the_mean_colours_of_what_the_fit_sees() -> None:
    scene = scene_of(COLOURS[0])
    torch.testing.assert_close(mean_colours(scene), COLOURS[0])
    assert scene.shares is not None
    third = torch.cat([scene.shares, torch.zeros(len(scene.rays), 1)], dim=1)  # of a material that nothing is made of
    torch.testing.assert_close(mean_colours(dataclasses.replace(scene, shares=third))[2], torch.full((3,), 0.5))
    with pytest.raises(ValueError, match="no material maps"):
        mean_colours(scene_of(COLOURS[0], maps=False))


@pytest.fixture(scope="module")
def shared() -> SharedDecoder:
    """Learned on the first two balls, whose palettes begin grey."""
    config = DecoderConfig(channels=4, hidden=16, materials=2)
    steps = SharedConfig(subjects=2, common_steps=100, steps=300)
    scenes, grey = [scene_of(colours) for colours in COLOURS[:2]], torch.full((2, 2, 3), 0.5)
    return learn_decoder(scenes, config, steps, FIT, seed=0, report=lambda _loss: None, palettes=grey)


@pytest.fixture(scope="module")
def third(shared: SharedDecoder) -> FittedPlanes:
    """The fit of the third ball, which the decoder has not seen."""
    return fit_planes(scene_of(COLOURS[2]), shared.decoder, shared.start, FIT, seed=0, palette=torch.full((2, 3), 0.5))


def test_every_subject_learns_its_own_palette(shared: SharedDecoder, third: FittedPlanes) -> None:
    assert shared.palettes is not None
    assert third.palette is not None
    torch.testing.assert_close(shared.palettes, COLOURS[:2], atol=0.1, rtol=0)
    torch.testing.assert_close(third.palette, COLOURS[2], atol=0.1, rtol=0)


def test_the_planes_learn_what_is_where(shared: SharedDecoder, third: FittedPlanes) -> None:
    camera = orbit([75.0, 250.0], [15.0, -10.0], size=20)  # views that no fit has seen
    seen = Renderer(third.planes, shared.decoder, palette=third.palette).render(camera, 64)
    hit, right = halves(camera)
    wanted = torch.stack([hit & ~right, hit & right], dim=1).float()
    assert (seen.shares.reshape(-1, 2) - wanted).abs().mean() < 0.06
    assert (seen.premultiplied.reshape(-1, 3) - wanted @ COLOURS[2]).abs().mean() < 0.05


def test_turning_an_entry_of_the_palette_moves_that_part_alone(shared: SharedDecoder, third: FittedPlanes) -> None:
    camera = orbit([0.0], [0.0], size=20)
    assert third.palette is not None
    turned = third.palette.clone()
    turned[1] = torch.tensor([1.0, 0.0, 1.0])
    before, after = (
        Renderer(third.planes, shared.decoder, palette=palette).image(camera, 64)[0]
        for palette in (third.palette, turned)
    )
    change = (after - before).abs().reshape(-1, 4).amax(dim=1)
    hit, right = halves(camera)
    column = torch.arange(20).repeat(20)
    away = (column - 9.5).abs() > 2  # from where the halves meet
    solid = hit & (before[..., 3].flatten() > 0.95)
    assert change[solid & right & away].min() > 0.3
    assert change[solid & ~right & away].max() < 0.1


def test_without_maps_pictures_alone_teach_the_palette(shared: SharedDecoder) -> None:
    begun = COLOURS[2].flip(0) * 0.3 + COLOURS[2] * 0.7  # nearer to the truth than to its exchange
    found = fit_planes(scene_of(COLOURS[2], maps=False), shared.decoder, shared.start, FIT, seed=0, palette=begun)
    assert found.palette is not None
    assert (found.palette - COLOURS[2]).abs().mean() < 0.5 * (begun - COLOURS[2]).abs().mean()


def test_palette_and_decoder_must_fit(shared: SharedDecoder) -> None:
    with pytest.raises(ValueError, match=r"decoder with 2 materials needs a palette \[2, 3\]"):
        fit_planes(scene_of(COLOURS[2]), shared.decoder, shared.start, FIT, seed=0)
