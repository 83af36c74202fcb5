"""Contract of the encoder's training stage: what it draws, how it changes images, and that z tells subjects apart.

The subjects are drawn here: discs whose colours the caption names. The whole stage runs once, in a few seconds.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rodin.camera import orbit
from rodin.data.captures import front_views
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.models.clip import Encoder, EncoderConfig
from rodin.train.augment import AugmentConfig, augment_images, drop_phrases, mirror_some
from rodin.train.encoder import EncoderTraining, contrast, thumbnail_statistics, thumbnails_of, train_encoder
from rodin.train.loop import LoopConfig
from rodin.train.subjects import draw_captions, split_subjects
from rodin.train.views import draw_two, load_views

pytestmark = pytest.mark.usefixtures("mended_checksums")

AZIMUTHS = [30.0, 0.0, -45.0, 90.0, 180.0, -61.0, 59.0]
FRONTAL = 1
COLOURS = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 220), "yellow": (230, 220, 40)}
UNCHANGED = AugmentConfig(
    zoom=0, shift=0, rotation_deg=0, white_probability=1, jitter=0, grey_probability=0, blur=0, noise=0, phrase_drop=0
)


def _write_subjects(data: Path, size: int = 16) -> None:
    """16 discs with a face and a hat, each of one of four colours; the right half darkens as the view turns away."""
    camera = orbit(AZIMUTHS, [0.0] * len(AZIMUTHS), size=size)
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    disc = rows**2 + columns**2 < (0.4 * size) ** 2
    for (hat, hat_rgb), (face, face_rgb) in itertools.product(COLOURS.items(), repeat=2):
        folder = data / f"{hat}-{face}"
        folder.mkdir(parents=True)
        frames = []
        for view, matrix in enumerate(camera.cam_to_world.tolist()):
            image = np.zeros((size, size, 4))
            image[disc] = (*face_rgb, 255)
            image[disc & (rows < 0)] = (*hat_rgb, 255)
            image[columns > 0, :3] *= 1 - 0.003 * abs(AZIMUTHS[view])
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{view}.png")
            frames.append({"file_path": f"{view}.png", "transform_matrix": matrix})
        caption = f"a {face} face, a {hat} hat"
        document = {"camera_angle_x": 0.45, "frontal": FRONTAL, "caption": caption, "frames": frames}
        (folder / "transforms.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subjects")
    _write_subjects(folder)
    return folder


TINY = EncoderConfig(
    image_size=16,
    patch_size=4,
    width=32,
    layers=1,
    heads=2,
    text_width=32,
    text_layers=1,
    text_heads=2,
    vocabulary=600,
    context=16,
)
LOOP = LoopConfig(
    steps=150, batch_size=14, learning_rate=2e-3, warmup_steps=10, ema_decay=0.95, checkpoint_every=1000, seed=1
)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_encoder(data, folder, EncoderTraining(network=TINY, loop=LOOP))
    return folder


def test_latents_tell_subjects_apart(data: Path, run: Path) -> None:
    """All 16 subjects by image and by caption, chance 1/16; and latents of different subjects are no bundle."""
    encoder = Encoder.from_pretrained(run / "encoder")
    views = load_views(data, 16)
    frontal = torch.stack([views.of(k)[0] for k in range(16)]).float() / 255
    oblique = torch.stack([views.of(k)[2] for k in range(16)]).float() / 255
    z, other, text = (
        encoder.encode_images(frontal),
        encoder.encode_images(oblique),
        encoder.encode_texts(views.caption),
    )
    own = torch.arange(16)
    assert float(((z @ text.t()).argmax(1) == own).float().mean()) > 0.6
    assert float(((other @ z.t()).argmax(1) == own).float().mean()) > 0.8
    assert float((z @ z.t()).fill_diagonal_(0).sum() / 240) < 0.6


def test_a_training_begins_from_another_encoder(data: Path, run: Path, tmp_path: Path) -> None:
    """At no learning rate to speak of, latents and tokens are the other's; another preset's encoder is refused."""
    loop = dataclasses.replace(LOOP, steps=10, learning_rate=1e-9)
    train_encoder(data, tmp_path, EncoderTraining(network=TINY, loop=loop), start=run)
    one, other = (Encoder.from_pretrained(folder / "encoder") for folder in (tmp_path, run))
    views = load_views(data, 16)
    frontal = torch.stack([views.of(k)[0] for k in range(16)]).float() / 255
    torch.testing.assert_close(one.encode_images(frontal), other.encode_images(frontal), atol=1e-4, rtol=0)
    torch.testing.assert_close(one.encode_texts(views.caption), other.encode_texts(views.caption), atol=1e-4, rtol=0)
    wide = EncoderTraining(network=dataclasses.replace(TINY, width=64), loop=loop)
    with pytest.raises(UserError, match="not a CLIP of the preset's sizes"):
        train_encoder(data, tmp_path / "wide", wide, start=run)


def test_thumbnails_can_be_read_off_noisy_latents(data: Path, tmp_path: Path) -> None:
    """By a linear layer of the test's own, which learns from latents with one noise and reads those with another."""
    loop = dataclasses.replace(LOOP, steps=100, learning_rate=3e-3)
    train_encoder(data, tmp_path, EncoderTraining(network=TINY, loop=loop, thumbnail_weight=10.0, latent_noise=0.3))
    log = (tmp_path / "encoder.training" / "log.csv").read_text().splitlines()
    assert float(dict(zip(log[0].split(","), log[-1].split(","), strict=True))["thumbnail"]) < 0.3
    frontal = torch.stack([load_views(data, 16).of(k)[0] for k in range(16)]).float() / 255
    z = Encoder.from_pretrained(tmp_path / "encoder").encode_images(frontal)
    wanted = thumbnails_of(frontal).flatten(1)
    torch.manual_seed(0)
    one, other = (z.repeat(8, 1) + 0.3 * torch.randn(8 * len(z), 512) / 512**0.5 for _ in range(2))
    centre = wanted.mean(dim=0)
    solved = torch.linalg.lstsq(
        one.t() @ one + 0.05 * torch.eye(512), one.t() @ (wanted - centre).repeat(8, 1)
    ).solution
    left = (other @ solved + centre - wanted.repeat(8, 1)).square().mean() / (wanted - centre).square().mean()
    assert left < 0.3


