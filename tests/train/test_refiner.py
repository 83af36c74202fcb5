"""Contract: the refiner stage turns a run folder and true views into a refiner that meets views of held-out subjects
better than resizing does; refiner and discriminator each get their own gradients from one backward pass; patches of
renders and true views show the same; ranks share the subjects; it leaves a finished run alone, and refuses data without
fitted subjects and settings that do not fit the run.

References: two separate backward passes; SSIM, PSNR and the Laplacian by hand where they are known.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from rodin.data.captures import load_subject
from rodin.data.shards import FittedSubject, write_shards
from rodin.data.subject_folders import list_subjects
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.scene import prepare
from rodin.fit.shared import SharedConfig, learn_decoder
from rodin.models.clip import Encoder, EncoderConfig, small_clip
from rodin.models.perceptual import load_features, recorded_features
from rodin.models.refiner import PICTURE_CHANNELS, Refiner, RefinerConfig
from rodin.parts import load_component, module_hash, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.adversary import AdversarialPair, PatchDiscriminator
from rodin.train.image_quality import image_quality
from rodin.train.loop import LoopConfig
from rodin.train.pairs import Pairs, PairSource
from rodin.train.refiner import RefinerTraining, measure_features, train_refiner

pytestmark = pytest.mark.usefixtures("mended_checksums")

COUNT = 16
LOOP = LoopConfig(steps=240, batch_size=12, learning_rate=5e-3, warmup_steps=5, ema_decay=0.98, gradient_clip=0.0)
TRAINING = RefinerTraining(
    network=RefinerConfig(channels=4, width=12, blocks=2, scale=2),
    loop=LOOP,
    image_size=12,
    samples=32,
    views=5,
    patch=8,
    perceptual=0.05,
    adversarial=0.02,
    discriminator_width=8,
)
FIT = FitConfig(plane_size=16, image_size=24, samples=32, steps=40, rays=256, learning_rate=0.15, held_out=3)


@pytest.fixture(scope="module")
def data(ball_maker: Callable[..., Path]) -> Path:
    return ball_maker(COUNT, views=10)


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with decoder, planes of all balls, and an encoder (untrained: its features serve as well)."""
    run = tmp_path_factory.mktemp("run")
    subjects = [load_subject(folder) for folder in list_subjects(data)]
    scenes = [prepare(subject, FIT.samples, FIT.held_out)[0] for subject in subjects]
    shared = SharedConfig(subjects=3, common_steps=40, steps=60)
    config = DecoderConfig(channels=4, hidden=16)
    decoder, start, _ = learn_decoder(scenes[:3], config, shared, FIT, 0, lambda _loss: None)
    save_component(decoder, run / "decoder")
    planes = [fit_planes(scene, decoder, start, FIT, 0).planes for scene in scenes]
    rows = [FittedSubject(s.name, p, "", s.images[0], 20.0, 0.9) for s, p in zip(subjects, planes, strict=True)]
    write_shards(run / "planes", rows, decoder_hash=module_hash(decoder), per_shard=5)
    torch.manual_seed(0)
    sizes = EncoderConfig(
        image_size=16, patch_size=8, width=32, layers=2, heads=2, text_width=32, text_layers=1, text_heads=2
    )
    small_clip(sizes, ["a ball"]).save_pretrained(run / "encoder")
    return run


@pytest.fixture(scope="module")
def trained(data: Path, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(fitted, run)
    train_refiner(data, run, TRAINING, None)
    return run


def read_decoder(run: Path) -> Decoder:
    return load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)


def test_held_out_views_are_met_better_than_by_resizing(trained: Path) -> None:
    figures = json.loads((trained / "refiner.training" / "quality.json").read_text())
    assert figures["held_out_subjects"] == 2
    assert figures["refined"]["psnr"] > figures["resized"]["psnr"] + 0.6
    assert figures["refined"]["ssim"] > figures["resized"]["ssim"]
    nearer_one = {name: abs(figures[name]["sharpness"] - 1) for name in ("refined", "resized")}
    assert nearer_one["refined"] < nearer_one["resized"]
    network = load_component(Refiner, RefinerConfig, trained / "refiner")
    assert network.config == TRAINING.network
    assert recorded_features(trained / "refiner") == "encoder"
    assert not torch.equal(network.feature_std, torch.ones(4))


