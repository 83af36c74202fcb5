"""Contract of rodin.pipeline: a model folder has diffusers' layout and comes back as it was saved; an avatar depends on
its seed and condition alone; portraits are read alike from tensor, picture and file; a foreign or damaged folder is
refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from rodin.avatar import Avatar
from rodin.diffusion import make_scheduler
from rodin.errors import UserError
from rodin.pipeline import INDEX_NAME, RodinPipeline, square_portrait

STEPS = 4


@pytest.fixture(scope="module")
def pipe(trained: Path) -> RodinPipeline:
    return RodinPipeline.from_pretrained(trained / "model")


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """[20, 20, 4]: colours everywhere, hidden around a disc."""
    image = torch.rand(20, 20, 4, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(20.0) - 9.5
    image[..., 3] = (rows[:, None] ** 2 + rows**2 < 64).float()
    return (image * 255).round() / 255


def draw(pipe: RodinPipeline, **options: Any) -> list[Avatar]:
    return pipe(num_inference_steps=STEPS, **options)


def close(one: Avatar, other: Avatar) -> bool:
    return torch.allclose(one.planes, other.planes, atol=1e-3 * float(other.planes.abs().max()), rtol=0)


# ---- drawing


def test_nothing_given_is_one_avatar(pipe: RodinPipeline) -> None:
    avatars = pipe()
    assert len(avatars) == 1
    avatar = avatars[0]
    assert isinstance(avatar, Avatar)
    assert avatar.planes.shape == (3, 4, 16, 16)
    assert avatar.seed == 0
    assert avatar.model_hash == pipe.model_hash
    assert not avatar.latent.any()


def test_a_seed_is_an_avatar_whatever_is_drawn_beside_it(pipe: RodinPipeline) -> None:
    three = draw(pipe, count=3, seed=3)
    alone = draw(pipe, count=1, seed=5)[0]
    assert [avatar.seed for avatar in three] == [3, 4, 5]
    torch.testing.assert_close(three[2].planes, alone.planes, atol=1e-3, rtol=1e-3)  # planes are fp16
    assert torch.equal(draw(pipe, count=1, seed=5)[0].planes, alone.planes)
    assert not close(three[0], three[1])


def test_batches_change_nothing(pipe: RodinPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(pipe, count=3)
    monkeypatch.setattr("rodin.pipeline.BATCH", 2)
    for one, other in zip(whole, draw(pipe, count=3), strict=True):
        assert close(one, other)


def test_generators_replace_seeds(pipe: RodinPipeline) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 3)]
    five, three = draw(pipe, count=2, generator=generators)
    assert (five.seed, three.seed) == (5, 3)
    assert close(five, draw(pipe, seed=5)[0])
    assert close(three, draw(pipe, seed=3)[0])


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ancestral"])
def test_every_sampler_draws(pipe: RodinPipeline, sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "scheduler", make_scheduler(pipe.diffusion, sampler))
    one, again = (draw(pipe, seed=1)[0].planes for _ in range(2))
    assert torch.isfinite(one).all()
    assert torch.equal(one, again)


class Counting(torch.nn.Module):
    """The base network, counting the batches it is called with."""

    def __init__(self, base: torch.nn.Module) -> None:
        super().__init__()
        self.base = base
        self.config = base.config
        self.batches: list[int] = []

    def forward(self, x: Tensor, t: Tensor, z: Tensor | None, low_res: Tensor | None) -> Tensor:
        self.batches.append(len(x))
        return self.base(x, t, z, low_res)


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({"guidance_scale": 1.0, "image": True}, [2] * STEPS),
        ({"guidance_scale": 2.0, "image": True}, [4] * STEPS),
        ({"guidance_scale": 2.0}, [2] * STEPS),  # without a condition there is nothing to be guided by
    ],
)
def test_guidance_costs_a_second_pass(
    pipe: RodinPipeline, portrait: Tensor, monkeypatch: pytest.MonkeyPatch, options: dict, batches: list[int]
) -> None:
    counting = Counting(pipe.base)
    monkeypatch.setattr(pipe, "base", counting)
    if options.pop("image", False):
        options["image"] = portrait
    draw(pipe, count=2, **options)
    assert counting.batches == batches


def test_guidance_and_portrait_change_the_avatar(pipe: RodinPipeline, portrait: Tensor) -> None:
    free = draw(pipe)[0].planes
    followed, exaggerated = (draw(pipe, image=portrait, guidance_scale=g)[0].planes for g in (1.0, 4.0))
    assert not torch.equal(free, followed)
    assert not torch.equal(followed, exaggerated)


def test_the_callback_sees_every_step(pipe: RodinPipeline) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    draw(pipe, count=2, callback_on_step_end=lambda step, x: seen.append((step, tuple(x.shape))))
    assert seen == [(step, (2, 3, 4, 16, 16)) for step in range(STEPS)]


def test_an_avatar_outlives_its_pipeline(trained: Path) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    avatar = draw(pipe)[0]
    before = avatar.portrait(16)
    torch.nn.init.zeros_(pipe.decoder.density.weight)
    avatar.__dict__.pop("occupancy")
    assert torch.equal(avatar.portrait(16), before)


def test_the_pipeline_moves_as_a_whole(trained: Path) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    assert pipe.device == torch.device("cpu")
    assert pipe.to("meta") is pipe
    parts = (pipe.encoder, pipe.base, pipe.statistics, pipe.decoder)
    assert {str(value.device) for part in parts for value in part.state_dict().values()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_avatar(trained: Path, pipe: RodinPipeline, portrait: Tensor) -> None:
    there = draw(RodinPipeline.from_pretrained(trained / "model").to("cuda"), image=portrait, count=2)
    here = draw(pipe, image=portrait, count=2)
    for one, other in zip(there, here, strict=True):
        torch.testing.assert_close(one.planes, other.planes, atol=0.02, rtol=0.02)
        torch.testing.assert_close(one.portrait(16), other.portrait(16), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: 0 avatars; choose 1 or more"),
        ({"guidance_scale": 0.0}, "guidance_scale: 0.0; choose a number above 0"),
        ({"guidance_scale": float("nan")}, "guidance_scale: nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale: inf"),
        ({"seed": -1}, "seed: -1; choose 0 or more"),
        ({"seed": 2**64}, "seed: 18446744073709551616; choose 0 or more, below"),
        ({"generator": []}, "generator: 0 of them for 1 avatars; give one each"),
        ({"num_inference_steps": 0}, "num_inference_steps: steps must be 1 to 1000"),
        ({"num_inference_steps": 1001}, "num_inference_steps: steps must be 1 to 1000"),
        ({"image": torch.zeros(4, 4)}, r"image: expected \[H, W, 3 or 4\] floats in \[0, 1\], got \[4, 4\]"),
        ({"image": torch.zeros(4, 4, 3, dtype=torch.uint8)}, "image: expected .* got .* torch.uint8"),
        ({"image": torch.zeros(0, 4, 3)}, "image: expected"),
        ({"image": torch.full((4, 4, 3), torch.nan)}, "image: expected"),
    ],
)
def test_impossible_arguments_are_named(pipe: RodinPipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        pipe(**options)


# ---- portraits


def test_what_alpha_hides_never_matters(pipe: RodinPipeline, portrait: Tensor) -> None:
    other = portrait.clone()
    hidden = portrait[..., 3] == 0
    other[..., :3][hidden] = torch.rand(int(hidden.sum()), 3)
    assert torch.equal(pipe.encode_portrait(portrait), pipe.encode_portrait(other))
    seen = portrait.clone()
    seen[..., :3][~hidden] = 1 - seen[..., :3][~hidden]
    assert not torch.allclose(pipe.encode_portrait(portrait), pipe.encode_portrait(seen))


def test_tensor_picture_and_file_agree(pipe: RodinPipeline, portrait: Tensor, tmp_path: Path) -> None:
    picture = Image.fromarray((portrait * 255).round().byte().numpy())
    picture.save(tmp_path / "portrait.png")
    latent = pipe.encode_portrait(portrait)
    assert float(latent.norm()) == pytest.approx(1, abs=1e-4)
    for other in (picture, tmp_path / "portrait.png", str(tmp_path / "portrait.png")):
        torch.testing.assert_close(pipe.encode_portrait(other), latent, atol=1e-5, rtol=0)
    avatar = draw(pipe, image=picture)[0]
    assert torch.equal(avatar.latent, latent)
    assert close(avatar, draw(pipe, image=portrait)[0])


def test_rgb_counts_as_opaque(pipe: RodinPipeline, portrait: Tensor) -> None:
    opaque = torch.cat([portrait[..., :3], torch.ones(20, 20, 1)], dim=-1)
    torch.testing.assert_close(pipe.encode_portrait(portrait[..., :3]), pipe.encode_portrait(opaque))
    picture = Image.fromarray((portrait[..., :3] * 255).round().byte().numpy())
    assert picture.mode == "RGB"
    torch.testing.assert_close(square_portrait(picture), opaque)


def test_pictures_are_cropped_square() -> None:
    """The middle of a wide picture, the upper part of a tall one."""
    wide = torch.rand(4, 10, 4)
    assert torch.equal(square_portrait(wide), wide[:, 3:7])
    tall = torch.rand(10, 4, 4)
    assert torch.equal(square_portrait(tall), tall[:4])


@pytest.mark.parametrize("number", range(1, 9))
def test_photographs_are_turned_upright(tmp_path: Path, number: int) -> None:
    """Phones store how they were held (EXIF); Pillow's own turning is the reference."""
    values = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    Image.fromarray(values).save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as photo:
        expected = square_portrait(ImageOps.exif_transpose(photo))
        torch.testing.assert_close(square_portrait(photo), expected)
    torch.testing.assert_close(square_portrait(tmp_path / "photo.png"), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1", "RGBA"])
def test_any_picture_will_do(mode: str) -> None:
    picture = Image.fromarray(np.full((5, 6, 4), 255, dtype=np.uint8)).convert("RGB").convert(mode)
    torch.testing.assert_close(square_portrait(picture), torch.ones(5, 5, 4))


# ---- the folder


def test_the_folder_has_diffusers_layout(trained: Path, pipe: RodinPipeline) -> None:
    model = trained / "model"
    index = json.loads((model / INDEX_NAME).read_text())
    assert index["_class_name"] == "RodinPipeline"
    assert index["schema"] == "rodin-model-1"
    assert index["model_hash"] == pipe.model_hash
    parts = {name for name, value in index.items() if isinstance(value, list)}
    assert parts == {"encoder", "base", "statistics", "decoder", "scheduler"}
    assert {path.name for path in model.iterdir()} == {*parts, INDEX_NAME}
    for part in parts - {"scheduler"}:
        assert {"config.json", "model.safetensors"} <= {path.name for path in (model / part).iterdir()}
    assert [path.name for path in (model / "scheduler").iterdir()] == ["scheduler_config.json"]
    assert not [path for path in model.rglob("*") if path.suffix in (".pt", ".bin", ".pkl")], "nothing is unpickled"


@pytest.mark.parametrize("sampler", ["dpm++", "ancestral"])
def test_round_trip_draws_the_identical_avatar(trained: Path, tmp_path: Path, portrait: Tensor, sampler: Any) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    pipe.scheduler = make_scheduler(pipe.diffusion, sampler)
    pipe.save_pretrained(tmp_path / "copy")
    again = RodinPipeline.from_pretrained(str(tmp_path / "copy"))
    assert type(again.scheduler) is type(pipe.scheduler)
    assert again.model_hash == pipe.model_hash
    assert again.diffusion == pipe.diffusion
    one, other = (draw(p, image=portrait, seed=9)[0] for p in (pipe, again))
    assert torch.equal(one.planes, other.planes)
    assert torch.equal(one.latent, other.latent)


def test_a_full_disk_leaves_no_model(pipe: RodinPipeline, tmp_path: Path, full_disk: Any) -> None:
    with full_disk(20_000), pytest.raises(UserError, match="not written"):
        pipe.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "model", tmp_path / "model"))


