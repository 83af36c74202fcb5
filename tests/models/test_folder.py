"""Contract of rodin.models.folder: a model folder has diffusers' layout and comes back as it was saved, whole or not at
all; a foreign, damaged or mixed folder is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rodin import checksums
from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.diffusion.sampling import Scheduler
from rodin.diffusion.schedule import noise_schedule
from rodin.errors import UserError
from rodin.models.folder import load_model, save_model
from rodin.models.index import INDEX_NAME, PRESET_NAME
from rodin.parts import save_component
from rodin.render.decoder import Decoder, DecoderConfig

pytestmark = pytest.mark.usefixtures("mended_checksums")

PARTS = ("base", "upsampler", "prior", "refiner", "statistics", "decoder", "encoder")


@pytest.fixture(scope="module")
def pipe(trained: Path) -> RodinPipeline:
    return RodinPipeline.from_pretrained(trained / "model")


def test_the_folder_has_diffusers_layout(trained: Path, pipe: RodinPipeline) -> None:
    model = trained / "model"
    index = json.loads((model / INDEX_NAME).read_text())
    assert index["schema"] == "rodin-model-2"
    assert index["model_hash"] == pipe.model_hash
    parts = set(index["parts"])
    assert parts == {*PARTS, "scheduler"}
    assert {path.name for path in model.iterdir()} == {*parts, INDEX_NAME, PRESET_NAME, checksums.NAME}
    assert {path.parent.name for path in model.glob("*/diffusion.json")} == {"base", "prior", "upsampler"}
    for part in parts - {"scheduler"}:
        assert {"config.json", "model.safetensors"} <= {path.name for path in (model / part).iterdir()}
    assert [path.name for path in (model / "scheduler").iterdir()] == ["scheduler_config.json"]
    assert not [path for path in model.rglob("*") if path.suffix in (".pt", ".bin", ".pkl")], "nothing is unpickled"


@pytest.mark.parametrize("sampler", ["dpm++", "ancestral"])
def test_round_trip_draws_the_identical_avatar(trained: Path, tmp_path: Path, sampler: Any) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    pipe.scheduler = Scheduler(pipe.diffusion, sampler)
    pipe.save_pretrained(tmp_path / "copy")
    again = RodinPipeline.from_pretrained(str(tmp_path / "copy"))
    assert again.scheduler.kind == sampler
    assert again.model_hash == pipe.model_hash
    assert (again.diffusion, again.prior_diffusion) == (pipe.diffusion, pipe.prior_diffusion)
    assert again.upsampler_diffusion == pipe.upsampler_diffusion
    one, other = (p("a ball", seed=9, sampling=Sampling(steps=4, upsampling_steps=2))[0] for p in (pipe, again))
    assert torch.equal(one.planes, other.planes)
    assert torch.equal(one.latent, other.latent)
    assert torch.equal(one.portrait(16, refine=True), other.portrait(16, refine=True))


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ancestral"])
def test_diffusers_reads_the_scheduler(trained: Path, tmp_path: Path, sampler: Any) -> None:
    import diffusers

    pipe = RodinPipeline.from_pretrained(trained / "model")
    pipe.scheduler = Scheduler(pipe.diffusion, sampler)
    pipe.save_pretrained(tmp_path / "copy")
    name = json.loads((tmp_path / "copy" / INDEX_NAME).read_text())["scheduler"][1]
    read = getattr(diffusers, name).from_pretrained(tmp_path / "copy" / "scheduler")
    assert (read.config.num_train_timesteps, read.config.prediction_type) == (1000, pipe.diffusion.prediction)
    wanted = (1 - noise_schedule(pipe.diffusion)).cumprod(0).float()
    torch.testing.assert_close(read.alphas_cumprod, wanted, atol=1e-6, rtol=1e-4)


def test_loading_reads_no_encoder(trained: Path) -> None:
    """Drawing from nothing needs neither CLIP nor transformers; that nothing needs diffusers, import-linter holds."""
    code = f"""
