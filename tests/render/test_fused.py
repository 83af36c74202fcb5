"""Contract of the C++ kernels: on every instruction level of this CPU they compute what `rodin.render.reference` and
`rodin.fit.step` compute, in values and gradients, for any widths and planes, wherever rays go.

The PyTorch reference and autograd are the oracles. Levels differ in rounding alone; threads change nothing at all.
"""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rodin import triplane
from rodin.camera import orbit
from rodin.fit.fused import FusedFit, Resize, start_fit
from rodin.fit.losses import Batch, LossConfig
from rodin.fit.scene import Scene, empty_cells
from rodin.fit.step import LearnedDecoder, PlaneFit
from rodin.kernels.loader import LEVEL_VARIABLE, levels
from rodin.render import fused, reference, renderer
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import Occupancy, Rays, camera_rays, clip_to_box

LEVELS = levels()
SAME = {"atol": 2e-5, "rtol": 2e-5}
every_level = pytest.mark.parametrize("level", LEVELS)
anything = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def test_the_kernels_are_built() -> None:
    """All that follows would test nothing without them."""
    assert "baseline" in LEVELS


def make_decoder(
    channels: int,
    hidden: int = 32,
    layers: int = 1,
    frequencies: int = 0,
    view: bool = True,
    softplus: bool = False,
    colours: int = 3,
    materials: int = 0,
) -> Decoder:
    """A random decoder whose colours follow the direction; with materials it has the usual three colours."""
    decoder = Decoder(
        DecoderConfig(
            channels=channels,
            hidden=hidden,
            colour_layers=layers,
            frequencies=frequencies,
            view_direction=view,
            activation="softplus" if softplus else "silu",
            density_shift=-2.0,
            density_scale=8.0,
            colours=3 if materials else colours,
            materials=materials,
        )
    )
    if decoder.direction is not None:
        nn.init.normal_(decoder.direction.weight, std=0.3)
    if materials and view:
        for parameter in decoder.colour[-1].parameters():
            nn.init.normal_(parameter.data[-8:], std=0.3)
    return decoder.requires_grad_(False)


decoders = st.builds(
    make_decoder,
    channels=st.integers(1, 40),
    hidden=st.integers(1, 70),
    layers=st.integers(0, 3),
    frequencies=st.integers(0, 3),
    view=st.booleans(),
    softplus=st.booleans(),
    colours=st.integers(1, 20),
    materials=st.integers(0, 14),
)
PRESETS = {
    "smoke": {"channels": 8},
    "mini": {"channels": 16},
    "eg3d": {"channels": 32, "hidden": 64, "layers": 0, "view": False, "softplus": True, "colours": 32},
    "paper": {"channels": 32, "hidden": 128, "layers": 2, "frequencies": 2},
    "materials": {"channels": 16, "materials": 13},
}


def awkward_rays() -> Rays:
    """Through the box, past it, away from it, from inside, along each axis, along a face, through a corner."""
    origins = torch.tensor(
        [
            [0.2, 0.1, 4.0],
            [0.0, 3.0, 4.0],
            [0.0, 0.0, 4.0],
            [0.1, -0.3, 0.5],
            [-3.0, 0.2, -0.4],
            [0.3, 5.0, 0.1],
            [0.7, -0.6, -2.0],
            [1.0, 0.0, 3.0],
            [3.0, 3.0, 3.0],
            [0.0, 0.0, 0.0],
        ]
    )
    directions = torch.tensor(
        [
            [-0.05, 0.02, -1.0],
            [0.0, 0.0, -1.0],
            [0.0, 0.1, 1.0],
            [0.3, 0.5, -0.2],
            [1.0, 0.0, 0.0],
            [0.0, -1.0, 0.0],
            [0.0, 0.0, 1.0],
            [0.0, 0.0, -1.0],
            [-1.0, -1.0, -1.0],
            [0.0, 1.0, 0.0],
        ]
    )
    return clip_to_box(origins, nn.functional.normalize(directions, dim=-1))


def views(size: int = 5) -> Rays:
    return camera_rays(orbit([13.0, 101.0], [4.0, 37.0], size=size))


def marked(seed: int, samples: int, rays: int) -> Tensor:
    return torch.rand(rays, samples, generator=torch.Generator().manual_seed(seed)) < 0.4