def test_thumbnails_are_colour_over_black_and_alpha(data: Path) -> None:
    images = torch.rand(2, 64, 64, 4, generator=torch.Generator().manual_seed(0))
    block = images[1, 12:16, 4:8]  # the one that becomes row 3, column 1
    expected = torch.cat([(block[..., :3] * block[..., 3:]).mean(dim=(0, 1)), block[..., 3:].mean(dim=(0, 1))])
    torch.testing.assert_close(thumbnails_of(images)[1, :, 3, 1], expected)
    views = load_views(data, 16)
    mean, spread = thumbnail_statistics(views, [0, 5, 9])
    pixels = torch.stack([views.of(k)[0] for k in (0, 5, 9)]).double() / 255
    pixels[..., :3] *= pixels[..., 3:]
    torch.testing.assert_close(mean.double(), pixels.mean(dim=0).permute(2, 0, 1), atol=1e-5, rtol=1e-5)
    assert spread == pytest.approx(pixels.var(dim=0, correction=0).mean().item(), rel=1e-4)


def test_retrieval_of_held_out_subjects_is_recorded(run: Path) -> None:
    figures = json.loads((run / "encoder.training" / "retrieval.json").read_text())
    assert figures["held_out_subjects"] == 2
    assert set(figures) == {"held_out_subjects", "caption_top1", "paraphrase_top1", "view_top1", "mean_cosine"}


def test_a_finished_stage_returns_at_once(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "encoder" / "model.safetensors").stat().st_mtime_ns
    train_encoder(data / "nowhere", run, EncoderTraining(network=TINY, loop=LOOP))
    assert "already trained" in capsys.readouterr().out
    assert (run / "encoder" / "model.safetensors").stat().st_mtime_ns == before


