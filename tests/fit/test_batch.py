"""Contract: a step of many subjects is the step of each by itself, in loss and gradients; who else is in a batch does
not change a subject; `fit_on_device` leaves what the parallel processes leave, and goes on where it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rodin import triplane
from rodin.data.captures import load_subject
from rodin.data.shards import write_subject
from rodin.errors import UserError
from rodin.fan_out import Pool
from rodin.fit import task
from rodin.fit.batch import BatchFit, Crowd, Draws, fit_planes_batch, look_up, objective
from rodin.fit.config import FittingConfig
from rodin.fit.decoder import shared_decoder
from rodin.fit.losses import Batch, LossConfig
from rodin.fit.planes import FitConfig
from rodin.fit.run_folder import read_start
from rodin.fit.scene import Scene, empty_cells, prepare
from rodin.fit.shared import SharedConfig
from rodin.fit.step import PlaneFit
from rodin.fit.subject import fit_subject
from rodin.fit.subjects import fit_dataset
from rodin.fit.task import fit_on_device
from rodin.parts import module_hash
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import Occupancy

CPU = torch.device("cpu")
PLANES = FitConfig(plane_size=16, image_size=24, samples=24, steps=60, rays=256, learning_rate=0.15, held_out=3)


@pytest.fixture(scope="module")
def scenes(balls: Path) -> list[Scene]:
    """Three balls; the last one's cells are all occupied."""
    first, second, third = (prepare(load_subject(balls / f"ball{k}"), 24, 3)[0] for k in range(3))
    full = Occupancy(torch.ones_like(third.occupancy.grid))
    return [first, second, dataclasses.replace(third, occupancy=full, empty=empty_cells(full))]


def some_decoder(**settings: object) -> Decoder:
    torch.manual_seed(3)
    decoder = Decoder(DecoderConfig(channels=4, hidden=16, density_shift=-1.0, **settings))  # type: ignore[arg-type]
    if decoder.direction is not None:
        torch.nn.init.normal_(decoder.direction.weight)
    return decoder.requires_grad_(False)


def test_look_up_is_that_of_one_subject_in_value_and_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(2, 3, 5, 6, 9, generator=generator, dtype=torch.float64, requires_grad=True)  # not square
    points = torch.rand(60, 3, generator=generator, dtype=torch.float64) * 2.4 - 1.2  # outside too
    subject = torch.arange(60) % 2
    found = look_up(planes, points, subject)
    true = torch.stack([triplane.sample(planes[s], point[None])[0] for s, point in zip(subject, points, strict=True)])
    torch.testing.assert_close(found, true, atol=1e-12, rtol=0)
    factors = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    (one,), (other,) = (torch.autograd.grad((value * factors).sum(), planes) for value in (found, true))
    torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("settings", "loss", "size"),
    [
        ({}, LossConfig(), 16),
        ({}, LossConfig(sparse=0.1, smooth=0.1, compact=0.1, empty=0.5, empty_points=200), 11),
        ({"frequencies": 2, "view_direction": False}, LossConfig(sparse=0, smooth=0, compact=0, empty=0), 9),
        ({"materials": 3}, LossConfig(shares=0.4, residual=0.3, shade=0.2), 13),
    ],
)
def test_a_step_is_each_subjects_own(
    scenes: list[Scene], settings: dict[str, object], loss: LossConfig, size: int
) -> None:
    decoder = some_decoder(**settings)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 3, 4, 16, 16, generator=generator)
    palettes: Tensor | None = None
    if materials := decoder.config.materials:
        palettes = torch.rand(3, materials, 3, generator=generator)
        scenes = [
            dataclasses.replace(scene, shares=torch.rand(len(scene.rays), materials, generator=generator))
            for scene in scenes
        ]
    batches = [Batch.draw(scene, 100, loss.empty_points, generator) for scene in scenes]
    crowd = Crowd(scenes, CPU)
    together = BatchFit(start, decoder, loss, palettes)
    value, gradient, of_palettes = together.gradients(crowd, draws_of(crowd, batches, loss.empty_points), size)
    begun = [None] * 3 if palettes is None else palettes
    alone = [PlaneFit(one, decoder, loss, palette) for one, palette in zip(start, begun, strict=True)]
    results = [fit.gradients(*each, size) for fit, each in zip(alone, zip(scenes, batches, strict=True), strict=True)]
    assert value.item() == pytest.approx(sum(result[0] for result in results), rel=1e-5)
    for mine, true in zip(gradient, results, strict=True):
        assert (mine - true.planes).norm() <= 1e-4 * true.planes.norm()
    if of_palettes is not None:
        torch.testing.assert_close(of_palettes, torch.stack([true.palette for true in results]), atol=1e-7, rtol=1e-4)
    together.step(crowd, draws_of(crowd, batches, loss.empty_points), size, 0.1, palette_learning_rate=0.05)
    for mine, fit, scene, batch in zip(together.planes, alone, scenes, batches, strict=True):
        fit.step(scene, batch, size, 0.1, palette_learning_rate=0.05)
        # Adam's first step has everywhere the same length; gradients near 0 may leave its direction to rounding.
        assert ((mine - fit.planes).abs() > 1e-3).float().mean() < 1e-3
    if together.palettes is not None:
        moved = torch.stack([fit.palette for fit in alone if fit.palette is not None])
        torch.testing.assert_close(together.palettes, moved, atol=1e-3, rtol=0)


def test_captures_with_and_without_maps_are_not_fitted_together(scenes: list[Scene]) -> None:
    known = dataclasses.replace(scenes[0], shares=torch.rand(len(scenes[0].rays), 2))
    with pytest.raises(ValueError, match="some captures have maps of their materials, others have none"):
        Crowd([known, *scenes[1:]], CPU)


