"""Contract: a new refiner only resizes; any scale and image size; transparent pixels stay transparent whatever the
weights; what it reads depends neither on the camera's distance nor on the features' scale; `refine` gives images of the
camera's own size, view by view.

References: torch's bicubic resizing of premultiplied colours, rays through one pixel.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rodin.camera import Camera, orbit
from rodin.images import over
from rodin.models.refiner import Refiner, RefinerConfig, refine, render_inputs
from rodin.parts import load_component, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import Renderer

pytestmark = pytest.mark.usefixtures("mended_checksums")

CONFIG = RefinerConfig(channels=3, width=8, blocks=2, scale=2, enlarge="resize")


def refiner(scale: int = 2, seed: int = 0, trained: bool = False) -> Refiner:
    """A new refiner, or one with random weights in every layer."""
    torch.manual_seed(seed)
    network = Refiner(dataclasses.replace(CONFIG, scale=scale)).eval().requires_grad_(False)
    if trained:
        network.tail.weight.normal_()
        assert network.tail.bias is not None
        network.tail.bias.normal_()
        network.feature_mean.normal_()
        network.feature_std.uniform_(0.5, 2.0)
    return network


def random_inputs(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    """[B, 5 + 3, h, w] as a rendering would give: colours and features times alpha."""
    generator = torch.Generator().manual_seed(seed)
    alpha = torch.rand(batch, 1, height, width, generator=generator)
    colour = torch.rand(batch, 3, height, width, generator=generator)
    rest = torch.randn(batch, 4, height, width, generator=generator)
    return torch.cat([colour * alpha, alpha, rest * alpha], dim=1)


def ball() -> tuple[Tensor, Decoder]:
    """Planes [3, 3, 12, 12] whose matter is a ball of radius 0.55."""
    torch.manual_seed(3)
    decoder = Decoder(DecoderConfig(channels=3, hidden=8, density_shift=-12.0)).requires_grad_(False)
    axis = torch.linspace(-1, 1, 12)
    planes = torch.randn(3, 3, 12, 12) * 0.3
    decoder.trunk.weight[:, 0] = decoder.trunk.weight[:, 0].abs()
    decoder.density.weight.abs_()
    planes[:, 0] = (0.3 - axis[:, None] ** 2 - axis[None] ** 2) * 60
    return planes, decoder


@given(scale=st.sampled_from([2, 4]), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_new_refiner_only_resizes(scale: int, height: int, width: int, seed: int) -> None:
    inputs = random_inputs(2, height, width, seed)
    result = refiner(scale)(inputs)
    size = (scale * height, scale * width)
    wanted = F.interpolate(inputs[:, :4], size, mode="bicubic", align_corners=False)
    alpha = wanted[:, 3:].clamp(0, 1)
    assert result.shape == (2, 4, *size)
    torch.testing.assert_close(result[:, 3:], alpha, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        result[:, :3] * alpha, torch.minimum(wanted[:, :3].clamp_min(0), alpha), atol=2e-4, rtol=0
    )


def phase_spread(picture: Tensor, scale: int) -> float:
    """How far apart the means of [C, H, W] over the scale^2 places of a pixel are, at most."""
    places = F.pixel_unshuffle(picture[None], scale)[0].unflatten(0, (len(picture), scale**2)).mean(dim=(2, 3))
    return (places.amax(dim=1) - places.amin(dim=1)).max().item()


@pytest.mark.parametrize("scale", [2, 4])
def test_no_lattice_whatever_the_weights(scale: int) -> None:
    """On an even surface every place of an enlarged pixel looks alike."""
    even = random_inputs(1, 1, 1, seed=5).expand(1, 8, 16, 16)
    inside = slice(scale * 6, -scale * 6)
    spreads = {}
    for kind in ("resize", "shuffle"):
        torch.manual_seed(2)
        network = Refiner(dataclasses.replace(CONFIG, scale=scale, enlarge=kind)).requires_grad_(False)
        network.tail.weight.normal_()
        spreads[kind] = phase_spread(network.premultiplied(even)[0, :, inside, inside], scale)
    assert spreads["resize"] < 1e-4
    assert spreads["shuffle"] > 1e-2  # which the test would see


@pytest.mark.parametrize("scale", [2, 4])
def test_any_weights_give_valid_pictures_and_leave_transparency_alone(scale: int) -> None:
    network = refiner(scale, trained=True)
    inputs = torch.zeros(1, 8, 20, 14)
    inputs[:, :, 8:12, 6:9] = random_inputs(1, 4, 3)
    result = network(inputs)
    assert result.min() >= 0
    assert result.max() <= 1
    near = torch.zeros(20, 14, dtype=torch.bool)
    near[6:14, 4:11] = True  # bicubic resizing reaches two pixels, the network's residual one
    far = ~near.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    assert (result[0, :, far] == 0).all()
    plain = refiner(scale)(inputs)
    assert (result - plain).abs().max() > 0.1, "and the weights do something"


def test_features_of_another_scale_are_the_same_to_it() -> None:
    """The buffers undo y -> a y + b of the features, pixels of any alpha included."""
    network, other = refiner(trained=True), refiner(trained=True)
    inputs = random_inputs(2, 6, 5)
    stretch, shift = torch.tensor([4.0, 0.1, 30.0]), torch.tensor([-2.0, 5.0, 0.3])
    other.feature_mean.copy_(network.feature_mean * stretch + shift)
    other.feature_std.copy_(network.feature_std * stretch)
    changed = inputs.clone()
    changed[:, 5:] = inputs[:, 5:] * stretch[:, None, None] + inputs[:, 3:4] * shift[:, None, None]
    torch.testing.assert_close(other(changed), network(inputs), atol=1e-3, rtol=0)


def test_relief_does_not_depend_on_the_cameras_distance() -> None:
    planes, decoder = ball()
    reliefs = []
    for radius in (4.0, 9.0):
        camera = orbit([30.0], [10.0], size=1, radius=radius)
        inputs = render_inputs(Renderer(planes, decoder), camera, 64)
        assert inputs.shape == (1, 8, 1, 1)
        assert inputs[0, 3] > 0.99
        reliefs.append(float(inputs[0, 4]))
    assert reliefs[0] == pytest.approx(reliefs[1], abs=1e-4)
    assert 0.3 < reliefs[0] < 0.7, "the ball's surface stands out by about its radius"


@pytest.mark.parametrize("scale", [2, 4])
def test_refined_views_have_the_cameras_size_and_place(scale: int) -> None:
    """Also where the scale does not divide it; the ball lies off the middle, so a shift would show."""
    planes, decoder = ball()
    whole = orbit([0.0, 50.0], [5.0, -10.0], size=64, target=(0.3, 0.2, 0.0))
    camera = Camera(whole.cam_to_world, whole.focal, whole.centre, 61, 47)
    renderer = Renderer.culled(planes, decoder)
    result = refine(refiner(scale), renderer, camera, 48)
    assert result.shape == (2, 47, 61, 4)
    wanted, _ = renderer.image(camera, 48)
    error = (over(result, 1.0) - over(wanted, 1.0)).abs().mean()
    moved = (over(result, 1.0) - over(wanted.roll(scale // 2, dims=2), 1.0)).abs().mean()
    assert error < 0.02
    assert error < 0.7 * moved
    network = refiner(scale, trained=True)
    both = refine(network, renderer, camera, 48)
    single = refine(network, renderer, camera[1], 48)
    assert single.shape == (47, 61, 4)
    torch.testing.assert_close(single, both[1], atol=1e-5, rtol=0)


def test_round_trip(tmp_path: Path) -> None:
    network = refiner(trained=True)
    save_component(network, tmp_path / "refiner")
    again = load_component(Refiner, RefinerConfig, tmp_path / "refiner")
    inputs = random_inputs(1, 5, 7)
    assert again.config == network.config
    assert torch.equal(again(inputs), network(inputs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 3}, "scale must be one of"),
        ({"scale": 1}, "scale"),
        ({"width": 0}, "width"),
        ({"blocks": 0}, "blocks"),
    ],
)
def test_bad_config(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs must be \[B, 5 \+ 3, h, w\], got \[1, 9, 4, 4\]"):
        refiner()(torch.zeros(1, 9, 4, 4))
    renderer = Renderer(torch.zeros(3, 5, 8, 8), Decoder(DecoderConfig(channels=5)))
    with pytest.raises(ValueError, match="planes must have 3 channels"):
        refine(refiner(), renderer, orbit([0.0], [0.0], size=8), 16)