def test_only_the_front_half_is_used_frontal_first(data: Path) -> None:
    camera = orbit(AZIMUTHS, [10.0] * len(AZIMUTHS), size=8)
    assert front_views(camera, FRONTAL) == [1, 0, 2, 6]
    assert front_views(camera, 4) == [4, 0, 1, 2, 6]
    views = load_views(data, 16)
    assert views.images.shape == (16 * 4, 16, 16, 4)
    assert views.first.tolist() == list(range(0, 64, 4))
    assert views.of(3).shape == (4, 16, 16, 4)
    expected = torch.tensor([0.0, 30.0, -45.0, 59.0]).deg2rad().cos()
    torch.testing.assert_close(views.chances[0], expected, atol=1e-4, rtol=1e-4)


def test_a_drawn_caption_is_one_of_the_subjects_own() -> None:
    captions = [("a", "b", "c"), (), ("d",)]
    drawn = [draw_captions(captions, Draws(seed, len(captions))) for seed in range(60)]
    assert {texts[0] for texts in drawn} == {"a", "b", "c"}
    assert {tuple(texts[1:]) for texts in drawn} == {("", "d")}


@pytest.mark.parametrize("silent", [5, 16])
def test_subjects_without_captions_train_too(tmp_path: Path, silent: int, capsys: pytest.CaptureFixture[str]) -> None:
    """On views alone, which one line says; where no subject has a caption, no word is learned and none is judged."""
    _write_subjects(tmp_path / "data")
    for folder in sorted((tmp_path / "data").iterdir())[:silent]:
        document = json.loads((folder / "transforms.json").read_text())
        del document["caption"]
        (folder / "transforms.json").write_text(json.dumps(document))
    loop = dataclasses.replace(LOOP, steps=60)
    train_encoder(tmp_path / "data", tmp_path / "run", EncoderTraining(network=TINY, loop=loop))
    assert re.search(f"^encoder: {min(silent, 14)} of 14 subjects have no caption", capsys.readouterr().out)
    figures = json.loads((tmp_path / "run" / "encoder.training" / "retrieval.json").read_text())
    assert ("caption_top1" in figures) == (silent < 16)
    log = list(csv.DictReader((tmp_path / "run" / "encoder.training" / "log.csv").open()))
    assert all((float(row["text"]) > 0) == (silent < 16) for row in log)
    assert float(log[-1]["view"]) < 0.7 * float(log[0]["view"])
    encoder = Encoder.from_pretrained(tmp_path / "run" / "encoder")
    assert bool(encoder.encode_texts(["", "a word that nobody said", "\N{SNOWMAN}"]).isfinite().all())


def test_each_latent_says_its_phrases(data: Path, tmp_path: Path) -> None:
    """With no contrast to speak of (two subjects a batch), the phrases make words and pictures tell the colours."""
    loop = dataclasses.replace(LOOP, batch_size=2, steps=200, learning_rate=4e-3)
    augment = dataclasses.replace(UNCHANGED, mirror=0.5)
    config = EncoderTraining(network=TINY, loop=loop, augment=augment, phrase_weight=50.0)
    train_encoder(data, tmp_path, config)
    log = list(csv.DictReader((tmp_path / "encoder.training" / "log.csv").open()))
    assert float(log[-1]["phrase"]) < 0.3 * float(log[0]["phrase"])


def test_split_subjects() -> None:
    assert split_subjects(15, 8) == (list(range(15)), [])
    train, held_out = split_subjects(48, 8)
    assert held_out == [7, 15, 23, 31, 39, 47]
    assert sorted(train + held_out) == list(range(48))


