"""Contract: the base stage turns a run folder's planes and frontal images into a trained network that samples them.

It standardises the planes, drops the latent for guidance, shares subjects out among ranks, judges held-out ones, leaves
a finished run alone and refuses settings that do not fit the run.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import rodin.train.base
from rodin.data.shards import FittedSubject, read_shards
from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.diffusion.sampling import Scheduler, draw_noise, guided, sample
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser, save_denoiser
from rodin.models.statistics import load_statistics
from rodin.networks.unet import UNet, UNetConfig
from rodin.render.decoder import DecoderConfig
from rodin.train import pictures
from rodin.train.base import BaseTraining, train_base
from rodin.train.loop import LoopConfig
from rodin.train.subjects import load_subjects, rank_share
from rodin.train.validate import validation
from rodin.triplane import mirror

pytestmark = pytest.mark.usefixtures("mended_checksums")

UNET = UNetConfig(
    size=8,
    in_channels=4,
    out_channels=4,
    width=16,
    multipliers=(1, 2),
    blocks=1,
    attention=(2,),
    head_width=16,
    patch=2,
)
DIFFUSION = DiffusionConfig()
QUICK = dataclasses.replace(UNET, multipliers=(1,), attention=())  # learns the most in a second
LOOP = LoopConfig(steps=3, batch_size=4, learning_rate=2e-3, warmup_steps=1, ema_decay=0.99)
BASE = BaseTraining(network=UNET, diffusion=DIFFUSION, loop=LOOP)
COSINE = dataclasses.replace(DIFFUSION, schedule="cosine")
COUNT = 10


def subject(index: int) -> FittedSubject:
    """Planes of one of two kinds, far from zero, whose frontal image shows the kind by its colour."""
    generator = torch.Generator().manual_seed(index)
    kind = index % 2
    wave = torch.linspace(0, math.pi, 8).sin()
    planes = 5.0 + (1 if kind else -1) * wave[:, None] * wave + 0.05 * torch.randn(3, 4, 8, 8, generator=generator)
    frontal = torch.ones(16, 16, 4)
    frontal[..., :3] = torch.tensor([0.9, 0.1, 0.1] if kind else [0.1, 0.1, 0.9])
    return FittedSubject(f"s{index}", planes, "", frontal, 30.0, 0.9)


@pytest.fixture(scope="module")
def fitted(stage_inputs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that is ready for the stage."""
    subjects = [subject(index) for index in range(COUNT)]
    return stage_inputs(tmp_path_factory.mktemp("fitted"), subjects, DecoderConfig(channels=4, hidden=8))


