"""Contract: volume rendering equals its closed forms; culling changes cost, never the picture nor the feature image;
gradients are right.

References: Beer-Lambert for a constant medium (alpha = 1 - exp(-sigma L)), a two-layer medium by hand, the compositing
sum written as a loop over samples, finite differences in float64.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

import rodin.render.renderer
from rodin import triplane
from rodin.camera import orbit
from rodin.images import over, straight
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import Occupancy, camera_rays, clip_to_box
from rodin.render.reference import alpha_weights, trace
from rodin.render.renderer import Renderer, make_field, measure_occupancy, occupied_bins, render_image, render_rays


class Medium(nn.Module):
    """A 'decoder' of one channel: density = relu(feature), colour (0.2, 0.5, 0.8)."""

    def density_of(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, 0].clamp_min(0)

    def forward(self, features: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.density_of(features), torch.tensor([0.2, 0.5, 0.8]).to(features).expand(len(features), 3)


class Mist(Medium):
    """Density 0 or a haze's, and 200 within a ball: where the planes' sum is above 0.3."""

    def __init__(self, haze: float) -> None:
        super().__init__()
        self.haze = haze

    def density_of(self, features: torch.Tensor) -> torch.Tensor:
        return torch.where(features[:, 0] > 0.3, 200.0, self.haze)


def test_constant_medium_follows_beer_lambert_along_any_chord() -> None:
    sigma = 0.9
    planes = torch.full((3, 1, 4, 4), sigma / 3)
    generator = torch.Generator().manual_seed(0)
    origins = torch.tensor([[0.2, 0.1, 5.0]]).repeat(40, 1)
    targets = torch.rand(40, 3, generator=generator) * 1.8 - 0.9
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    rays = clip_to_box(origins, directions)
    seen = render_rays(planes, Medium(), rays, occupied_bins(rays, 64, None))
    length = rays.far - rays.near
    expected = 1 - torch.exp(-sigma * length)
    torch.testing.assert_close(seen.alpha, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.premultiplied, expected[:, None] * torch.tensor([0.2, 0.5, 0.8]), atol=1e-5, rtol=0)
    # E[t; t < far] = near (1 - T) + 1/sigma - T (L + 1/sigma) with T = exp(-sigma L)
    transmitted = torch.exp(-sigma * length)
    depth = rays.near * expected + 1 / sigma - transmitted * (length + 1 / sigma)
    torch.testing.assert_close(seen.depth, depth, atol=2e-3, rtol=0)


def test_rays_are_clipped_to_the_box() -> None:
    origins = torch.tensor([[0.0, 0.0, 4.0], [0.0, 3.0, 4.0], [0.0, 0.0, 0.5], [0.0, 0.0, 4.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0], [0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
    rays = clip_to_box(origins, directions)
    torch.testing.assert_close(rays.near[:1], torch.tensor([3.0]))
    torch.testing.assert_close(rays.far[:1], torch.tensor([5.0]))
    assert rays.near[1] == rays.far[1], "passes above the box"
    torch.testing.assert_close(rays.near[2], torch.tensor(0.0), msg="starts inside")
    torch.testing.assert_close(rays.far[2], torch.tensor(1.5))
    assert rays.near[3] == rays.far[3], "the box lies behind"


def test_weights_by_hand() -> None:
    optical = torch.log(torch.tensor([[2.0, 4.0, 1.0]]))  # alphas 1/2, 3/4, 0
    torch.testing.assert_close(alpha_weights(optical), torch.tensor([[1 / 2, 3 / 8, 0.0]]))


def blob(channels: int = 4, size: int = 12) -> tuple[torch.Tensor, Decoder]:
    """Random planes whose matter is a ball of radius 0.55."""
    torch.manual_seed(3)
    decoder = Decoder(DecoderConfig(channels=channels, hidden=8, density_shift=-12.0)).requires_grad_(False)
    axis = torch.linspace(-1, 1, size)
    inside = 0.3 - axis[:, None] ** 2 - axis[None] ** 2
    planes = torch.randn(3, channels, size, size) * 0.3
    decoder.trunk.weight[:, 0] = decoder.trunk.weight[:, 0].abs()
    decoder.density.weight.abs_()
    planes[:, 0] = inside * 60
    return planes, decoder


def test_culling_changes_cost_but_not_the_picture() -> None:
    planes, decoder = blob()
    camera = orbit([0.0, 70.0], [5.0, -20.0], size=24)
    whole, whole_depth = render_image(planes, decoder, camera, samples=80)
    occupancy = measure_occupancy(make_field(planes, decoder), cells=40, threshold=1e-4)
    culled, culled_depth = render_image(planes, decoder, camera, samples=80, occupancy=occupancy)
    assert 0.05 < occupancy.grid.float().mean() < 0.5, "the scene must leave something to skip"
    assert whole[..., 3].max() > 0.9
    # Straight colour is compared where there is something to see.
    torch.testing.assert_close(over(culled, 1.0), over(whole, 1.0), atol=2e-3, rtol=0)
    solid = whole[..., 3] > 0.5
    torch.testing.assert_close(culled_depth[solid], whole_depth[solid], atol=5e-3, rtol=0)


def test_trimming_leaves_out_haze_and_nothing_else() -> None:
    """A ball of 0.55 whose surface is softer than a cell, in a thin haze that fills the box."""
    axis = torch.linspace(-1, 1, 129)
    planes = torch.zeros(3, 1, 129, 129)
    planes[:, 0] = 0.3 - axis[:, None] ** 2 - axis[None] ** 2  # summed over the planes: 0.9 - 2 r^2
    hazy, clear = Mist(0.5), Mist(0.0)
    camera = orbit([20.0], [10.0], size=32)[0]
    trimmed = Renderer.trimmed(planes, hazy).image(camera, 96)[0]
    alone = Renderer.culled(planes, clear).image(camera, 96)[0]
    assert over(Renderer.culled(planes, hazy).image(camera, 96)[0] - alone, 0.0).abs().max() > 0.3, "a haze to see"
    far = alone[..., 3].unfold(0, 5, 1).unfold(1, 5, 1).amax(dim=(-2, -1)) == 0  # two pixels and more beside the ball
    assert far.any()
    assert (trimmed[2:-2, 2:-2, 3][far] == 0).all()
    inside = alone[..., 3] > 0.99
    torch.testing.assert_close(over(trimmed, 1.0)[inside], over(alone, 1.0)[inside], atol=0.02, rtol=0)


def test_what_is_soft_all_through_stays() -> None:
    planes = torch.full((3, 1, 4, 4), 0.4)
    camera = orbit([20.0], [10.0], size=8)
    trimmed, culled = (kind(planes, Medium()).image(camera, 32)[0] for kind in (Renderer.trimmed, Renderer.culled))
    assert culled[..., 3].max() > 0.5
    torch.testing.assert_close(trimmed, culled, atol=0, rtol=0)


def test_feature_image_is_the_compositing_sum() -> None:
    planes, decoder = blob()
    camera = orbit([40.0, -100.0], [10.0, 30.0], size=9)
    samples = 40
    rays = camera_rays(camera)
    transmitted = torch.ones(len(rays))
    wanted = torch.zeros(len(rays), 4)
    step = (rays.far - rays.near) / samples
    for index in range(samples):
        points = rays.origins + (rays.near + (index + 0.5) * step)[:, None] * rays.directions
        features = triplane.sample(planes, points)
        opacity = 1 - torch.exp(-decoder.density_of(features) * step)
        wanted += (transmitted * opacity)[:, None] * features
        transmitted = transmitted * (1 - opacity)
    wanted = wanted.reshape(2, 9, 9, 4)
    whole = Renderer(planes, decoder).totals(camera, samples, features=True)
    assert wanted.abs().max() > 0.5
    torch.testing.assert_close(whole[..., 5:], wanted, atol=1e-3, rtol=1e-4)
    occupancy = measure_occupancy(make_field(planes, decoder), cells=40, threshold=1e-4)
    culled = Renderer(planes, decoder, occupancy).totals(camera, samples, features=True)
    torch.testing.assert_close(culled[..., 5:], wanted, atol=3e-3 * float(wanted.abs().max()), rtol=0)
    # the picture does not depend on whether the features are asked for
    without = Renderer(planes, decoder, occupancy).totals(camera, samples)
    torch.testing.assert_close(without, culled[..., :5])


def test_occupied_bins_miss_no_marked_cell() -> None:
    generator = torch.Generator().manual_seed(1)
    grid = torch.rand(20, 20, 20, generator=generator) > 0.97
    rays = clip_to_box(*(value.reshape(-1, 3) for value in orbit([33.0], [12.0], size=12).rays()))
    bins = occupied_bins(rays, 16, Occupancy(grid))
    fine = torch.rand(len(rays), 2000, generator=generator)
    points = (
        rays.origins[:, None]
        + torch.lerp(rays.near[:, None], rays.far[:, None], fine)[..., None] * rays.directions[:, None]
    )
    matter = Occupancy(grid).contains(points) & (rays.far > rays.near)[:, None]
    ray, sample = matter.nonzero(as_tuple=True)
    assert bins[ray, (fine[ray, sample] * 16).long().clamp(max=15)].all()
    assert not bins.all(), "and it skips something"


def test_gradients_match_finite_differences() -> None:
    planes, decoder = blob(channels=2, size=5)
    planes, decoder = planes.double() * 0.05, decoder.double()
    rays = clip_to_box(
        torch.tensor([[0.1, 0.2, 3.0], [3.0, 0.0, 0.3]]).double(),
        torch.tensor([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]).double(),
    )
    bins = occupied_bins(rays, 9, None)
    bins[:, 4] = False  # a skipped bin in the middle

    def picture(values: torch.Tensor) -> torch.Tensor:
        return trace(values, decoder, rays, bins, features=True)[0]

    assert torch.autograd.gradcheck(picture, planes.requires_grad_(), eps=1e-6, atol=1e-7)


@pytest.fixture
def in_pytorch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without the kernels, which keep nothing and need no chunks."""
    monkeypatch.setenv("RODIN_KERNELS", "off")
    return monkeypatch