def test_two_views_are_drawn_by_their_chances() -> None:
    """Against the closed form of drawing without replacement; a lone view is drawn twice."""
    chances = torch.tensor([0.5, 0.3, 0.2, 0.0])
    pairs = draw_two(chances.expand(40000, 4), Draws(0, 40000))
    for first, second in itertools.permutations(range(3), 2):
        share = float(((pairs[:, 0] == first) & (pairs[:, 1] == second)).float().mean())
        assert share == pytest.approx(float(chances[first] * chances[second] / (1 - chances[first])), abs=0.01)
    assert draw_two(torch.tensor([[0.0, 0.7]]), Draws(0, 1)).tolist() == [[1, 1]]


def test_contrast_is_the_mean_cross_entropy_of_both_directions() -> None:
    one = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    other = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    logits = 5.0 * one @ other.t()
    expected = -(logits.log_softmax(0).diagonal().mean() + logits.log_softmax(1).diagonal().mean()) / 2
    torch.testing.assert_close(contrast(one, other, torch.tensor(5.0)), expected)


def test_all_views_of_a_subject_are_mirrored_or_none() -> None:
    images = torch.rand(6, 4, 4, 4)  # two views of three subjects
    assert torch.equal(mirror_some(images, 2, 0.0, Draws(0, 3)), images)
    assert torch.equal(mirror_some(images, 2, 1.0, Draws(0, 3)), images.flip(2))
    seen = set()
    for seed in range(40):
        result = mirror_some(images, 2, 0.5, Draws(seed, 3))
        kinds = [torch.equal(one, image.flip(1)) for one, image in zip(result, images, strict=True)]
        assert all(kind or torch.equal(one, image) for kind, one, image in zip(kinds, result, images, strict=True))
        assert kinds[:3] == kinds[3:]
        seen.add(tuple(kinds[:3]))
    assert len(seen) == 8


def test_no_change_lays_the_image_on_white() -> None:
    images = torch.rand(2, 12, 12, 4)
    expected = images[..., :3] * images[..., 3:] + 1 - images[..., 3:]
    result = augment_images(images, UNCHANGED, Draws(0, 2))
    torch.testing.assert_close(result, expected.permute(0, 3, 1, 2), atol=1e-4, rtol=1e-4)


def test_augmentation_hangs_on_the_draws_alone_and_stays_in_range() -> None:
    images = torch.rand(5, 20, 20, 4)
    one, same = (augment_images(images, AugmentConfig(), Draws(3, 5)) for _ in range(2))
    other = augment_images(images, AugmentConfig(), Draws(4, 5))
    assert one.shape == (5, 3, 20, 20)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1


def test_every_image_gets_its_own_change() -> None:
    images = torch.rand(1, 16, 16, 4).expand(6, -1, -1, -1)
    result = augment_images(images, AugmentConfig(), Draws(0, 6))
    assert float(torch.pdist(result.flatten(1)).min()) > 0.1


def test_blur_keeps_the_mean_and_lowers_the_contrast() -> None:
    config = AugmentConfig(**{**{f: getattr(UNCHANGED, f) for f in UNCHANGED.__slots__}, "blur": 0.2})
    images = torch.ones(8, 24, 24, 4)
    images[:, 8:16, 8:16, :3] = 0.0
    result = augment_images(images, config, Draws(1, 8))
    spread = result.std(dim=(1, 2, 3))
    torch.testing.assert_close(result.mean(dim=(1, 2, 3)), torch.full((8,), 8 / 9), atol=0.03, rtol=0)
    assert float(spread.max()) > 1.5 * float(spread.min())


def test_dropping_phrases() -> None:
    caption = "a man, brown hair, glasses, a hat"
    assert drop_phrases([caption], 0.0, Draws(0, 1)) == [caption]
    phrases = caption.split(", ")
    for result in drop_phrases([caption] * 50, 0.5, Draws(0, 50)):
        kept = result.split(", ")
        assert kept
        assert [phrase for phrase in phrases if phrase in kept] == kept
    assert all(result in phrases for result in drop_phrases([caption] * 20, 1.0, Draws(0, 20)))


@pytest.mark.parametrize("change", [{"noise": -0.1}, {"phrase_drop": 1.5}, {"zoom": -1.0}])
def test_bad_augmentation(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AugmentConfig(**change)