@pytest.fixture(scope="module")
def trained_once(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage by BASE; shared, so leave it as it is."""
    run = Path(shutil.copytree(fitted, tmp_path_factory.mktemp("trained") / "run"))
    train_base(run, BASE)
    return run


def test_it_learns_the_planes_and_their_latents(run: Path) -> None:
    loop = dataclasses.replace(LOOP, steps=80, batch_size=16, learning_rate=4e-3, warmup_steps=10, ema_decay=0.98)
    train_base(run, dataclasses.replace(BASE, network=QUICK, loop=loop))
    network, diffusion = load_denoiser(UNet, UNetConfig, run / "base")
    assert network.config == QUICK
    assert diffusion == DIFFUSION
    statistics = load_statistics(run / "planes")
    latents = load_subjects(run, 8, range(COUNT)).latents

    def draw(z: Tensor) -> Tensor:
        seeds = [torch.Generator().manual_seed(index) for index in range(len(z))]
        scheduler = Scheduler(diffusion, "ddim")
        drawn = sample(guided(network, z), scheduler, draw_noise((3, 4, 8, 8), seeds), seeds, 10, clip=4.0)
        return statistics.denormalize(drawn)

    for kind in (0, 1):
        wanted = torch.stack([subject(index).planes for index in range(kind, COUNT, 2)]).mean(dim=0)
        other = torch.stack([subject(index).planes for index in range(1 - kind, COUNT, 2)]).mean(dim=0)
        drawn = draw(latents[kind].expand(4, -1)).mean(dim=0)
        assert (drawn - wanted).norm() < 0.35 * (drawn - other).norm()


@pytest.mark.parametrize("ablation", ["no latent", "one step"])
def test_ablations_learn_as_much_as_they_can(run: Path, ablation: str) -> None:
    """Without z there are both kinds and no telling which; in one step there is the mean of the kind."""
    network = dataclasses.replace(QUICK, latent_dim=0) if ablation == "no latent" else QUICK
    diffusion = DIFFUSION if ablation == "no latent" else DiffusionConfig(prediction="sample", train_steps=1)
    loop = dataclasses.replace(LOOP, steps=60, batch_size=16, learning_rate=4e-3, warmup_steps=10, ema_decay=0.9)
    train_base(run, dataclasses.replace(BASE, network=network, diffusion=diffusion, loop=loop))
    trained, settings = load_denoiser(UNet, UNetConfig, run / "base")
    statistics = load_statistics(run / "planes")
    latents = load_subjects(run, 8, range(COUNT)).latents
    z = latents[:8] if network.latent_dim else None
    seeds = [torch.Generator().manual_seed(index) for index in range(8)]
    scheduler, steps = Scheduler(settings, "ddim"), min(10, settings.train_steps)
    drawn = sample(guided(trained, z), scheduler, draw_noise((3, 4, 8, 8), seeds), seeds, steps, clip=4.0)
    middle = (statistics.denormalize(drawn) - 5.0).mean(dim=(1, 2))[:, 3:5, 3:5].mean(dim=(1, 2))  # kinds are -1, +1
    if ablation == "no latent":
        assert middle.min() < -0.25 < 0.25 < middle.max()
    else:
        assert torch.equal(middle > 0, torch.arange(8) % 2 == 1)
        assert middle.abs().min() > 0.15


def test_a_sketch_knows_the_planes_of_a_latent_before_the_network_learns_anything(run: Path) -> None:
    """One step at no learning rate to speak of: what noise alone gives is the sketch, of the kind that z tells."""
    network = dataclasses.replace(UNET, sketch_rank=2)
    diffusion = DiffusionConfig(prediction="sample", zero_terminal_snr=True)
    loop = dataclasses.replace(LOOP, steps=1, learning_rate=1e-9)
    train_base(run, dataclasses.replace(BASE, network=network, diffusion=diffusion, loop=loop))
    trained, _ = load_denoiser(UNet, UNetConfig, run / "base")
    statistics = load_statistics(run / "planes")
    planes, latents, _ = load_subjects(run, 8, range(COUNT))
    sketched = trained(torch.zeros(planes.shape), torch.full((COUNT,), 999.0), latents)
    assert (sketched - planes).square().mean() < 0.2 * planes.float().square().mean()
    middle = (statistics.denormalize(sketched) - 5.0).mean(dim=(1, 2))[:, 3:5, 3:5].mean(dim=(1, 2))
    assert torch.equal(middle > 0, torch.arange(COUNT) % 2 == 1)


def test_a_training_begins_from_another_model(run: Path, tmp_path: Path) -> None:
    """At no learning rate to speak of its network comes out as it was, but for the sketch, which the planes give."""
    kind = dataclasses.replace(UNET, sketch_rank=2)
    other = UNet(kind)
    save_denoiser(other, DIFFUSION, tmp_path / "other" / "base")
    still = dataclasses.replace(BASE, network=kind, loop=dataclasses.replace(LOOP, steps=1, learning_rate=1e-9))
    with pytest.raises(UserError, match=r"base.config\.json: width is 16, the network to train has 32"):
        train_base(
            run, dataclasses.replace(still, network=dataclasses.replace(kind, width=32)), start=tmp_path / "other"
        )
    noisy = dataclasses.replace(still, diffusion=dataclasses.replace(DIFFUSION, prediction="sample"))
    with pytest.raises(UserError, match=rf"diffusion\.json: prediction is {DIFFUSION.prediction}, .* has sample"):
        train_base(run, noisy, start=tmp_path / "other")
    train_base(run, still, start=tmp_path / "other")
    trained, _ = load_denoiser(UNet, UNetConfig, run / "base")
    given = other.state_dict()
    for name, value in trained.state_dict().items():
        if not name.startswith("sketch."):
            torch.testing.assert_close(value, given[name], atol=1e-6, rtol=0)
    assert trained.sketch is not None
    assert other.sketch is not None
    assert not torch.allclose(trained.sketch.basis, other.sketch.basis)


def test_a_finished_run_is_left_alone(trained_once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(trained_once, tmp_path / "run"))
    before = (run / "base" / "model.safetensors").stat().st_mtime_ns
    train_base(run, BASE)
    assert "trained already" in capsys.readouterr().out
    assert (run / "base" / "model.safetensors").stat().st_mtime_ns == before


def test_finished_runs_of_other_settings_are_refused(trained_once: Path) -> None:
    with pytest.raises(UserError, match="width 16, not 32"):
        train_base(trained_once, dataclasses.replace(BASE, network=dataclasses.replace(UNET, width=32)))
    with pytest.raises(UserError, match="schedule shifted, not cosine"):
        train_base(trained_once, dataclasses.replace(BASE, diffusion=COSINE))


def test_unfinished_runs_of_other_settings_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rodin.train.base, "save_denoiser", stop)
    with pytest.raises(KeyboardInterrupt):
        train_base(run, BASE)
    with pytest.raises(UserError, match=r"settings.json: .*diffusion"):
        train_base(run, dataclasses.replace(BASE, diffusion=COSINE))


class Rank(NamedTuple):
    process_index: int
    num_processes: int


def test_ranks_share_the_subjects(run: Path) -> None:
    planes, latents, _ = load_subjects(run, 8, range(COUNT))
    assert planes.shape == (COUNT, 3, 4, 8, 8)
    assert planes.dtype == torch.float16
    assert planes.abs().max() <= 4.0
    assert abs(planes.float().mean().item()) < 0.05
    assert planes.float().std().item() == pytest.approx(1.0, abs=0.1)
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(COUNT))
    some, some_latents, _ = load_subjects(run, 8, [1, 4, 7])
    torch.testing.assert_close(some, planes[1::3])
    torch.testing.assert_close(some_latents, latents[1::3])
    assert [rank_share(run, list(range(COUNT)), Rank(rank, 3)) for rank in range(3)] == [  # type: ignore[arg-type]
        [0, 3, 6, 9],
        [1, 4, 7],
        [2, 5, 8],
    ]
    with pytest.raises(UserError, match="fewer subjects than the 20 processes"):
        rank_share(run, list(range(COUNT)), Rank(19, 20))  # type: ignore[arg-type]


def test_mirror_images_follow_their_subjects(run: Path) -> None:
    planes, latents, _ = load_subjects(run, 8, [1, 4])
    both, both_latents, _ = load_subjects(run, 8, [1, 4], mirrored=True)
    assert torch.equal(both[::2], planes)
    torch.testing.assert_close(both_latents[::2], latents)
    encoder, statistics = Encoder.from_pretrained(run / "encoder"), load_statistics(run / "planes")
    fitted = list(read_shards(run / "planes"))
    for k, index in enumerate([1, 4]):
        torch.testing.assert_close(both[2 * k + 1], statistics.normalize(mirror(fitted[index].planes)).half())
        torch.testing.assert_close(
            both_latents[2 * k + 1], encoder.encode_images(fitted[index].frontal.flip(1)[None])[0]
        )


def test_larger_planes_are_resampled(run: Path) -> None:
    planes = load_subjects(run, 4, range(COUNT)).planes
    whole = load_subjects(run, 8, range(COUNT)).planes
    # away from the borders, halving with anti-aliasing is near the mean of 2 x 2 texels; the domain stays the same
    wanted = whole.float().flatten(0, 2).unfold(1, 2, 2).unfold(2, 2, 2).mean(dim=(-1, -2)).view(planes.shape)
    torch.testing.assert_close(planes.float()[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], atol=0.35, rtol=0)


def test_latents_are_dropped_as_often_as_asked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    forward = UNet.forward

    def watched(self: nn.Module, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        seen.append(z.norm(dim=-1))
        return forward(self, x, t, z)  # type: ignore[arg-type]

    monkeypatch.setattr(UNet, "forward", watched)
    loop = dataclasses.replace(LOOP, steps=20, batch_size=32)
    train_base(run, dataclasses.replace(BASE, network=QUICK, loop=loop, latent_dropout=0.3))
    lengths = torch.cat(seen)
    assert ((lengths == 0) | ((lengths - 1).abs() < 1e-3)).all()
    assert (lengths == 0).float().mean().item() == pytest.approx(0.3, abs=0.06)


def test_noise_on_latents_turns_them_and_keeps_their_length(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of length s turns a unit vector of many numbers by about arctan s."""
    seen: list[Tensor] = []
    forward = UNet.forward

    def watched(self: nn.Module, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        seen.append(z)
        return forward(self, x, t, z)  # type: ignore[arg-type]

    monkeypatch.setattr(UNet, "forward", watched)
    loop = dataclasses.replace(LOOP, steps=10, batch_size=16)
    train_base(run, dataclasses.replace(BASE, network=QUICK, loop=loop, latent_dropout=0.0, latent_noise=0.75))
    given, latents = torch.cat(seen[:10]), load_subjects(run, 4, range(COUNT)).latents
    torch.testing.assert_close(given.norm(dim=1), torch.ones(len(given)), atol=1e-3, rtol=0)
    assert (given @ latents.t()).amax(dim=1).median().item() == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 8, "out_channels": 8}, "planes have 4 channels, the network is for 8"),
        ({"size": 16, "attention": (4,)}, "planes are 8 x 8, the network is for 16"),
        ({"latent_dim": 256}, "latents have 512 numbers"),
    ],
)
def test_networks_that_do_not_fit_are_refused(run: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_base(run, dataclasses.replace(BASE, network=dataclasses.replace(UNET, **change)))


def test_held_out_subjects_are_judged_and_never_trained_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    losses = Diffusion.losses

    def watched(self: Diffusion, network: nn.Module, x0: Tensor, *rest: Any) -> dict[str, Tensor]:
        seen.append(x0)
        return losses(self, network, x0, *rest)

    monkeypatch.setattr(Diffusion, "losses", watched)
    train_base(run, dataclasses.replace(BASE, loop=dataclasses.replace(LOOP, steps=10), held_out_every=4))
    planes, latents, _ = load_subjects(run, 8, range(COUNT))
    distances = torch.cdist(torch.cat(seen).flatten(1), planes.float().flatten(1))
    assert set(distances.argmin(dim=1).tolist()) == {0, 1, 2, 4, 5, 6, 8, 9}
    assert distances.min(dim=1).values.max() < 0.1  # of distances from 4 up

    network, diffusion = load_denoiser(UNet, UNetConfig, run / "base")
    judged = validation(planes[3::4], latents[3::4], Diffusion(diffusion), clip=4.0, batch_size=4)
    with (run / "base.training" / "log.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    with torch.no_grad():
        assert [float(last[name]) for name in judged.names] == pytest.approx(judged.figures(network), rel=1e-4)


def test_pictures_show_training_and_held_out_subjects(trained_once: Path, run: Path) -> None:
    train_base(run, dataclasses.replace(BASE, held_out_every=4))
    for folder, subjects in ((trained_once, pictures.SHOWN), (run, pictures.SHOWN + 2)):
        with Image.open(folder / "base.training" / "samples" / "step-000003.png") as picture:
            assert picture.size == (2 * 2 * pictures.SIDE, subjects * pictures.SIDE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": dataclasses.replace(UNET, out_channels=8)}, "out_channels 4"),
        ({"network": dataclasses.replace(UNET, condition_channels=4)}, "condition_channels 0"),
        ({"diffusion": DiffusionConfig(learned_variance=True)}, "out_channels 8"),
        ({"latent_dropout": 1.5}, "latent_dropout"),
        ({"latent_noise": -0.1}, "latent_noise"),
        ({"held_out_every": 1}, "held_out_every must be 0 for off or at least 2, got 1"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BASE, **change)


def test_learned_variance_trains(run: Path) -> None:
    unet, diffusion = dataclasses.replace(UNET, out_channels=8), DiffusionConfig(learned_variance=True)
    train_base(run, dataclasses.replace(BASE, network=unet, diffusion=diffusion))
    assert "vlb" in (run / "base.training" / "log.csv").read_text()


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="planes"):
        train_base(tmp_path, BASE)


class OtherRank:
    """The state of this process, which says that it is not the first."""

    is_main_process = False

    def __init__(self, own: Any) -> None:
        self.own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


@pytest.mark.parametrize(("first", "read"), [(True, 2), (False, 1)])
def test_the_first_rank_alone_reads_the_held_out_subjects(
    run: Path, monkeypatch: pytest.MonkeyPatch, first: bool, read: int
) -> None:
    seen: list[int] = []
    load, state = rodin.train.base.load_subjects, rodin.train.base.process_state

    def noted(run: Path, size: int, chosen: list[int], **rest: Any) -> Any:
        seen.append(len(chosen))
        return load(run, size, chosen, **rest)

    monkeypatch.setattr(rodin.train.base, "load_subjects", noted)
    if not first:
        monkeypatch.setattr(rodin.train.base, "process_state", lambda: OtherRank(state()))
    loop = dataclasses.replace(LOOP, steps=2)
    train_base(run, dataclasses.replace(BASE, loop=loop, held_out_every=4))
    assert len(seen) == read, "the training subjects that are drawn, and the held-out ones"
    assert (run / "base").exists() == first
