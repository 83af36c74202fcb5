"""Contract: the upsampler stage turns a run folder's planes into a network that enlarges planes better than resizing.

Its loss looks at planes and at renders of them, the levels of augmentation reach the network, the features of the
perceptual loss are recorded, ranks share the subjects, a finished run is left alone, and what does not fit is refused.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import rodin.train.upsampler
from rodin.data.shards import FittedSubject, read_shards
from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser, save_denoiser
from rodin.models.perceptual import EncoderFeatures, Vgg16Features
from rodin.models.upsampler import upsample
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train import pictures
from rodin.train.loop import LoopConfig
from rodin.train.patches import PatchConfig
from rodin.train.subjects import load_subjects
from rodin.train.upsampler import UpsamplerTraining, predict_clean, rendered_losses, train_upsampler
from rodin.triplane import resize

pytestmark = pytest.mark.usefixtures("mended_checksums")

UNET = UNetConfig(
    size=16,
    in_channels=4,
    out_channels=4,
    width=32,
    multipliers=(1,),
    blocks=1,
    attention=(),
    head_width=32,
    patch=4,
    latent_dim=3,
    condition_channels=4,
    condition_skip=True,
)
LOOP = LoopConfig(steps=3, batch_size=4, learning_rate=4e-3, warmup_steps=1, ema_decay=0.95)
PATCHES = PatchConfig(size=8, image_size=16, samples=16, least_matter=0.1)
CONFIG = UpsamplerTraining(network=UNET, loop=LOOP, patches=PATCHES, rendered=2)
COUNT = 10
LAYERS = torch.tensor([1.0, -1.0, -1.0, 1.0]).repeat(4)  # of detail that a quarter of the texels cannot tell


def subject(index: int) -> FittedSubject:
    """A block of matter in a box of its own colour, whose detail goes by its coarse shape."""
    generator = torch.Generator().manual_seed(index)
    strength = torch.rand(4, 1, 1, generator=generator)
    wave = torch.linspace(-1.5, 1.5, 16).cos()
    coarse = strength * wave[:, None] * wave
    planes = (coarse * (1 + 0.5 * LAYERS[:, None] * LAYERS)).expand(3, -1, -1, -1)
    return FittedSubject(f"s{index}", planes.clone(), "", torch.ones(16, 16, 4), 30.0, 0.9)


@pytest.fixture(scope="module")
def fitted(stage_inputs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that is ready for the stage."""
    subjects = [subject(index) for index in range(COUNT)]
    return stage_inputs(
        tmp_path_factory.mktemp("fitted"), subjects, DecoderConfig(channels=4, hidden=8, density_shift=-1.0)
    )