def draws_of(crowd: Crowd, batches: list[Batch], points: int) -> Draws:
    """The draws of separate fits as those of one."""
    rays = torch.stack([own.start + batch.ray for own, batch in zip(crowd.spans.slices, batches, strict=True)])
    jitter = torch.stack([batch.jitter for batch in batches])
    empty = [len(batch.outside) == 0 for batch in batches]
    outside = [torch.zeros(points, 3) if none else b.outside for none, b in zip(empty, batches, strict=True)]
    return Draws(rays, jitter, torch.stack(outside), torch.tensor([float(not none) for none in empty]))


def test_draws_stay_with_their_subject(scenes: list[Scene]) -> None:
    crowd = Crowd(scenes, CPU)
    draws = Draws.draw(crowd, 2000, 500, torch.Generator().manual_seed(0))
    for own, scene, ray, jitter in zip(crowd.spans.slices, scenes, draws.ray, draws.jitter, strict=True):
        assert own.start <= ray.min() < own.start + 40
        assert own.stop - 40 < ray.max() < own.stop
        assert torch.equal(crowd.rays[own].origins, scene.rays.origins)
        assert 0 <= jitter.min() < 0.01
        assert 0.99 < jitter.max() < 1
    assert draws.weight.tolist() == [1, 1, 0]
    for scene, outside in zip(scenes[:2], draws.outside, strict=False):
        assert not scene.occupancy.contains(outside).any()
        assert outside.std(dim=0).min() > 0.4, "anywhere in those cells"
    full = Draws.draw(Crowd(scenes[2:], CPU), 10, 20, torch.Generator().manual_seed(0))
    assert full.outside.shape == (1, 20, 3)
    assert full.weight.tolist() == [0]


def test_company_does_not_change_a_subject(scenes: list[Scene]) -> None:
    decoder, config = some_decoder(), dataclasses.replace(PLANES, steps=9)
    start = 0.1 * torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    together = fit_planes_batch(scenes, decoder, start, config, 0, CPU)
    (alone,) = fit_planes_batch(scenes[1:2], decoder, start, config, 0, CPU)
    assert (alone.planes - start).abs().mean() > 0.1, "it moved"
    # Where a gradient is near 0, rounding decides which way Adam goes.
    assert ((together[1].planes - alone.planes).abs() > 1e-3).float().mean() < 5e-3


def test_the_objective_is_one_graph_for_all_sizes(scenes: list[Scene]) -> None:
    """Both passes of it, as `torch.compile` wants them; the compiler's own back-end is left to the GPU's machine."""
    torch._dynamo.reset()
    decoder, crowd = some_decoder(), Crowd(scenes, CPU)
    start = torch.randn(3, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    plain, graphed = (BatchFit(start, decoder, LossConfig()) for _ in range(2))
    assert plain.objective is objective, "nothing is compiled on a CPU"
    graphed.objective = torch.compile(objective, dynamic=True, fullgraph=True, backend="aot_eager")
    for size, rays, stance in ((11, 60, "default"), (9, 33, "fail_on_recompile")):
        draws = Draws.draw(crowd, rays, 100, torch.Generator().manual_seed(size))
        with torch.compiler.set_stance(stance):
            mine = graphed.gradients(crowd, draws, size)
        torch.testing.assert_close(mine, plain.gradients(crowd, draws, size), atol=1e-6, rtol=1e-4)


def test_a_run_fitted_in_batches_is_whole_and_resumes(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "RAYS_AT_ONCE", 2 * PLANES.rays)
    config = FittingConfig(
        decoder=DecoderConfig(channels=4, hidden=16),
        shared=SharedConfig(subjects=3, common_steps=30, steps=60),
        planes=PLANES,
    )
    folders = sorted(balls.iterdir())
    decoder = shared_decoder(folders, tmp_path, config, 0)
    fits = tmp_path / f"fits-{module_hash(decoder)[:12]}"
    todo = [(folder, fits / f"{folder.name}.safetensors") for folder in folders]
    fit_on_device(todo[:3], tmp_path, PLANES, 2, 0, CPU)
    stamps = [path.stat().st_mtime_ns for _, path in todo[:3]]
    folder, path = todo[3]
    last = load_subject(folder, PLANES.image_size)
    write_subject(path, fit_subject(last, decoder, read_start(tmp_path), PLANES, 0))  # as a parallel process does
    subjects = fit_dataset(balls, tmp_path, config, Pool(workers=1), seed=0)
    assert [path.stat().st_mtime_ns for _, path in todo[:3]] == stamps
    assert [subject.name for subject in subjects] == [folder.name for folder in folders]
    psnr = [subject.psnr for subject in subjects]
    assert min(psnr[:3]) > 22
    assert abs(sum(psnr[:3]) / 3 - psnr[3]) < 4, "as good as by itself"


def test_a_gpu_that_is_not_there_is_refused_before_any_work(balls: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    config = FittingConfig(decoder=DecoderConfig(channels=4), shared=SharedConfig(), planes=PLANES)
    with pytest.raises(UserError, match="--device: cuda, but PyTorch finds no such device"):
        fit_dataset(balls, tmp_path / "run", config, Pool(workers=1), seed=0, device="cuda")
    assert not (tmp_path / "run").exists()


def test_one_tensor_of_planes_a_subject(scenes: list[Scene]) -> None:
    start = torch.zeros(3, 4, 16, 16)
    fit = BatchFit(start.expand(2, -1, -1, -1, -1), some_decoder(), LossConfig())
    values: Tensor = fit.planes
    values[0] = 1
    assert (values[1] == 0).all()
    assert (start == 0).all()
