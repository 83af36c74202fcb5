"""Contract: one call measures a real model against subjects that it has never seen, and writes everything down.

The model is a tiny one, trained on balls by the command line; what it draws is poor, so the figures are held to what
must be true of any model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch

from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.data.subject_folders import list_subjects
from rodin.errors import UserError
from rodin.evaluate import floaters
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.evaluation import evaluate
from rodin.evaluate.looks import Looks
from rodin.evaluate.report import RESULTS_NAME
from rodin.files import read_json, write_json
from rodin.train.presets import load_preset

SETTINGS = EvaluationConfig(
    samples=4,
    views=2,
    image_size=24,
    captions=2,
    photos=2,
    fits=1,
    refine_steps=1,
    sampling=Sampling(guidance_scale=2.0, temperature=0.5, steps=4),
    reader_steps=2,
)


@pytest.fixture(autouse=True)
def _few_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever floats is looked for with a tenth of the rays."""
    monkeypatch.setattr(floaters, "PIXELS", 20)


@pytest.fixture(scope="module")
def pipe(trained: Path) -> RodinPipeline:
    return RodinPipeline.from_pretrained(trained / "model")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory, ball_maker: object) -> Path:
    """Two balls that are not among the training set's, with an attribute."""
    data = ball_maker(7)  # type: ignore[operator]
    held_out = tmp_path_factory.mktemp("unseen")
    for index in (5, 6):
        (data / f"ball{index}").rename(held_out / f"ball{index}")
    return held_out