def test_pictures_show_resized_refined_and_true_views(trained: Path) -> None:
    """The true views are held-out ones: a picture's last column is nearer to its middle than to its first."""
    with Image.open(trained / "refiner.training" / "samples" / "step-000240.png") as picture:
        pixels = torch.from_numpy(np.asarray(picture).copy()).float()
    assert pixels.shape == (4 * 24, 3 * 24, 3)
    resized, refined, true = pixels.split(24, dim=1)
    assert (refined - true).square().mean() < 0.95 * (resized - true).square().mean()


def test_a_finished_refiner_stays_and_other_settings_are_refused(
    data: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "refiner" / "model.safetensors").stat().st_mtime_ns
    train_refiner(data, trained, TRAINING, None)
    assert "trained already (with encoder)" in capsys.readouterr().out
    assert (trained / "refiner" / "model.safetensors").stat().st_mtime_ns == before
    wider = dataclasses.replace(TRAINING, network=dataclasses.replace(TRAINING.network, width=16))
    with pytest.raises(UserError, match=r"refiner: holds RefinerConfig.*asked for"):
        train_refiner(data, trained, wider, None)


def test_subjects_that_are_not_fitted_are_refused(fitted: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "ball0", tmp_path / "someone")
    with pytest.raises(UserError, match=r"none of its subjects is among those in .*planes"):
        train_refiner(tmp_path, fitted, TRAINING, None)


def test_too_small_views_and_other_channels_are_refused(fitted: Path, data: Path) -> None:
    large = dataclasses.replace(TRAINING, image_size=20)
    with pytest.raises(UserError, match=r"ball0.*24 x 24"):
        train_refiner(data, fitted, large, None)
    wide = dataclasses.replace(TRAINING, network=dataclasses.replace(TRAINING.network, channels=5))
    with pytest.raises(UserError, match="planes have 4 channels, the refiner is for 5"):
        train_refiner(data, fitted, wide, None)
    assert not (fitted / "refiner").exists()


def source(data: Path, run: Path, decoder: Decoder, most: int) -> PairSource:
    return dataclasses.replace(TRAINING, subjects=most).source(data, run, decoder)


def test_only_subjects_of_the_data_are_rendered(fitted: Path, data: Path, tmp_path: Path) -> None:
    """A second folder of some of the subjects; the most that are wanted bounds them."""
    for name in ("ball5", "ball11", "ball3"):
        (tmp_path / name).symlink_to(data / name)
    shutil.copytree(data / "ball0", tmp_path / "someone")
    decoder = read_decoder(fitted)
    order = [subject.name for _, subject in source(data, fitted, decoder, 99).fitted()]
    found = [(folder, subject.name) for folder, subject in source(tmp_path, fitted, decoder, 99).fitted()]
    assert [name for _, name in found] == [name for name in order if name in ("ball5", "ball11", "ball3")]
    assert all(folder == tmp_path / name for folder, name in found)
    assert len(list(source(tmp_path, fitted, decoder, 2).fitted())) == 2


def test_ranks_render_what_one_process_would(fitted: Path, data: Path) -> None:
    decoder = read_decoder(fitted)
    whole = TRAINING.source(data, fitted, decoder).render([0, 1, 2, 3])
    parts = [TRAINING.source(data, fitted, decoder).render([0, 1, 2, 3][rank::2]) for rank in range(2)]
    assert whole.inputs.shape == (4 * TRAINING.views, 9, 12, 12)
    assert whole.true.shape == (4 * TRAINING.views, 4, 24, 24)
    for name in ("inputs", "true"):
        a, b = (getattr(part, name).unflatten(0, (2, -1)) for part in parts)
        assert torch.equal(torch.stack([a, b], dim=1).flatten(0, 2), getattr(whole, name))


def test_renders_and_true_views_show_the_same(fitted: Path, data: Path) -> None:
    """Averaged to one size, a render is nearer to its own view than to any other of the subject."""
    pairs = TRAINING.source(data, fitted, read_decoder(fitted)).render([2])
    true = F.avg_pool2d(pairs.true.float() / 255, 2)
    distance = (pairs.inputs[:, None, :4].float() - true[None]).square().mean(dim=(2, 3, 4))
    assert distance.argmin(dim=1).tolist() == list(range(TRAINING.views))


