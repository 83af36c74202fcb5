"""Contract of rodin.avatars.inversion: the loss sees colour only where the photograph shows the person; a photograph
steers the sampling towards it, and at strength 0 sampling is plain DDIM; sampling and fit leave alone what the
photograph does not show; a pose is found again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from rodin import framing, triplane
from rodin.avatars.inversion import Inversion, descend, hidden_points
from rodin.avatars.photo import Photo, frame_photo, photo_loss
from rodin.avatars.pose import search_pose
from rodin.camera import camera_at
from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.sampling import Scheduler, draw_noise, guided, sample
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig
from rodin.networks.unet import UNet, UNetConfig
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import render_image

SIZE = 16  # of planes and photographs
CHANNELS = 4
FRONT, BACK = camera_at(size=SIZE), camera_at(180.0, size=SIZE)


@dataclass(frozen=True)
class Toy:
    """Two subjects under one decoder, and a base model of which the first is the mean."""

    decoder: Decoder
    first: Tensor  # [3, C, H, W] a ball with a nose, its halves of two colours
    second: Tensor  # the same in other colours
    statistics: PlaneStatistics
    base: UNet
    diffusion: DiffusionConfig


def shape_and_colour(points: Tensor, flipped: bool) -> tuple[Tensor, Tensor]:
    """Whether points [N, 3] are inside, and their colour [N, 3]."""
    inside = (points.norm(dim=-1) < 0.6) | ((points - torch.tensor([0.0, 0.0, 0.6])).norm(dim=-1) < 0.25)
    left, right, nose = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.3, 0.9], [0.9, 0.9, 0.3]])
    colour = torch.where((points[:, :1] > 0) != flipped, left, right)
    return inside.float(), torch.where(points[:, 2:] > 0.5, nose, colour)


@pytest.fixture(scope="module")
def toy() -> Toy:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=CHANNELS, hidden=16))
    both = [(0.1 * torch.randn(3, CHANNELS, SIZE, SIZE, generator=generator)).requires_grad_() for _ in range(2)]
    optimizer = torch.optim.Adam([*decoder.parameters(), *both], lr=0.05)
    for _ in range(250):
        points = torch.rand(1500, 3, generator=generator) * 2 - 1
        directions = torch.nn.functional.normalize(torch.randn(points.shape, generator=generator), dim=-1)
        loss = torch.zeros(())
        for planes, flipped in zip(both, (False, True), strict=True):
            density, colour = decoder(triplane.sample(planes, points), directions)
            inside, true = shape_and_colour(points, flipped)
            loss = loss + (-torch.expm1(-0.1 * density) - inside).square().mean()
            loss = loss + (inside[:, None] * (colour - true)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    first, second = (planes.detach() for planes in both)
    statistics = PlaneStatistics(PlaneStatisticsConfig(channels=CHANNELS, height=SIZE, width=SIZE, clip=4.0))
    statistics.mean_planes.copy_(first)
    statistics.std.copy_((second - first).square().mean(dim=(0, 2, 3)).sqrt())
    network = UNetConfig(
        size=SIZE, in_channels=CHANNELS, out_channels=CHANNELS, width=32, multipliers=(1,), blocks=1, attention=(),
        head_width=32, patch=4,
    )  # fmt: skip
    base = UNet(network).requires_grad_(False).eval()
    for weight in base.head.parameters():
        torch.nn.init.normal_(weight, std=0.002)
    return Toy(decoder.requires_grad_(False), first, second, statistics, base, DiffusionConfig(prediction="sample"))


def view(toy: Toy, planes: Tensor, camera: object) -> Tensor:
    return render_image(planes, toy.decoder, camera, 48)[0]  # type: ignore[arg-type]


def psnr(one: Tensor, other: Tensor) -> float:
    return -10 * math.log10((one - other).square().mean().item())


# ---- the loss


def test_an_avatar_is_no_distance_from_its_own_render(toy: Toy) -> None:
    own = Photo(view(toy, toy.first, FRONT), FRONT)
    other = photo_loss(toy.second, toy.decoder, own)
    assert photo_loss(toy.first, toy.decoder, own) < 0.02 * other


def test_colour_counts_where_the_person_is(toy: Toy) -> None:
    pixels = view(toy, toy.first, FRONT)
    pixels[..., 3] = (pixels[..., 3] > 0.5).float()
    behind = pixels.clone()
    behind[..., :3][pixels[..., 3] == 0] = 0.3
    before, after = (photo_loss(toy.first, toy.decoder, Photo(p, FRONT)) for p in (pixels, behind))
    torch.testing.assert_close(before, after)
    bald = pixels.clone()
    bald[:8, :, 3] = 0
    assert photo_loss(toy.first, toy.decoder, Photo(bald, FRONT)) > before + 0.02, "alpha counts everywhere"


def test_nothing_to_see_has_a_finite_gradient(toy: Toy) -> None:
    planes = toy.first.clone().requires_grad_()
    loss = photo_loss(planes, toy.decoder, Photo(torch.zeros(SIZE, SIZE, 4), FRONT))
    (gradient,) = torch.autograd.grad(loss, planes)
    assert torch.isfinite(gradient).all()
    assert gradient.any()


@pytest.mark.parametrize("size", [8, 16, 31])
def test_photographs_come_in_the_size_asked_for(toy: Toy, size: int) -> None:
    pixels = view(toy, toy.first, FRONT)
    photo = frame_photo(pixels, size, azimuth_deg=30.0)
    assert photo.pixels.shape == (size, size, 4)
    assert 0 <= photo.pixels.min() <= photo.pixels.max() <= 1
    assert (photo.camera.width, photo.camera.height) == (size, size)
    distance = framing.RADIUS * torch.tensor([math.sin(math.radians(30.0)), 0.0, math.cos(math.radians(30.0))])
    torch.testing.assert_close(photo.camera.position[[0, 2]], distance[[0, 2]], atol=0.01, rtol=0)
    premultiplied = [p[..., :3] * p[..., 3:] for p in (pixels, photo.pixels)]
    torch.testing.assert_close(premultiplied[0].mean(), premultiplied[1].mean(), atol=0.01, rtol=0)


# ---- sampling


def inversion(toy: Toy) -> Inversion:
    """Whose free planes are the first subject."""
    return Inversion(
        base=toy.base, config=toy.diffusion, decoder=toy.decoder, z=torch.zeros(1, 512), free=toy.first,
        features=None, generator=torch.Generator().manual_seed(2),
    )  # fmt: skip


def invert(toy: Toy, photo: Photo, strength: float, steps: int = 5) -> Tensor:
    noise = draw_noise((3, CHANNELS, SIZE, SIZE), [torch.Generator().manual_seed(1)])
    return inversion(toy).sample(toy.statistics, photo, noise, steps=steps, guidance_scale=1.5, strength=strength)


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_without_strength_it_is_ddim(toy: Toy, prediction: str) -> None:
    toy = Toy(toy.decoder, toy.first, toy.second, toy.statistics, toy.base, DiffusionConfig(prediction=prediction))  # type: ignore[arg-type]
    generators = [torch.Generator().manual_seed(1)]
    noise = draw_noise((3, CHANNELS, SIZE, SIZE), generators)
    denoise = guided(toy.base, torch.zeros(1, 512), 1.5)
    expected = sample(denoise, Scheduler(toy.diffusion, "ddim"), noise, generators, 5, clip=4.0)[0]
    assert expected.abs().max() > 0.01
    found = invert(toy, Photo(torch.ones(SIZE, SIZE, 4), FRONT), 0.0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_photograph_steers_the_sampling(toy: Toy) -> None:
    photo = Photo(view(toy, toy.second, FRONT), FRONT)
    free, steered, again = (toy.statistics.denormalize(invert(toy, photo, s)) for s in (0.0, 0.15, 0.15))
    assert torch.equal(steered, again)
    before, after = (photo_loss(planes, toy.decoder, photo) for planes in (free, steered))
    assert after < 0.3 * before
    assert psnr(view(toy, steered, FRONT), photo.pixels) > psnr(view(toy, free, FRONT), photo.pixels) + 1.5


def test_a_steered_sample_keeps_what_the_photograph_does_not_show(toy: Toy) -> None:
    """The base model's mean is the first subject, so that is what the back stays like."""
    steered = toy.statistics.denormalize(invert(toy, Photo(view(toy, toy.second, FRONT), FRONT), 0.15))
    back, front = (psnr(view(toy, toy.first, camera), view(toy, steered, camera)) for camera in (BACK, FRONT))
    assert back > front + 5