import sys
from rodin import RodinPipeline
from rodin.avatars.drawing import Sampling
pipe = RodinPipeline.from_pretrained({str(trained / "model")!r})
once = Sampling(steps=1, upsampling_steps=1)
pipe(sampling=once)
loaded = {{"transformers", "diffusers", "accelerate", "torchmetrics", "torch._dynamo", "sympy"}} & set(sys.modules)
assert not loaded, loaded
assert "encoder" not in vars(pipe)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_full_disk_leaves_no_model(pipe: RodinPipeline, tmp_path: Path, full_disk: Any) -> None:
    with full_disk(20_000), pytest.raises(UserError, match="not written"):
        pipe.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "model", tmp_path / "model"))


@pytest.mark.parametrize("name", [*PARTS, "scheduler", INDEX_NAME])
def test_a_missing_part_is_named(copy: Path, name: str) -> None:
    part = copy / name
    part.unlink() if part.is_file() else shutil.rmtree(part)
    with pytest.raises(UserError, match=rf"model/{name}.*: no such"):
        RodinPipeline.from_pretrained(copy)


@pytest.mark.parametrize("name", PARTS)
def test_cut_off_weights_are_named(copy: Path, name: str) -> None:
    path = copy / name / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=rf"model/{name}.*: not a whole"):
        RodinPipeline.from_pretrained(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "rodin-model-0"}, "schema is 'rodin-model-0', this version reads 'rodin-model-2'"),
        ({"schema": None}, "schema is None"),
        ({"scheduler": ["diffusers", "Fancy"]}, "scheduler 'Fancy' is not known; choose one of"),
        ({"scheduler": []}, r"scheduler .* is not known"),
        ({"scheduler": "x"}, "scheduler 'x' is not known"),
        ({"scheduler": None}, "scheduler 'None' is not known"),
    ],
)
def test_another_index_is_refused(copy: Path, change: dict[str, Any], message: str) -> None:
    path = copy / INDEX_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=f"model.*: .*({message})"):
        RodinPipeline.from_pretrained(copy)


def test_parts_of_two_models_are_refused(copy: Path) -> None:
    save_component(Decoder(DecoderConfig(channels=6)), copy / "decoder")
    with pytest.raises(UserError, match=r"decoder and base are not of one model .*; copy all parts of one"):
        RodinPipeline.from_pretrained(copy)


@pytest.mark.parametrize("content", ["[]", '"config"', "{", '{"num_train_timesteps": "many"}'])
def test_a_damaged_scheduler_is_named(copy: Path, content: str) -> None:
    (copy / "scheduler" / "scheduler_config.json").write_text(content)
    with pytest.raises(UserError, match="model/scheduler"):
        RodinPipeline.from_pretrained(copy)


def test_no_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such model folder; train one with: rodin train all DATA --run RUN"):
        RodinPipeline.from_pretrained(tmp_path / "none")


def test_the_index_lists_every_part(copy: Path) -> None:
    index = json.loads((copy / INDEX_NAME).read_text())
    assert index["parts"] == sorted(path.name for path in copy.iterdir() if path.is_dir())
    assert "words" in index["parts"] or not (copy / "words").exists()


def test_words_that_went_missing_are_named(copy: Path) -> None:
    """Without them prompts would be read by the encoder's text tower, silently."""
    index = json.loads((copy / INDEX_NAME).read_text())
    (copy / INDEX_NAME).write_text(json.dumps({**index, "parts": [*index["parts"], "words"]}))
    with pytest.raises(
        UserError, match=r"model/words: no such part, which model_index\.json names; copy the whole folder"
    ):
        load_model(copy)


def test_an_older_folder_still_loads(copy: Path) -> None:
    """Its index named the class of each part, and its refiner's config the features of the loss."""
    index = json.loads((copy / INDEX_NAME).read_text())
    del index["parts"]
    (copy / INDEX_NAME).write_text(json.dumps({**index, "refiner": ["rodin.refiner", "Refiner"]}))
    config = json.loads((copy / "refiner" / "config.json").read_text())
    (copy / "refiner" / "config.json").write_text(json.dumps({**config, "perceptual": "vgg16 sha256:0"}))
    (copy / "refiner" / "perceptual.json").unlink()
    model = load_model(copy)
    assert model.perceptual == {"upsampler": "encoder", "refiner": "vgg16 sha256:0"}
    save_model(model, copy.parent / "again")
    assert load_model(copy.parent / "again").perceptual == model.perceptual