def test_chunks_change_neither_values_nor_gradients(in_pytorch: pytest.MonkeyPatch) -> None:
    planes, decoder = blob()
    rays = camera_rays(orbit([20.0], [10.0], size=8)[0])
    bins = occupied_bins(rays, 32, None)
    results = []
    for chunk in (2048, 20):
        in_pytorch.setattr(rodin.render.renderer, "RAYS_PER_CHUNK", chunk)
        leaf = planes.clone().requires_grad_()
        totals = render_rays(leaf, decoder, rays, bins).totals
        totals.square().sum().backward()
        results.append((totals, leaf.grad))
    torch.testing.assert_close(results[0], results[1])


def test_chunks_bound_what_is_kept(in_pytorch: pytest.MonkeyPatch) -> None:
    planes, decoder = blob()
    rays = camera_rays(orbit([20.0], [10.0], size=16)[0])
    bins = occupied_bins(rays, 32, None)
    kept = []
    for chunk in (2048, 64):
        in_pytorch.setattr(rodin.render.renderer, "RAYS_PER_CHUNK", chunk)
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            render_rays(planes.clone().requires_grad_(), decoder, rays, bins)
        kept.append(sum(sizes))
    assert kept[1] < 0.1 * kept[0]


def test_image_shapes_and_straight_alpha() -> None:
    planes, decoder = blob()
    image, depth = render_image(planes, decoder, orbit([0.0], [0.0], size=10)[0], samples=16)
    assert image.shape == (10, 10, 4)
    assert depth.shape == (10, 10)
    torch.testing.assert_close(
        straight(torch.tensor([[0.2, 0.1, 0.0]]), torch.tensor([0.5])), torch.tensor([[0.4, 0.2, 0.0]])
    )
    with pytest.raises(ValueError, match="planes must be"):
        render_image(planes[None], decoder, orbit([0.0], [0.0], size=4))