def compare(planes: Tensor, decoder: Decoder, rays: Rays, samples: int, seed: int) -> None:
    """Every function against its oracle."""
    true, fast = reference.Field(planes, decoder), fused.Field(planes, decoder)
    generator = torch.Generator().manual_seed(seed)
    points = 2.6 * torch.rand(37, 3, generator=generator) - 1.3  # some outside the box
    directions = nn.functional.normalize(torch.randn(37, 3, generator=generator), dim=-1)
    torch.testing.assert_close(fast.density(points), true.density(points), **SAME)
    torch.testing.assert_close(fast.emitted(points, directions), true.emitted(points, directions), **SAME)
    for features in (False, True):
        wanted = true.totals(rays, samples, None, features)
        torch.testing.assert_close(fast.totals(rays, samples, None, features), wanted, **SAME)
    bins = marked(seed, samples, len(rays)) & (rays.far > rays.near)[:, None]
    leaf, other = planes.clone().requires_grad_(), planes.clone().requires_grad_()
    totals, weights = reference.trace(leaf, decoder, rays, bins)
    found = fused.Trace.apply(other, decoder, rays, bins)
    torch.testing.assert_close(found, totals, **SAME)
    torch.testing.assert_close(fused.ray_weights(planes, decoder, rays, bins), weights, **SAME)
    upstream = torch.randn(totals.shape, generator=generator)
    (wanted,) = torch.autograd.grad(totals, leaf, upstream)
    (gradient,) = torch.autograd.grad(found, other, upstream)
    # Where rays cancel each other, rounding alone moves the reference too: by as much as double precision tells.
    exact = exact_gradient(planes, decoder, rays, bins, upstream)
    assert relative(gradient, wanted) < 1e-4 + 4 * relative(wanted, exact)


def exact_gradient(planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor, upstream: Tensor) -> Tensor:
    """The reference's gradient with respect to the planes, in double precision."""
    leaf = planes.double().requires_grad_()
    rays = Rays(rays.origins.double(), rays.directions.double(), rays.near.double(), rays.far.double())
    totals, _ = reference.trace(leaf, copy.deepcopy(decoder).double(), rays, bins)
    (gradient,) = torch.autograd.grad(totals, leaf, upstream.double())
    return gradient.float()


def relative(found: Tensor, wanted: Tensor) -> float:
    """Length of the difference by the length of what is wanted."""
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-12))