def test_progress_is_told(toy: Toy) -> None:
    photo = Photo(view(toy, toy.second, FRONT), FRONT)
    seen: list[tuple[int, float]] = []
    noise = torch.zeros(1, 3, CHANNELS, SIZE, SIZE)
    inversion(toy).sample(
        toy.statistics, photo, noise, steps=2, guidance_scale=1.0,
        progress=lambda step, loss: seen.append((step, loss)),
    )  # fmt: skip
    assert [step for step, _ in seen] == [0, 1]
    assert all(0 < loss < 1 for _, loss in seen)


def test_descent_takes_steps_of_the_given_length() -> None:
    """Lengths 0.4, 0.3, 0.2, 0.1 along a constant gradient, however small it is, and never beyond the clip."""
    start = torch.zeros(2, 3)
    towards = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    found, loss = descend(start, lambda x: -1e-4 * (x * towards).sum(), 4, 0.4, 9.0)
    torch.testing.assert_close(found, towards)
    assert loss == pytest.approx(-1e-4 * 0.9 * 6)
    assert float(descend(start, lambda x: -x.sum(), 4, 0.4, 0.5)[0].max()) == 0.5


# ---- the fit


def test_the_fit_keeps_what_the_photograph_does_not_show(toy: Toy) -> None:
    photo = Photo(view(toy, toy.second, FRONT), FRONT)

    def fitted() -> Tensor:
        return inversion(toy).fit(toy.first, toy.statistics, photo, steps=40)

    planes = fitted()
    assert torch.equal(planes, fitted())
    before, after = (photo_loss(p, toy.decoder, photo) for p in (toy.first, planes))
    assert after < 0.5 * before
    back = [view(toy, p, BACK) for p in (toy.first, planes)]
    front = [view(toy, p, FRONT) for p in (toy.first, planes)]
    assert psnr(*back) > psnr(*front) + 5
    assert (back[1][..., 3] - back[0][..., 3]).abs().mean() < 0.02, "no floaters"


