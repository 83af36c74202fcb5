"""Contract: a decoder with materials emits shares that add up to 1, a shade that alone follows the direction and is 1
at 0, and a small residual, in that layout; what rays see is painted by the palette after rendering as it would be
before, by every way to render; without materials the decoder is the one it was.

References: the emission written out by hand, colours mixed in every sample before compositing.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rodin.camera import Camera, orbit
from rodin.kernels.loader import LEVEL_VARIABLE
from rodin.parts import config_from_dict, module_hash
from rodin.render.decoder import Decoder, DecoderConfig, direction_basis
from rodin.render.materials import RESIDUAL, paint, split
from rodin.render.rays import camera_rays
from rodin.render.reference import bins_in_box, trace
from rodin.render.renderer import Renderer, Rendering, occupied_bins, render_image, render_rays

CAMERA = orbit([20.0, -100.0], [10.0, 35.0], size=7)
every_way = pytest.mark.parametrize("way", ["off", ""], ids=["reference", "kernels"])


def mixed(materials: int, view: bool = True, layers: int = 1) -> Decoder:
    """A decoder whose parameters are all random."""
    torch.manual_seed(materials)
    config = DecoderConfig(
        channels=5,
        hidden=9,
        colour_layers=layers,
        view_direction=view,
        materials=materials,
        density_shift=0.0,
        density_scale=3.0,
    )
    decoder = Decoder(config).requires_grad_(False)
    for parameter in decoder.colour[-1].parameters():
        nn.init.normal_(parameter, std=0.7)
    return decoder


def some_planes() -> Tensor:
    return torch.randn(3, 5, 6, 11, generator=torch.Generator().manual_seed(0))


def some_palette(materials: int, seed: int = 1) -> Tensor:
    return torch.rand(materials, 3, generator=torch.Generator().manual_seed(seed))


def directions(count: int, seed: int) -> Tensor:
    return nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)


# ---- the decoder


def test_what_is_emitted_by_hand() -> None:
    decoder = mixed(4).double()
    features, looked = torch.randn(6, 5).double(), directions(6, 3).double()
    hidden = nn.functional.silu(decoder.trunk(features))
    last = decoder.colour[1](nn.functional.silu(decoder.colour[0](hidden)))
    assert last.shape == (6, 4 + 3 + 1 + 8)
    _, emitted = decoder(features, looked)
    assert emitted.shape == (6, decoder.config.emitted) == (6, 2 * 4 + 3)
    for one, row, basis in zip(emitted, last, direction_basis(looked), strict=True):
        powers = [math.exp(logit) for logit in row[:4].tolist()]
        shares = torch.tensor([power / sum(powers) for power in powers]).double()
        raw = float(row[7] + row[8:] @ basis)
        shade = math.log1p(math.exp(raw)) / math.log(2)
        residual = torch.tensor([0.2 * math.tanh(value) for value in row[4:7].tolist()]).double()
        wanted = torch.cat([shade * shares, residual, shares])
        torch.testing.assert_close(one, wanted, atol=1e-6, rtol=1e-6)


def test_the_shade_alone_follows_the_direction_and_only_where_configured() -> None:
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(2))
    one, other = (split(mixed(3)(features, directions(40, seed))[1]) for seed in (4, 5))
    assert torch.equal(one.shares, other.shares)
    assert torch.equal(one.residual, other.residual)
    assert (one.shaded - other.shaded).abs().max() > 0.1
    still = mixed(3, view=False)
    assert torch.equal(*(still(features, directions(40, seed))[1] for seed in (4, 5)))


def test_a_new_decoder_has_no_view_dependence_and_a_shade_near_1() -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=5, materials=3))
    assert decoder.direction is None
    features = torch.randn(40, 5)
    one, other = (decoder(features, directions(40, seed))[1] for seed in (4, 5))
    assert torch.equal(one, other)
    for parameter in decoder.parameters():
        nn.init.zeros_(parameter)
    zero = split(decoder(features, directions(40, 4))[1])
    torch.testing.assert_close(zero.shaded, torch.full((40, 3), 1 / 3), msg="the shade of 0 is 1")


def test_without_materials_the_decoder_is_the_one_it_was() -> None:
    """Its parameters, its hash, and what a config from before the choice means."""
    old = {"channels": 4, "hidden": 6, "colours": 3}
    config = config_from_dict(DecoderConfig, old, "old.json")
    assert (config.materials, config.emitted, config.head_width) == (0, 3, 3)
    shapes = {name: list(value.shape) for name, value in Decoder(config).state_dict().items()}
    assert shapes == {
        "trunk.weight": [6, 4],
        "trunk.bias": [6],
        "density.weight": [1, 6],
        "density.bias": [1],
        "colour.0.weight": [6, 6],
        "colour.0.bias": [6],
        "colour.1.weight": [3, 6],
        "colour.1.bias": [3],
        "direction.weight": [6, 8],
    }
    decoder = Decoder(config)
    for parameter in decoder.parameters():
        nn.init.ones_(parameter)
    assert module_hash(decoder) == "11807a5167091c655c25fc030342bc4c7185bc3d2801924a1f26e5a4863c2014"


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"decoder\.materials must not be negative, got -1"):
        DecoderConfig(channels=4, materials=-1)
    with pytest.raises(ValueError, match=r"decoder\.colours must be 3 with materials, got 5"):
        DecoderConfig(channels=4, materials=2, colours=5)


# ---- rendering


@every_way
@given(materials=st.integers(1, 9), view=st.booleans(), layers=st.integers(0, 2))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shares_add_up_to_alpha_and_residuals_are_small(
    way: str, materials: int, view: bool, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, way) if way else monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    palette = some_palette(materials)
    renderer = Renderer.culled(some_planes(), mixed(materials, view, layers), palette)
    seen = renderer.render(CAMERA, 30, features=True)
    assert seen.shares.shape == (2, 7, 7, materials)
    assert seen.features.shape == (2, 7, 7, 5)
    assert seen.alpha.max() > 0.5
    torch.testing.assert_close(seen.shares.sum(dim=-1), seen.alpha, atol=1e-5, rtol=0)
    assert (seen.shares >= 0).all()
    assert (split(seen.emitted).residual.abs() <= RESIDUAL * seen.alpha[..., None] + 1e-6).all()


@every_way
def test_the_picture_is_the_one_that_is_painted_before_compositing(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, way) if way else monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    decoder, planes, palette = mixed(4), some_planes(), some_palette(4)

    class Painted(nn.Module):
        """The same matter, which emits its colour."""

        def forward(self, features: Tensor, looked: Tensor) -> tuple[Tensor, Tensor]:
            density, emitted = decoder(features, looked)
            shaded, residual = emitted[:, :4], emitted[:, 4:7]
            return density, torch.stack([shaded @ palette[:, c] + residual[:, c] for c in range(3)], dim=1)

    rays = camera_rays(CAMERA)
    wanted, _ = trace(planes, Painted(), rays, bins_in_box(rays, 30))  # type: ignore[arg-type]
    seen = Renderer(planes, decoder, palette=palette).render(CAMERA, 30)
    torch.testing.assert_close(seen.premultiplied.reshape(-1, 3), wanted[:, :3], atol=3e-5, rtol=0)
    torch.testing.assert_close(seen.alpha.flatten(), wanted[:, 3], atol=3e-5, rtol=0)
    torch.testing.assert_close(seen.depth.flatten(), wanted[:, 4], atol=2e-4, rtol=0)
    image, _ = render_image(planes, decoder, CAMERA, 30, palette=palette)
    assert torch.equal(image, Renderer(planes, decoder, palette=palette).image(CAMERA, 30)[0])
    some = render_rays(planes, decoder, rays, occupied_bins(rays, 30, None), palette=palette)
    torch.testing.assert_close(some.premultiplied, wanted[:, :3], atol=3e-5, rtol=0)


@given(materials=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_rendered_picture_is_recoloured_without_rendering(materials: int, seed: int) -> None:
    planes, decoder = some_planes(), mixed(materials)
    one, other = (some_palette(materials, number) for number in (seed, seed + 1))
    seen = Renderer(planes, decoder, palette=one).render(CAMERA, 20)
    again = Renderer(planes, decoder, palette=other).render(CAMERA, 20)
    assert torch.equal(paint(seen.emitted, other), again.premultiplied)
    assert torch.equal(seen._replace(palette=other).premultiplied, again.premultiplied)


def test_what_has_no_share_of_a_material_does_not_change_with_it() -> None:
    seen = torch.rand(50, 2 * 3 + 3, generator=torch.Generator().manual_seed(0))
    seen[:20, [1, 7]] = 0  # no second material, nor its shade
    other = some_palette(3).clone()
    other[1] = torch.tensor([0.9, 0.1, 0.4])
    before, after = (paint(seen, palette) for palette in (some_palette(3), other))
    assert torch.equal(before[:20], after[:20])
    assert (before[20:] != after[20:]).any(dim=1).all()


def test_the_palettes_gradient_goes_through_the_totals() -> None:
    planes, decoder = some_planes().requires_grad_(), mixed(2)
    palette = some_palette(2).requires_grad_()
    rays = camera_rays(CAMERA)
    seen = render_rays(planes, decoder, rays, occupied_bins(rays, 20, None), palette=palette)
    of_palette, of_planes = torch.autograd.grad(seen.premultiplied.sum(), [palette, planes])
    shaded = split(seen.emitted).shaded.detach().sum(dim=0)  # d sum / d palette[k, c], for every c
    torch.testing.assert_close(of_palette, shaded[:, None].expand(-1, 3))
    assert of_planes.abs().max() > 0


def test_a_palette_must_fit_the_decoder() -> None:
    planes, rays = some_planes(), camera_rays(CAMERA)
    bins = occupied_bins(rays, 8, None)
    with pytest.raises(ValueError, match=r"decoder with 3 materials needs a palette \[3, 3\]"):
        Renderer(planes, mixed(3))
    with pytest.raises(ValueError, match=r"decoder with 3 materials needs a palette \[3, 3\]"):
        render_rays(planes, mixed(3), rays, bins)
    with pytest.raises(ValueError, match=r"the palette must be \[3, 3\], got \[2, 3\]"):
        Renderer.culled(planes, mixed(3), some_palette(2))
    plain = Decoder(DecoderConfig(channels=5))
    with pytest.raises(ValueError, match="leave the palette out"):
        Renderer.trimmed(planes, plain, some_palette(2))
    with pytest.raises(ValueError, match="shares are those of materials"):
        _ = Renderer(planes, plain).render(CAMERA, 8).shares


def test_features_beyond_a_plain_colour_are_no_alpha() -> None:
    """The picture of a decoder of many colours is that of its first three."""
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=5, colours=7, density_shift=0.0))
    camera: Camera = CAMERA[0]
    renderer = Renderer(some_planes(), decoder)
    seen, totals = renderer.render(camera, 12, features=True), renderer.totals(camera, 12, features=True)
    assert isinstance(seen, Rendering)
    assert torch.equal(seen.premultiplied, totals[..., :3])
    assert torch.equal(seen.alpha, totals[..., 7])
    assert torch.equal(renderer.image(camera, 12)[0][..., 3], renderer.totals(camera, 12)[..., 7].clamp(0, 1))