@pytest.fixture(scope="module")
def trained_once(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage by CONFIG; shared, so leave it as it is."""
    run = Path(shutil.copytree(fitted, tmp_path_factory.mktemp("trained") / "run"))
    train_upsampler(run, CONFIG, None)
    return run


def rows(run: Path) -> list[str]:
    return (run / "upsampler.training" / "log.csv").read_text().splitlines()


def test_it_beats_resizing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = dataclasses.replace(LOOP, steps=40, batch_size=8, warmup_steps=5)
    train_upsampler(run, dataclasses.replace(CONFIG, loop=loop, rendered=1), None)
    assert "perceptual loss by encoder" in capsys.readouterr().out
    network, diffusion = load_denoiser(UNet, UNetConfig, run / "upsampler")
    true = load_subjects(run, 16, range(COUNT)).planes.float()
    low = resize(true, 4, 4)
    generators = [torch.Generator().manual_seed(index) for index in range(COUNT)]
    drawn = upsample(network, diffusion, low, 16, generators, 5, clip=4.0)
    resized = [
        torch.nn.functional.interpolate(low.flatten(0, 1), (16, 16), mode=mode).unflatten(0, (COUNT, 3))
        for mode in ("bilinear", "bicubic", "nearest")
    ]
    errors = [(planes - true).square().mean().item() for planes in (drawn, *resized)]
    assert errors[0] < 0.6 * min(errors[1:])


def test_a_training_begins_from_another_model(run: Path, tmp_path: Path) -> None:
    other = UNet(UNET)
    save_denoiser(other, CONFIG.diffusion, tmp_path / "other" / "upsampler")
    still = dataclasses.replace(LOOP, steps=1, learning_rate=1e-9)
    train_upsampler(run, dataclasses.replace(CONFIG, loop=still), None, start=tmp_path / "other")
    trained, _ = load_denoiser(UNet, UNetConfig, run / "upsampler")
    for one, given in zip(trained.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, given, atol=1e-6, rtol=0)


def test_everything_logged_is_part_of_the_loss(trained_once: Path) -> None:
    names, *_, last = (row.split(",") for row in rows(trained_once))
    values = dict(zip(names, map(float, last), strict=True))
    assert values["perceptual"] > 0
    assert values["pixel"] > 0
    total = values["planes"] + 1.0 * values["pixel"] + 0.5 * values["perceptual"]
    assert values["loss"] == pytest.approx(total, rel=1e-4)


def test_pictures_show_resized_enlarged_and_fitted_planes(trained_once: Path) -> None:
    with Image.open(trained_once / "upsampler.training" / "samples" / "step-000003.png") as picture:
        assert picture.size == (3 * 2 * pictures.SIDE, pictures.SHOWN * pictures.SIDE)


def test_without_renders_the_planes_alone_count(run: Path) -> None:
    train_upsampler(run, dataclasses.replace(CONFIG, rendered=0), None)
    assert rows(run)[0] == "step,learning_rate,loss,planes"


def test_rendered_losses_are_zero_for_the_truth_and_reach_the_planes(
    tiny_encoder: Callable[[list[str]], Encoder],
) -> None:
    decoder = Decoder(DecoderConfig(channels=4, hidden=8, density_shift=-1.0)).requires_grad_(False)
    features = EncoderFeatures(tiny_encoder(["a head"]))
    true = torch.stack([subject(index).planes for index in range(2)])
    pixel, perceptual = rendered_losses(true, true, decoder, features, config=PATCHES, seeds=[0, 1])
    assert pixel.item() == pytest.approx(0.0, abs=1e-8)
    assert perceptual.item() == pytest.approx(0.0, abs=1e-8)
    predicted = (true * 0.5).requires_grad_()
    results = []
    for autocast in (False, True):  # rays in bfloat16 would miss their pixels
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = rendered_losses(predicted, true, decoder, features, config=PATCHES, seeds=[1, 2])
        gradients = [torch.autograd.grad(loss, predicted, retain_graph=True)[0] for loss in losses]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert all((gradient.flatten(1).abs().amax(dim=1) > 0).all() for gradient in gradients)
        results.append(losses)
    torch.testing.assert_close(results[0], results[1])


class Watched(nn.Module):
    def forward(self, x: Tensor, t: Tensor, z: Tensor, low_res: Tensor) -> Tensor:
        self.given = (x, t, z, low_res)
        return x


def test_levels_and_low_resolution_planes_reach_the_network() -> None:
    x0 = torch.randn(64, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    network = Watched()
    latents = torch.nn.functional.normalize(torch.randn(64, 512), dim=1)
    predict_clean(network, x0, latents, Diffusion(CONFIG.diffusion), CONFIG, Draws(1, 64))
    x, t, levels, low_res = network.given
    assert levels.shape == (64, 3)  # and no z
    assert x.shape == x0.shape
    assert low_res.shape == (64, 3, 4, 4, 4)
    assert t.max() <= 99
    assert t.float().mean().item() == pytest.approx(49.5, abs=1.5)
    clean = (levels == 0).all(dim=1)
    assert 0.0 < clean.float().mean() < 0.4
    torch.testing.assert_close(low_res[clean], resize(x0, 4, 4)[clean])
    assert ((low_res - resize(x0, 4, 4))[~clean].flatten(1).abs().amax(dim=1) > 0).all()
    noisier = (x - x0).flatten(1).std(dim=1)[t.argsort()]
    assert noisier[:16].mean() < 0.2 < 1.0 < noisier[-16:].mean()


WITH_LATENT = dataclasses.replace(CONFIG, network=dataclasses.replace(UNET, latent_dim=515), latent_noise=0.4)


def test_a_network_made_for_it_is_told_z() -> None:
    x0, network = torch.randn(64, 3, 4, 16, 16), Watched()
    latents = torch.nn.functional.normalize(torch.randn(64, 512), dim=1)
    predict_clean(network, x0, latents, Diffusion(CONFIG.diffusion), WITH_LATENT, Draws(1, 64))
    vector = network.given[2]
    assert vector.shape == (64, 515)
    told = vector[:, 3:]
    torch.testing.assert_close(told.norm(dim=1), torch.ones(64))
    # noise of length 0.4 on length 1, nearly at right angles to it
    assert (told * latents).sum(dim=1).mean().item() == pytest.approx(1 / (1 + 0.4**2) ** 0.5, abs=0.02)


def test_it_trains_on_z_and_measures_subjects_that_it_does_not_see(run: Path) -> None:
    config = dataclasses.replace(WITH_LATENT, held_out_every=4)
    train_upsampler(run, config, None)
    names, *_, last = (row.split(",") for row in rows(run))
    error = float(dict(zip(names, last, strict=True))["x0"])
    network, diffusion = load_denoiser(UNet, UNetConfig, run / "upsampler")
    encoder = Encoder.from_pretrained(run / "encoder")
    true = load_subjects(run, 16, [3, 7]).planes.float()
    frontals = [one.frontal for index, one in enumerate(read_shards(run / "planes")) if index in (3, 7)]
    z = encoder.encode_images(torch.stack(frontals))
    seeds = [torch.Generator().manual_seed(index) for index in range(2)]
    drawn = upsample(network, diffusion, resize(true.half().float(), 4, 4), 16, seeds, 3, clip=5.0, z=z)
    assert error == pytest.approx((drawn - true).square().mean().item(), rel=0.02)
    with pytest.raises(ValueError, match="vector must be"):
        upsample(network, diffusion, resize(true, 4, 4), 16, seeds, 3, clip=5.0)


def test_the_features_are_recorded(trained_once: Path, vgg: Path) -> None:
    assert json.loads((trained_once / "upsampler" / "perceptual.json").read_text()) == {"features": "encoder"}
    with pytest.raises(UserError, match="was by encoder, not vgg16 sha256:"):
        train_upsampler(trained_once, CONFIG, vgg)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(Vgg16Features().state_dict(), weights)
    return weights


def test_vgg_trains(run: Path, vgg: Path) -> None:
    loop = dataclasses.replace(LOOP, steps=1)
    patches = dataclasses.replace(PATCHES, size=16)
    train_upsampler(run, dataclasses.replace(CONFIG, loop=loop, patches=patches, rendered=1), vgg)
    assert json.loads((run / "upsampler" / "perceptual.json").read_text())["features"].startswith("vgg16 sha256:")


def test_a_finished_run_is_left_alone(trained_once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(trained_once, tmp_path / "run"))
    before = (run / "upsampler" / "model.safetensors").stat().st_mtime_ns
    train_upsampler(run, CONFIG, None)
    assert "trained already" in capsys.readouterr().out
    assert (run / "upsampler" / "model.safetensors").stat().st_mtime_ns == before


def test_finished_runs_of_other_settings_are_refused(trained_once: Path) -> None:
    with pytest.raises(UserError, match="width 32, not 64"):
        train_upsampler(trained_once, dataclasses.replace(CONFIG, network=dataclasses.replace(UNET, width=64)), None)


def test_unfinished_runs_of_other_settings_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rodin.train.upsampler, "save_denoiser", stop)
    with pytest.raises(KeyboardInterrupt):
        train_upsampler(run, CONFIG, None)
    assert not (run / "upsampler").exists()
    with pytest.raises(UserError, match=r"settings.json: .*patches"):
        train_upsampler(run, dataclasses.replace(CONFIG, patches=dataclasses.replace(PATCHES, size=10)), None)


def test_a_foreign_decoder_is_refused(run: Path) -> None:
    torch.manual_seed(1)
    save_component(Decoder(DecoderConfig(channels=4, hidden=8)), run / "decoder")
    with pytest.raises(UserError, match="fitted with decoder"):
        train_upsampler(run, CONFIG, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"in_channels": 8, "out_channels": 8, "condition_channels": 8},
            "planes have 4 channels, the network is for 8",
        ),
        ({"size": 32}, "planes are 16 x 16, the network is for 32"),
    ],
)
def test_networks_that_do_not_fit_are_refused(run: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_upsampler(run, dataclasses.replace(CONFIG, network=dataclasses.replace(UNET, **change)), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": dataclasses.replace(UNET, latent_dim=512)}, "latent_dim 3"),
        ({"network": dataclasses.replace(UNET, condition_channels=0, condition_skip=False)}, "condition_channels 4"),
        ({"diffusion": DiffusionConfig()}, "prediction 'sample'"),
        ({"scale": 3}, "scale must divide"),
        ({"rendered": 5}, "rendered must lie in 0 to batch_size 4"),
        ({"perceptual_weight": -1.0}, "perceptual_weight"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_missing_inputs_are_named(run: Path) -> None:
    (run / "decoder").rename(run / "elsewhere")
    with pytest.raises(UserError, match=r"decoder/config.json: no such file"):
        train_upsampler(run, CONFIG, None)


def test_settings_travel_as_yaml_does(run: Path) -> None:
    """What a preset file gives back is the same config."""
    from rodin.parts import config_from_dict

    document = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    assert config_from_dict(UpsamplerTraining, document, "file") == CONFIG