@pytest.mark.parametrize("name", ["base", "statistics", "decoder", "encoder", "scheduler", INDEX_NAME])
def test_a_missing_part_is_named(copy: Path, name: str) -> None:
    part = copy / name
    part.unlink() if part.is_file() else shutil.rmtree(part)
    with pytest.raises(UserError, match=rf"model/{name}.*: no such"):
        RodinPipeline.from_pretrained(copy)


@pytest.mark.parametrize("name", ["base", "statistics", "decoder", "encoder"])
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


def test_parts_of_two_models_are_refused(copy: Path, trained: Path) -> None:
    from rodin.component import save_component
    from rodin.decoder import Decoder, DecoderConfig

    save_component(Decoder(DecoderConfig(channels=6)), copy / "decoder")
    with pytest.raises(UserError, match="base, statistics and decoder are not of one model; copy all parts of one"):
        RodinPipeline.from_pretrained(copy)


@pytest.mark.parametrize("content", ["[]", '"config"', "{", '{"num_train_timesteps": "many"}'])
def test_a_damaged_scheduler_is_named(copy: Path, content: str) -> None:
    (copy / "scheduler" / "scheduler_config.json").write_text(content)
    with pytest.raises(UserError, match="model/scheduler"):
        RodinPipeline.from_pretrained(copy)


def test_no_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such model folder; train one with: rodin train all DATA --run RUN"):
        RodinPipeline.from_pretrained(tmp_path / "none")