def test_hidden_points_leave_the_visible_surface_free(toy: Toy) -> None:
    camera = FRONT.resized(48, 48)
    photo = Photo(view(toy, toy.first, camera), camera)
    hidden = hidden_points(inversion(toy), toy.first, photo)
    shell = ((hidden.points.norm(dim=-1) - 0.6).abs() < 0.05) & (hidden.points[:, :2].norm(dim=-1) > 0.3)
    back, front = int((shell & (hidden.points[:, 2] < -0.3)).sum()), int((shell & (hidden.points[:, 2] > 0.3)).sum())
    assert back > 300, "the back is held"
    assert front < 0.1 * back, "the front is free"
    change, changed = (hidden.change(planes, toy.decoder, torch.Generator()) for planes in (toy.first, toy.second))
    assert float(change) == pytest.approx(0, abs=1e-8)
    assert changed > 0.01


def test_hidden_points_have_the_colours_of_what_was_drawn_without_the_photograph(toy: Toy) -> None:
    photo = Photo(view(toy, toy.first, FRONT), FRONT)
    small = triplane.resize(toy.second, SIZE // 2, SIZE // 2)
    hidden = hidden_points(replace(inversion(toy), free=small), toy.first, photo)
    inside = hidden.opacity > 0.5
    left, right, _ = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.3, 0.9], [0.9, 0.9, 0.3]])
    flipped = torch.where(hidden.points[:, :1] > 0, right, left)
    sides = inside & (hidden.points[:, 0].abs() > 0.2)
    assert (hidden.emitted - flipped)[sides].abs().mean() < 0.15
    assert float(hidden.change(toy.second, toy.decoder, torch.Generator())) < 0.02


# ---- the pose


@pytest.mark.parametrize("truth", [(0.0, 2.0), (34.0, 12.0), (-57.0, -7.0)])
def test_a_pose_is_found_again(toy: Toy, truth: tuple[float, float]) -> None:
    seen = view(toy, toy.first, camera_at(*truth, size=32))
    azimuth, elevation, margin = search_pose(toy.first, toy.decoder, seen)
    assert (azimuth, elevation) == pytest.approx(truth, abs=4.0)
    assert margin > 0.1


def test_a_pose_that_cannot_be_told_has_no_margin(toy: Toy) -> None:
    assert search_pose(toy.first, toy.decoder, torch.full((32, 32, 4), 0.5))[2] < 0.1
