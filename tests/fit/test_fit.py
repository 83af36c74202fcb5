"""Contract: the hull bounds matter; a fit meets views it never saw, un-culled; random rescaling keeps halved planes
good; a finished set is standardised. That a killed fit goes on to the same planes, whatever the number of workers, is
held in tests/cli/test_main.py."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from rodin import triplane
from rodin.data.captures import load_subject
from rodin.data.shards import read_shards, read_subject
from rodin.data.subject_folders import list_subjects
from rodin.errors import UserError
from rodin.fan_out import Pool
from rodin.fit.config import FittingConfig
from rodin.fit.decoder import adopt_decoder, shared_decoder
from rodin.fit.hull import visual_hull
from rodin.fit.measure import judge
from rodin.fit.planes import FitConfig, fit_planes, learning_rate_at, random_size
from rodin.fit.run_folder import read_start
from rodin.fit.scene import prepare
from rodin.fit.shared import SharedConfig, learn_decoder
from rodin.fit.subjects import fit_dataset, quality_table
from rodin.fit.worlds import place_subjects, run_placements
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig, load_statistics
from rodin.parts import load_component, module_hash, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import grid_points
from rodin.train.presets import load_preset

pytestmark = pytest.mark.usefixtures("mended_checksums")

PLANES = FitConfig(plane_size=16, image_size=24, samples=32, steps=150, rays=384, learning_rate=0.15, held_out=3)
CONFIG = FittingConfig(
    decoder=DecoderConfig(channels=4, hidden=16),
    shared=SharedConfig(subjects=3, common_steps=40, steps=80),
    planes=PLANES,
    per_shard=2,
)


def test_the_hull_holds_the_ball_and_little_more(balls: Path) -> None:
    subject = load_subject(balls / "ball0")
    hull = visual_hull(subject.images, subject.camera, cells=32)
    radius = float(subject.caption.split()[4].rstrip(","))
    points = grid_points(65, subject.images).reshape(-1, 3)
    # The ball's middle, from the views: the mean of the hull itself.
    centre = ((hull.grid.nonzero() + 0.5) * (2 / 32) - 1).mean(dim=0)
    distance = (points - centre).norm(dim=-1)
    inside = hull.contains(points)
    assert inside[distance < radius - 0.05].all()
    assert not inside[distance > radius + 0.30].any()


def test_random_sizes_cover_their_range_and_no_other() -> None:
    generator = torch.Generator().manual_seed(0)
    config = FitConfig(plane_size=32, image_size=32, rescale=0.5)
    sizes = [random_size(config, generator) for _ in range(2000)]
    assert min(sizes) == 16
    assert max(sizes) == 32
    assert 0.45 < sum(size == 32 for size in sizes) / 2000 < 0.58
    assert all(random_size(dataclasses.replace(config, rescale=0.0), generator) == 32 for _ in range(50))


def test_learning_rate_falls_to_a_tenth() -> None:
    assert learning_rate_at(0.0) == learning_rate_at(0.49) == 1.0
    assert learning_rate_at(1.0) == pytest.approx(0.1)


def test_a_fit_meets_unseen_views_and_survives_halving(balls: Path) -> None:
    prepared = [prepare(load_subject(balls / f"ball{k}"), 32, 3) for k in range(4)]
    scenes = [scene for scene, _ in prepared]
    losses: list[float] = []
    decoder, start, palettes = learn_decoder(scenes[:3], CONFIG.decoder, CONFIG.shared, PLANES, 0, losses.append)
    assert palettes is None
    assert len(losses) == 120
    assert sum(losses[-20:]) < sum(losses[:20]) / 3
    assert not any(p.requires_grad for p in decoder.parameters())
    planes = fit_planes(scenes[3], decoder, start, PLANES, 0).planes
    before, _ = judge(start, decoder, prepared[3][1])
    psnr, ssim = judge(planes, decoder, prepared[3][1])
    assert psnr > max(23, before + 3), f"{psnr:.1f} dB, start {before:.1f} dB"
    assert ssim > 0.8
    halved, _ = judge(triplane.resize(planes, 8, 8), decoder, prepared[3][1])
    assert halved > psnr - 4
    again = fit_planes(scenes[3], decoder, start, PLANES, 0).planes
    assert torch.equal(planes, again), "same seed, same planes"


def test_a_finished_set_is_whole_and_of_mean_0_and_deviation_1(
    balls: Path, trained: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    """From fits that are there already, and stay: those that the tests share."""
    config = dataclasses.replace(load_preset(str(tiny_preset)).fitting, per_shard=2)
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run / "planes")
    fits = next(run.glob("fits-*"))
    stamps = {path: path.stat().st_mtime_ns for path in fits.iterdir()}
    subjects = fit_dataset(balls, run, config, Pool(workers=2), seed=0)
    assert {path: path.stat().st_mtime_ns for path in fits.iterdir()} == stamps
    stored = list(read_shards(run / "planes"))
    assert [subject.name for subject in stored] == ["ball0", "ball1", "ball2", "ball3"]
    for one, told in zip(stored, subjects, strict=True):
        fitted = read_subject(fits / f"{one.name}.safetensors")
        assert torch.equal(one.planes, fitted.planes)
        assert (told.name, told.psnr, told.ssim) == (one.name, one.psnr, one.ssim)
    statistics = load_statistics(run / "planes")
    residual = torch.stack(
        [(subject.planes - statistics.mean_planes) / statistics.std[:, None, None] for subject in stored]
    )
    torch.testing.assert_close(residual.mean(dim=0), torch.zeros_like(residual[0]), atol=1e-2, rtol=0)
    torch.testing.assert_close(residual.std(dim=(0, 1, 3, 4), correction=0), torch.ones(4), atol=1e-2, rtol=0)
    assert "4 subjects" in next(quality_table(stored))


def test_another_decoder_is_refused(balls: Path, tmp_path: Path) -> None:
    quick = dataclasses.replace(CONFIG, shared=SharedConfig(subjects=1, common_steps=1, steps=1))
    shared_decoder(list_subjects(balls), tmp_path, quick, seed=0)
    other = dataclasses.replace(quick, decoder=DecoderConfig(channels=6))
    with pytest.raises(UserError, match=r"decoder: holds .*channels=4.* asked for .*channels=6.* another --run"):
        fit_dataset(balls, tmp_path, other, Pool(workers=1), seed=0)


def test_a_models_decoder_is_taken_over_and_never_mixed_with_another(tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    decoder = Decoder(DecoderConfig(channels=4, hidden=16))
    statistics = PlaneStatistics(PlaneStatisticsConfig(channels=4, height=8, width=8, clip=5.0))
    statistics.mean_planes.normal_()
    save_component(decoder, model / "decoder")
    save_component(statistics, model / "statistics")
    run.mkdir()
    for _ in range(2):  # the second time it is there already
        adopt_decoder(model, run)
        assert module_hash(load_component(Decoder, DecoderConfig, run / "decoder")) == module_hash(decoder)
    assert torch.equal(read_start(run), statistics.mean_planes)
    shutil.rmtree(model / "decoder")
    save_component(Decoder(DecoderConfig(channels=4, hidden=16)), model / "decoder")
    with pytest.raises(UserError, match="another decoder than that of"):
        adopt_decoder(model, run)


def test_a_subject_without_matter_is_named(ball_maker, tmp_path: Path) -> None:
    from PIL import Image

    data = ball_maker(1, views=8)
    for path in (data / "ball0").glob("*.png"):
        Image.new("RGBA", (24, 24)).save(path)
    with pytest.raises(UserError, match="ball0: no view sees matter"):
        fit_dataset(data, tmp_path, CONFIG, Pool(workers=1), seed=0)


def test_the_folder_that_one_stands_in_is_a_subject_with_a_name(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(balls / "ball0")
    monkeypatch.setattr("rodin.fit.subjects.LEAST_PSNR", 0.0)
    quick = dataclasses.replace(
        CONFIG, planes=dataclasses.replace(PLANES, steps=8), shared=SharedConfig(subjects=1, common_steps=2, steps=2)
    )
    (fitted,) = fit_dataset(Path("."), tmp_path, quick, Pool(workers=1), seed=0)
    assert fitted.name == "ball0"
    assert [path.name for path in tmp_path.glob("fits-*/*")] == ["ball0.safetensors"]


def test_a_failed_fit_is_named_and_left_out(
    balls: Path,
    trained: Path,
    tiny_preset: Path,
    tmp_path: Path,
    works_here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One whose pictures are opaque, among good ones; mended, it is fitted by the same command."""
    from PIL import Image

    data = Path(shutil.copytree(balls, tmp_path / "data"))
    pictures = sorted((data / "ball1").glob("[0-9][0-9][0-9].png"))
    whole = {path: path.read_bytes() for path in pictures}
    for path in pictures:
        with Image.open(path) as picture:
            black = Image.new("RGBA", picture.size, "black")
            Image.alpha_composite(black, picture.convert("RGBA")).convert("RGB").save(path)
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run / "planes")
    for path in run.glob("fits-*/ball1.safetensors"):
        path.unlink()
    config = load_preset(str(tiny_preset)).fitting
    found = fit_dataset(data, run, config, Pool(workers=1), seed=0)
    said = capsys.readouterr().out
    assert [subject.name for subject in found] == ["ball0", "ball2", "ball3"]
    assert "ball1: all pictures are opaque" in said
    assert "1 of 4 fits have failed and are left out, below 20 dB on held-out views: ball1" in said
    assert [subject.name for subject in read_shards(run / "planes")] == ["ball0", "ball2", "ball3"]
    for path, content in whole.items():
        path.write_bytes(content)
    assert len(fit_dataset(data, run, config, Pool(workers=1), seed=0)) == 4
    monkeypatch.setattr("rodin.fit.subjects.LEAST_PSNR", 99.0)
    with pytest.raises(UserError, match=r"every fit has failed, below 99 dB .*; mend the captures, and give another"):
        fit_dataset(data, run, config, Pool(workers=1), seed=0)


def test_a_runs_world_is_noted_once(balls: Path, tmp_path: Path) -> None:
    folders = list_subjects(balls)
    place_subjects(folders[:2], tmp_path, None, None)
    assert run_placements(tmp_path) == {}
    place_subjects(folders[:2], tmp_path, "y", "auto")
    noted = run_placements(tmp_path)
    assert set(noted) == {"ball0", "ball1"}
    place_subjects(folders, tmp_path, None, None)
    assert noted.items() < run_placements(tmp_path).items(), "new subjects are placed alike"
    with pytest.raises(UserError, match=r"worlds\.json: the run fits with --up y, --scale auto; give the same"):
        place_subjects(folders, tmp_path, "z", "auto")