def test_patches_are_cut_alike_and_hold_matter() -> None:
    """Inputs and true views here are the position of each pixel, so a patch tells where it was cut."""
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(14.0), indexing="ij")
    inputs = torch.stack([rows, columns, rows, torch.zeros(10, 14), rows]).repeat(3, 1, 1, 1)
    inputs[0, 3, 7, 2] = inputs[1, 3, 0, 13] = inputs[2, 3, 5, 6] = 1.0  # the only matter
    true = torch.stack([rows, columns, rows, rows]).repeat(3, 1, 1, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    pairs = Pairs(inputs.half(), true.to(torch.uint8))
    some, large = pairs.patches(4, Draws(0, 60))
    assert some.shape == (60, 5, 4, 4)
    assert large.shape == (60, 4, 8, 8)
    torch.testing.assert_close(F.avg_pool2d(large[:, :2] * 255, 2), some[:, :2])
    assert (some[:, 3].amax(dim=(1, 2)) == 1).float().mean() > 0.95
    again = pairs.patches(4, Draws(0, 60))
    assert torch.equal(some, again[0])


def test_each_network_gets_its_own_gradient() -> None:
    """One backward pass over the sum equals two, each with the other network held still."""
    torch.manual_seed(0)
    pair = AdversarialPair(Refiner(TRAINING.network), PatchDiscriminator(6)).double()
    torch.nn.init.normal_(pair.refiner.tail.weight, std=0.1)
    inputs, true = torch.rand(3, 9, 8, 8).double(), torch.rand(3, 4, 16, 16).double()
    refined, fooling, judging = pair(inputs, true)
    (refined.square().mean() + 0.3 * fooling + judging).backward()

    picture = pair.refiner.premultiplied(inputs)
    wanted = picture.square().mean() - 0.3 * pair.discriminator(picture).mean()
    for value, gradient in zip(
        pair.refiner.parameters(), torch.autograd.grad(wanted, list(pair.refiner.parameters())), strict=True
    ):
        torch.testing.assert_close(value.grad, gradient)
    still = pair.refiner.premultiplied(inputs).detach()
    wanted = F.relu(1 - pair.discriminator(true)).mean() + F.relu(1 + pair.discriminator(still)).mean()
    own = list(pair.discriminator.parameters())
    for value, gradient in zip(own, torch.autograd.grad(wanted, own), strict=True):
        torch.testing.assert_close(value.grad, gradient)
    assert max(float(value.grad.abs().max()) for value in own if value.grad is not None) > 1e-3


def test_feature_statistics_are_those_of_visible_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    alpha = (torch.rand(4, 1, 20, 20, generator=generator) > 0.6).float()
    features = torch.randn(4, 4, 20, 20, generator=generator) * 3 + 7
    picture = torch.zeros(4, PICTURE_CHANNELS, 20, 20)
    picture[:, 3:4] = alpha
    network = Refiner(TRAINING.network)
    measure_features(torch.cat([picture, features * alpha], dim=1), network)
    seen = features.movedim(1, -1)[alpha[:, 0] > 0]
    torch.testing.assert_close(network.feature_mean, seen.mean(dim=0))
    torch.testing.assert_close(network.feature_std, seen.std(dim=0, correction=0))


def test_quality_figures(fitted: Path) -> None:
    features = load_features(Encoder.from_pretrained(fitted / "encoder"), None)
    true = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))

    def judged(seen: Tensor) -> list[float]:
        return list(image_quality(seen, true, features).values())

    assert judged(true) == pytest.approx([100.0, 1.0, 0.0, 1.0], abs=1e-4)
    shifted = judged(true + 0.1)
    assert shifted[0] == pytest.approx(20.0, abs=1e-3)
    assert shifted[3] == pytest.approx(1.0, abs=1e-4)
    flatter = judged(0.5 * true)
    assert flatter[3] == pytest.approx(0.25, abs=1e-4), "a quarter of the Laplacian's energy"
    assert flatter[1] < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": 13}, "patch must be at most image_size 12"),
        ({"views": 0}, "views must be at least 1"),
        ({"adversarial": -1.0}, "adversarial must not be negative"),
    ],
)
def test_bad_settings(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TRAINING, **change)
