"""Contract: the palette stage learns the colours of fits from their frontal images; materials that a subject lacks
teach nothing; a finished run is left alone, and what does not fit is refused.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rodin.data.shards import FittedSubject, write_shards
from rodin.errors import UserError
from rodin.materials import MATERIALS as ALL
from rodin.models.clip import Encoder
from rodin.models.palette import PaletteConfig, PaletteNetwork
from rodin.parts import load_component, save_component
from rodin.synth.recipe import make_recipe
from rodin.synth.words.caption import make_caption
from rodin.train.loop import LoopConfig
from rodin.train.palette import PaletteTraining, load_palettes, named_colours, train_palette, with_names

pytestmark = pytest.mark.usefixtures("mended_checksums")

MATERIALS, COUNT = 3, 20
LOOP = LoopConfig(steps=250, batch_size=16, learning_rate=3e-3, warmup_steps=5, ema_decay=0.98)
CONFIG = PaletteTraining(network=PaletteConfig(materials=MATERIALS, hidden=16), loop=LOOP, latent_noise=0.1)
NEVER = 2  # a material that no subject has


def subject(index: int) -> FittedSubject:
    """A head whose picture is of its first material's colour; half of them have the second, which is its complement."""
    colour = torch.rand(3, generator=torch.Generator().manual_seed(index))
    frontal = torch.ones(16, 16, 4)
    frontal[..., :3] = colour
    presence = torch.tensor([0.9, 0.1 * (index % 2), 0.0])
    missing = torch.tensor([0.99, 0.0, 0.99])  # what a fit leaves where there is nothing to fit
    palette = torch.stack([colour, 1 - colour if index % 2 else missing, missing])
    return FittedSubject(
        f"s{index}", torch.zeros(3, 2, 4, 4), "", frontal, psnr=30.0, ssim=0.9, palette=palette, presence=presence
    )


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Callable[[list[str]], Encoder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("fitted")
    tiny_encoder(["a head"]).save_pretrained(run / "encoder")
    write_shards(run / "planes", [subject(k) for k in range(COUNT)], decoder_hash="0" * 64, per_shard=8)
    return run


@pytest.fixture(scope="module")
def learned(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(fitted, tmp_path_factory.mktemp("learned"), dirs_exist_ok=True))
    train_palette(run, CONFIG)
    return run


def test_colours_are_read_off_the_latent(learned: Path) -> None:
    network = load_component(PaletteNetwork, PaletteConfig, learned / "palette").eval()
    latents, palettes, present, _ = load_palettes(learned)
    found = network(latents)[0]
    error, common = (found - palettes).abs(), (network.mean - palettes).abs()
    for material in (0, 1):
        here = present[:, material]
        assert error[here, material].mean() < 0.5 * common[here, material].mean()


def test_what_is_not_there_teaches_nothing(learned: Path) -> None:
    network = load_component(PaletteNetwork, PaletteConfig, learned / "palette").eval()
    latents, _, present, _ = load_palettes(learned)
    assert not present[:, NEVER].any()
    torch.testing.assert_close(network(latents)[0][:, NEVER], torch.full((2 * COUNT, 3), 0.5))
    wanted = torch.stack([subject(k).palette[1] for k in range(COUNT) if k % 2])  # type: ignore[index]
    torch.testing.assert_close(network.mean[1], wanted.mean(dim=0))


def test_a_finished_run_is_left_alone(learned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = (learned / "palette" / "model.safetensors").read_bytes()
    train_palette(learned, CONFIG)
    assert "is trained already" in capsys.readouterr().out
    assert (learned / "palette" / "model.safetensors").read_bytes() == weights
    other = dataclasses.replace(CONFIG, network=PaletteConfig(materials=MATERIALS, hidden=17))
    with pytest.raises(UserError, match="asked for"):
        train_palette(learned, other)


def test_planes_of_other_materials_or_of_none_are_refused(run: Path) -> None:
    other = dataclasses.replace(CONFIG, network=PaletteConfig(materials=4))
    with pytest.raises(UserError, match="palettes of 3 materials"):
        train_palette(run, other)
    plain = [dataclasses.replace(subject(k), palette=None, presence=None) for k in range(3)]
    write_shards(run / "planes", plain, decoder_hash="0" * 64, per_shard=8)
    with pytest.raises(UserError, match="s0 has no palette"):
        train_palette(run, CONFIG)


def test_captions_name_colours() -> None:
    """Of whom a caption says so, and who has the material: the mean and the spread of their colours."""
    people = [make_recipe(7, k) for k in range(120)]
    generator = torch.Generator().manual_seed(0)
    palettes = torch.rand(len(people), len(ALL), 3, generator=generator)
    hat = ALL.index("hat")
    present = torch.ones(len(people), len(ALL), dtype=torch.bool)
    present[:, hat] = torch.tensor([one.hat != "none" for one in people])
    captions = [make_caption(one, absences=True) for one in people]
    found = named_colours(captions, palettes, present)
    for material, attribute in (("hat", "hat_color"), ("top", "top_color"), ("lips", "skin")):
        row = ALL.index(material)
        for value in {getattr(one, attribute) for one in people}:
            theirs = [
                palettes[k, row]
                for k, one in enumerate(people)
                if getattr(one, attribute) == value and (material != "hat" or one.hat != "none")
            ]
            name = f"{material}/{attribute}/{value}"
            assert (name in found) == (len(theirs) >= 3)
            if name in found:
                torch.testing.assert_close(found[name][0], torch.stack(theirs).mean(dim=0))
                torch.testing.assert_close(found[name][1], torch.stack(theirs).std(dim=0))
    assert named_colours(captions, palettes[:, :3], present[:, :3]) == {}, "materials of one's own"
    assert named_colours([""] * len(people), palettes, present) == {}


def test_the_named_colours_go_with_the_network(tmp_path: Path) -> None:
    network = PaletteNetwork(PaletteConfig(materials=len(ALL), hidden=8))
    red = (torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.1, 0.05, 0.05]))
    save_component(with_names(network, {"hair/hair_color/red": red}), tmp_path / "palette")
    found = load_component(PaletteNetwork, PaletteConfig, tmp_path / "palette")
    assert found.config.named == ("hair/hair_color/red",)
    torch.testing.assert_close(found.named_mean[0], red[0])
    torch.testing.assert_close(found.named_std[0], red[1])
    torch.testing.assert_close(found.state_dict()["colour.weight"], network.colour.weight)