@every_level
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_equal_the_reference(level: str, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    torch.manual_seed(1)
    decoder = make_decoder(**PRESETS[preset])  # type: ignore[arg-type]
    planes = torch.randn(3, decoder.config.channels, 11, 6)
    compare(planes, decoder, views(), samples=33, seed=2)
    compare(planes, decoder, awkward_rays(), samples=20, seed=3)


@every_level
@given(decoder=decoders, height=st.integers(1, 9), width=st.integers(1, 9), samples=st.integers(1, 40))
@anything
def test_any_shape_equals_the_reference(
    level: str, decoder: Decoder, height: int, width: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    planes = torch.randn(3, decoder.config.channels, height, width, generator=torch.Generator().manual_seed(samples))
    compare(planes, decoder, awkward_rays(), samples, seed=height * 100 + width)


@every_level
def test_culled_rays_equal_the_reference(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ball in a grid that is marked around it: both skip the same bins, and stop where nothing more is seen."""
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    planes, decoder = ball()
    rays = camera_rays(orbit([13.0, -100.0], [4.0, 37.0], size=24))
    occupancy = renderer.measure_occupancy(reference.Field(planes, decoder), cells=30)
    assert 0.05 < occupancy.grid.float().mean() < 0.5
    for features in (False, True):
        wanted = reference.Field(planes, decoder).totals(rays, 80, occupancy, features)
        found = fused.Field(planes, decoder).totals(rays, 80, occupancy, features)
        assert wanted[:, 3].max() > 0.9
        torch.testing.assert_close(found[:, :4], wanted[:, :4], atol=5e-3, rtol=0)
        # Depth is alpha times a distance, so that what is left unseen counts by how far away it lies.
        torch.testing.assert_close(found[:, 4], wanted[:, 4], atol=5e-3 * float(rays.far.max()), rtol=0)
        # Thin samples take colour and features of the next, and this ball's features change by 40 from one to the next.
        torch.testing.assert_close(found, wanted, atol=2 * fused.THIN * float(wanted.abs().max()), rtol=0)
    everywhere = reference.Field(planes, decoder).totals(rays, 80, None, False)
    assert (everywhere[:, :4] - found[:, :4]).abs().max() < 5e-3


def ball() -> tuple[Tensor, Decoder]:
    """Planes whose matter is a ball, in random colours."""
    torch.manual_seed(3)
    decoder = Decoder(DecoderConfig(channels=4, hidden=8, density_shift=-12.0)).requires_grad_(False)
    axis = torch.linspace(-1, 1, 12)
    planes = torch.randn(3, 4, 12, 12) * 0.3
    planes[:, 0] = (0.3 - axis[:, None] ** 2 - axis[None] ** 2) * 60
    decoder.trunk.weight[:, 0] = decoder.trunk.weight[:, 0].abs()
    decoder.density.weight.abs_()
    return planes, decoder


@every_level
@given(seed=st.integers(0, 1000), cells=st.integers(1, 20), samples=st.integers(1, 48), share=st.floats(0.0, 0.3))
@anything
def test_occupied_bins_equal_the_reference(
    level: str, seed: int, cells: int, samples: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distance skipping forgets no bin. Middles on a cell's face may fall to either side, so those may differ."""
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    generator = torch.Generator().manual_seed(seed)
    occupancy = Occupancy(torch.rand(cells, cells, cells, generator=generator) < share)
    rays = views()
    grown = occupancy.reached_by_bins(2 * 3**0.5 / samples)
    wanted = reference.bins_with_middle_in(rays, samples, grown)
    found = fused.occupied_bins(rays, samples, occupancy)
    ray, position = (wanted != found).nonzero(as_tuple=True)
    distance = rays.near[ray] + (position + 0.5) * (rays.far - rays.near)[ray] / samples
    cell = (rays.origins[ray] + distance[:, None] * rays.directions[ray] + 1) * (cells / 2)
    to_face = (cell - cell.round()).abs().amin(dim=1)
    assert (to_face < 1e-3).all(), "bins differ well inside a cell"


@given(seed=st.integers(0, 1000), cells=st.integers(1, 9), share=st.floats(0.0, 1.0))
@settings(max_examples=30, deadline=None)
def test_distances_are_those_of_the_nearest_marked_cell(seed: int, cells: int, share: float) -> None:
    grid = torch.rand(cells, cells, cells, generator=torch.Generator().manual_seed(seed)) < share
    found = fused.distances(Occupancy(grid))
    where, everywhere = grid.nonzero(), torch.ones_like(grid).nonzero()
    if not len(where):
        assert (found == 255).all()
        return
    apart = (everywhere[:, None] - where[None]).abs().amax(dim=-1).amin(dim=1)
    assert torch.equal(found.flatten().long(), apart)


@every_level
def test_nothing_is_seen_where_nothing_is_marked(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    planes, decoder = ball()
    totals = fused.Field(planes, decoder).totals(views(), 32, Occupancy(torch.zeros(8, 8, 8, dtype=torch.bool)), True)
    assert torch.equal(totals, torch.zeros_like(totals))
    leaf = planes.clone().requires_grad_()
    rays = views()
    nothing = fused.Trace.apply(leaf, decoder, rays, torch.zeros(len(rays), 9, dtype=torch.bool))
    nothing.sum().backward()
    assert torch.equal(leaf.grad, torch.zeros_like(planes))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_planes_that_are_not_finite_are_refused(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    planes, decoder = ball()
    planes[1, 2, 3, 4] = planes[0, 0, 0, 0] = bad
    for level in (*LEVELS, "off"):
        monkeypatch.setenv(LEVEL_VARIABLE, level)
        with pytest.raises(ValueError, match=r"planes must be finite, 2 of 1728 numbers are not"):
            renderer.Renderer(planes, decoder)


def test_levels_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    planes, decoder = ball()
    occupancy = renderer.measure_occupancy(reference.Field(planes, decoder), cells=30)
    rays = camera_rays(orbit([20.0], [10.0], size=40))
    totals = []
    for level in LEVELS:
        monkeypatch.setenv(LEVEL_VARIABLE, level)
        totals.append(fused.Field(planes, decoder).totals(rays, 64, occupancy, True))
    for one in totals[1:]:
        # where rounding decides: a sample more or less, colours and features lent one later or earlier
        torch.testing.assert_close(one[:, :5], totals[0][:, :5], atol=2e-3, rtol=0)
        torch.testing.assert_close(one, totals[0], atol=fused.THIN * float(totals[0].abs().max()), rtol=0)
        assert ((one - totals[0]).abs() > 1e-4).float().mean() < 0.02, "and hardly anywhere at all"


def test_threads_change_nothing() -> None:
    planes, decoder = ball()
    occupancy = renderer.measure_occupancy(reference.Field(planes, decoder), cells=30)
    rays = camera_rays(orbit([20.0], [10.0], size=40))
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(fused.Field(planes, decoder).totals(rays, 64, occupancy, True))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_the_face_takes_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, and not where they are switched off, nor for other numbers or other decoders than ours."""
    planes, decoder = ball()
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    assert isinstance(renderer.make_field(planes, decoder), fused.Field)
    assert isinstance(start_fit(planes, decoder, LossConfig()), FusedFit)
    assert isinstance(renderer.make_field(planes.double(), copy.deepcopy(decoder).double()), reference.Field)
    monkeypatch.setenv(LEVEL_VARIABLE, "off")
    assert isinstance(renderer.make_field(planes, decoder), reference.Field)
    assert isinstance(start_fit(planes, decoder, LossConfig()), PlaneFit)


# ---- fitting


def scene(samples: int, seed: int, materials: int = 0) -> Scene:
    """Random targets and, with materials, random maps of them."""
    generator = torch.Generator().manual_seed(seed)
    rays = views(8)
    rays = rays[rays.far > rays.near]
    occupancy = Occupancy(torch.rand(6, 6, 6, generator=generator) < 0.3)
    bins = marked(seed, samples, len(rays))
    bins[3] = False
    targets = torch.rand(len(rays), 4, generator=generator)
    shares = torch.rand(len(rays), materials, generator=generator) if materials else None
    return Scene(rays, targets, bins, occupancy, empty=empty_cells(occupancy), shares=shares)


def compare_fits(
    start: Tensor, decoder: Decoder, learned: bool, size: int, noisy: bool, loss: LossConfig, where: Scene, points: int
) -> None:
    """Loss, gradients and three steps of the fused fit against autograd."""
    generator = torch.Generator().manual_seed(5)
    batch = Batch.draw(where, 30, points, generator)
    noise = 0.1 * torch.randn(3, start.shape[1], size, size, generator=generator) if noisy else None
    materials = decoder.config.materials
    palette = torch.rand(materials, 3, generator=generator) if materials else None
    fits = []
    for kind in (PlaneFit, FusedFit):
        own = copy.deepcopy(decoder).requires_grad_(learned)
        fits.append(kind(start, LearnedDecoder(own, 1e-3) if learned else own, loss, palette))
    slow, fast = fits
    wanted, found = (fit.gradients(where, batch, size, noise) for fit in fits)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5, abs=1e-7)
    assert relative(found.planes, wanted.planes) < 1e-4
    if learned:
        assert relative(found.decoder, wanted.decoder) < 1e-4
    if materials:
        assert relative(found.palette, wanted.palette) < 1e-4
    for _ in range(3):
        losses = [fit.step(where, batch, size, 0.01, palette_learning_rate=0.1, noise=noise) for fit in fits]
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    # Adam divides by the gradient's size: where that is rounding alone, so is the step.
    assert relative(fast.planes - start, slow.planes - start) < 0.02
    if learned:
        assert relative(fast.learned.values, slow.learned.values) < 1e-3
    if materials:
        assert relative(fast.palette - palette, slow.palette - palette) < 0.02
        assert (fast.palette - palette).abs().max() > 0.05, "it moved"
        assert 0 <= fast.palette.min() <= fast.palette.max() <= 1


@every_level
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("learned", [False, True], ids=["frozen", "learned"])
def test_fits_of_the_presets_equal_autograd(
    level: str, preset: str, learned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    torch.manual_seed(7)
    decoder = make_decoder(**{**PRESETS[preset], "colours": 3})  # type: ignore[arg-type]
    start = torch.randn(3, decoder.config.channels, 9, 9)
    loss = LossConfig(sparse=1e-2, smooth=1e-2, compact=0.1, empty=0.2)
    where = scene(24, 1, decoder.config.materials)
    compare_fits(start, decoder, learned, 6, True, loss, where, points=50)


@every_level
@given(
    decoder=st.builds(
        make_decoder,
        channels=st.integers(1, 20),
        hidden=st.integers(1, 40),
        layers=st.integers(0, 2),
        frequencies=st.integers(0, 2),
        view=st.booleans(),
        softplus=st.booleans(),
        materials=st.integers(0, 14),
    ),
    learned=st.booleans(),
    known=st.booleans(),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    size=st.integers(2, 12),
    noisy=st.booleans(),
    weights=st.tuples(*[st.sampled_from([0.0, 0.05])] * 7),
    points=st.sampled_from([1, 17, 64]),
)
@anything
def test_any_fit_equals_autograd(
    level: str,
    decoder: Decoder,
    learned: bool,
    known: bool,
    height: int,
    width: int,
    size: int,
    noisy: bool,
    weights: tuple[float, ...],
    points: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planes need not be square, nor smaller than they are rendered; every regularizer may be off, and nobody need know
    the materials' shares."""
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    start = torch.randn(3, decoder.config.channels, height, width, generator=torch.Generator().manual_seed(points))
    names = ("sparse", "smooth", "compact", "empty", "shares", "residual", "shade")
    loss = LossConfig(**dict(zip(names, weights, strict=True)))  # type: ignore[arg-type]
    where = scene(12, 2, decoder.config.materials if known else 0)
    compare_fits(start, decoder, learned, size, noisy, loss, where, points)


def test_a_fit_without_empty_cells_or_visible_rays() -> None:
    decoder = make_decoder(5)
    full = Occupancy(torch.ones(4, 4, 4, dtype=torch.bool))
    rays = awkward_rays()
    bins = torch.zeros(len(rays), 8, dtype=torch.bool)
    where = Scene(rays, torch.rand(len(rays), 4), bins, full, empty_cells(full))
    start = torch.randn(3, 5, 6, 6)
    compare_fits(start, decoder, False, 6, False, LossConfig(), where, points=8)


def test_maps_of_other_materials_are_refused() -> None:
    decoder, where = make_decoder(5, materials=4), scene(12, 2, materials=3)
    batch = Batch.draw(where, 30, 10, torch.Generator().manual_seed(5))
    for kind in (PlaneFit, FusedFit):
        fit = kind(torch.randn(3, 5, 6, 6), decoder, LossConfig(), torch.rand(4, 3))
        with pytest.raises(ValueError, match="captures show 3 materials, the decoder has 4"):
            fit.step(where, batch, 6, 0.01)


@given(size=st.integers(1, 40), to=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_resize_tables_are_those_of_triplanes(size: int, to: int) -> None:
    planes = torch.randn(3, 2, size, size, generator=torch.Generator().manual_seed(size))
    table = Resize(size, to)
    matrix = torch.zeros(to, size)
    for row, (start, weights) in enumerate(zip(table.starts.tolist(), table.weights, strict=True)):
        assert 0 <= start <= size - len(weights)
        matrix[row, start : start + len(weights)] = weights
    wanted = triplane.resize(planes, to, to)
    torch.testing.assert_close(matrix @ planes @ matrix.t(), wanted, atol=1e-5, rtol=0)


def test_adam_is_torchs() -> None:
    """The reference's own few lines of Adam against torch's, over steps of changing size."""
    from rodin.fit.step import BETAS, EPSILON, Moments

    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    other = values.clone().requires_grad_()
    moments, optimizer = Moments(values), torch.optim.Adam([other], betas=BETAS, eps=EPSILON)
    for step in range(5):
        gradient = torch.randn(50, generator=torch.Generator().manual_seed(step)) * 10.0**-step
        rate = 0.1 / (1 + step)
        moments.move(values, gradient, rate)
        other.grad = gradient
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    torch.testing.assert_close(values, other.detach(), atol=1e-6, rtol=1e-5)