def test_a_report_holds_every_figure_and_picture(
    pipe: RodinPipeline, balls: Path, unseen: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    fit = load_preset(str(tiny_preset)).fitting.planes
    out = tmp_path / "report"
    report = evaluate(pipe, unseen, balls, out, SETTINGS, fit, {"again": pipe}, [], tmp_path / "cache")
    page, figures = (out / "index.html").read_text(), json.loads((out / RESULTS_NAME).read_text())

    linked = re.findall(r'<img src="(.*?)"', page)
    assert linked == re.findall(r"\]\((.*?)\)", (out / "report.md").read_text())
    assert {path.name for path in out.iterdir()} == {*linked, "index.html", "report.md", RESULTS_NAME}
    for kind in ("sample", "row", "text", "portrait", "neighbours", "distances", "fit"):
        assert any(name.startswith(kind) for name in linked), kind

    assert figures == json.loads(json.dumps(report.figures))
    models = figures["models"]
    assert list(models) == ["this model", "no guidance", "again"]
    assert [models[name]["guidance_scale"] for name in models] == [2.0, 1.0, 2.0]
    assert {models[name]["temperature"] for name in models} == {0.5}
    without_name = [{**models[name]} for name in ("this model", "again")]
    assert without_name[0] == without_name[1]  # the same model measures the same
    assert models["no guidance"]["distances"] != models["this model"]["distances"]
    distances = models["this model"]["distances"]
    assert distances["to_training"]["count"] == 2
    assert distances["to_held_out"]["count"] == 2
    assert set(figures["fits"]) == {"ball5"}
    assert figures["fits"]["ball5"]["psnr"] > 15
    assert len(figures["neighbours"]["samples"]) == 4
    assert 0 <= figures["inversion"]["held_out_top1"] <= 1
    assert figures["refined_inversion"]["frontal_psnr"] > 0
    assert len(figures["floaters"]) == 4
    assert figures["diversity"] > 0
    assert list(figures["prompts"]) == ["captions"]
    assert figures["prompts"]["captions"]["mean"] is None  # the balls have no attributes

    measured = {one["figure"]: one for one in figures["summary"]}
    assert measured["the same, held against again"]["met"] is False  # no better than itself
    # Balls have no attributes and no materials; pictures of 24 pixels have few that are surely inside.
    missing = {name.split(",")[0].split(":")[0] for name, one in measured.items() if one["measured"] is None}
    assert {"attributes", "skin seen from behind on heads with hair"} <= missing
    assert missing <= {
        "attributes",
        "skin seen from behind on heads with hair",
        "streaks",
        "lattice of refined pictures",
        "the same of 4 x 4 phases",
    }
    assert set(figures["looks"]) == {field.name for field in fields(Looks)}
    assert figures["looks"]["known_psnr"] > 5
    for one in figures["summary"]:
        assert one["figure"] in page
    assert page.index("<h2>Summary</h2>") < page.index("<h2>Samples</h2>")
    for number in (f"{distances['to_training']['fid']:.1f}", f"{figures['neighbours']['ratio']:.2f}"):
        assert number in page
    assert figures["settings"].pop("sampling") == asdict(SETTINGS.sampling)
    for name, value in figures["settings"].items():
        assert f"<td>{name.replace('_', ' ')}</td><td>{value:g}</td>" in page


def test_what_cannot_be_evaluated_is_said_before_anything_is_drawn(
    pipe: RodinPipeline, balls: Path, unseen: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    fit = load_preset(str(tiny_preset)).fitting.planes
    out, cache = tmp_path / "report", tmp_path / "cache"
    with pytest.raises(UserError, match="is the training subject"):
        evaluate(pipe, balls, balls, out, SETTINGS, fit, {}, [], cache)
    with pytest.raises(UserError, match="--preset: fits planes of 99"):
        evaluate(pipe, unseen, balls, out, SETTINGS, replace(fit, plane_size=99), {}, [], cache)
    with pytest.raises(UserError, match="at least 4 are needed"):
        evaluate(pipe, balls, unseen, out, SETTINGS, fit, {}, [], cache)
    with pytest.raises(UserError, match="holds other files"):
        evaluate(pipe, unseen, balls, balls, SETTINGS, fit, {}, [], cache)
    with pytest.raises(UserError, match="this model reads prompts by its encoder's text tower"):
        evaluate(pipe, unseen, balls, out, replace(SETTINGS, sentences=True), fit, {}, [], cache)
    with pytest.raises(UserError, match="cannot be read"):
        evaluate(pipe, unseen, balls, out, SETTINGS, fit, {}, [tmp_path / "none.jsonl"], cache)
    assert not out.exists()
    assert not cache.exists()


def test_prompts_are_drawn_and_read(
    pipe: RodinPipeline, unseen: Path, ball_maker: Callable[[int], Path], tiny_preset: Path, tmp_path: Path
) -> None:
    """The second evaluation finds what the first learned."""
    data = ball_maker(4)
    for index, folder in enumerate(list_subjects(data)):
        document = read_json(folder / "transforms.json")
        write_json(folder / "transforms.json", {**document, "attributes": {"half": ["left", "right"][index % 2]}})
    prompts = tmp_path / "some.jsonl"
    prompts.write_text('{"text": "a ball", "attributes": {"half": "left"}}\n{"text": "two", "attributes": {}}\n')
    fit, cache = load_preset(str(tiny_preset)).fitting.planes, tmp_path / "cache"
    settings = replace(SETTINGS, samples=2, fits=0, refine_steps=0, sampling=Sampling(guidance_scale=1.0))
    report = evaluate(pipe, unseen, data, tmp_path / "report", settings, fit, {}, [prompts], cache)
    read = report.figures["prompts"]["some"]
    assert read["attributes"]["half"]["count"] == 1
    assert read["mean"] == read["worst"] == read["attributes"]["half"]["right"]
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns
    again = evaluate(pipe, unseen, data, tmp_path / "report", settings, fit, {}, [prompts], cache)
    assert again.figures["prompts"] == report.figures["prompts"]
    assert again.figures["floaters"] == report.figures["floaters"]
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [written]
    kept.write_bytes(kept.read_bytes()[:-9])
    with pytest.raises(UserError, match="damaged file of the cache"):
        evaluate(pipe, unseen, data, tmp_path / "report", settings, fit, {}, [prompts], cache)


def test_a_single_step_is_drawn_in_one(trained: Path, balls: Path) -> None:
    from rodin.diffusion.config import DiffusionConfig
    from rodin.diffusion.sampling import Scheduler
    from rodin.evaluate.evaluation import variant

    pipe = RodinPipeline.from_pretrained(trained / "model")
    pipe.diffusion = DiffusionConfig(prediction="sample", train_steps=1)
    pipe.scheduler = Scheduler(pipe.diffusion, "dpm++")
    one = variant("autoencoder", pipe, SETTINGS.sampling)
    assert (one.sampling.steps, one.sampling.guidance_scale, one.sampling.temperature) == (1, 1.0, 1.0)
    avatars = [*one.draw(2, seed=0), *one.invert(torch.rand(1, 20, 20, 4), seed=0, refine=2)]
    assert all(torch.isfinite(avatar.planes).all() for avatar in avatars)
