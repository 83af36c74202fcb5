"""A model of materials from captures with maps to avatars in any colour: what the whole chain promises."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.camera import camera_at, orbit
from rodin.data.captures import load_subject
from rodin.data.shards import read_shards
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.models.folder import load_model
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import Renderer

SKIN, HAIR = MATERIALS.index("skin"), MATERIALS.index("hair")
QUICK = Sampling(steps=2, upsampling_steps=1)


@pytest.fixture(scope="module")
def pipe(trained_on_materials: Path) -> RodinPipeline:
    return RodinPipeline.from_pretrained(trained_on_materials / "model")


def test_fits_know_their_materials_and_their_colours(balls: Path, trained_on_materials: Path) -> None:
    decoder = load_component(Decoder, DecoderConfig, trained_on_materials / "decoder")
    for fitted in read_shards(trained_on_materials / "planes"):
        assert fitted.palette is not None
        assert fitted.presence is not None
        assert fitted.iou is not None
        truth = load_subject(balls / fitted.name, maps=True)
        assert truth.shares is not None
        for material in (SKIN, HAIR):
            there = truth.shares[..., material] > 0.99
            mean = truth.images[there][:, :3].mean(dim=0)
            torch.testing.assert_close(fitted.palette[material], mean, atol=0.08, rtol=0)
            assert fitted.iou[material] > 0.7
        assert fitted.presence[[SKIN, HAIR]].sum() == pytest.approx(1)
        assert fitted.iou.isnan().sum() == len(MATERIALS) - 2
        # Turned to another colour, one half changes and the other does not.
        renderer = Renderer.culled(fitted.planes, decoder, fitted.palette)
        camera = orbit([0.0, 120.0], [0.0, 20.0], size=32)
        red = fitted.palette.clone()
        red[HAIR] = torch.tensor([0.8, 0.1, 0.1])
        shares = renderer.render(camera, 64).shares
        before, after = (one.render(camera, 64).premultiplied for one in (renderer, renderer.repainted(red)))
        moved = (after - before).abs().mean(dim=-1)
        assert moved[shares[..., HAIR] < 0.01].mean() < 2 / 255
        assert moved[shares[..., HAIR] > 0.9].mean() > 0.05


def test_avatars_are_drawn_in_colours_of_their_own(pipe: RodinPipeline, tmp_path: Path) -> None:
    first, second = pipe(seed=3, count=2, sampling=QUICK)
    assert first.palette is not None
    assert first.palette.shape == (len(MATERIALS), 3)
    alone = pipe(seed=4, sampling=QUICK)[0]
    torch.testing.assert_close(alone.palette, second.palette)
    first.save(tmp_path / f"one{SUFFIX}")
    again = Avatar.load(tmp_path / f"one{SUFFIX}")
    camera = camera_at(size=24)
    assert torch.equal(again.render(camera), first.render(camera))


def test_recolouring_moves_the_palette_alone(pipe: RodinPipeline) -> None:
    avatar = pipe(seed=3, sampling=QUICK)[0]
    camera = camera_at(size=24)
    before = avatar.render(camera)
    red = avatar.recoloured({"hair": (0.8, 0.1, 0.1)})
    assert torch.equal(red.planes, avatar.planes)
    assert torch.equal(red.noise, avatar.noise)
    assert torch.equal(avatar.recoloured({}).render(camera), before)
    fresh = Avatar(
        red.planes, red.decoder, red.refiner, red.latent, red.noise, red.drawing, red.model_hash, palette=red.palette
    )
    torch.testing.assert_close(fresh.render(camera), red.render(camera))
    with pytest.raises(UserError, match="'fur' is no material"):
        avatar.recoloured({"fur": (0.0, 0.0, 0.0)})
    with pytest.raises(UserError, match=r"hair is \(2, 0, 0\)"):
        avatar.recoloured({"hair": (2, 0, 0)})


def test_words_of_colours_alone_move_the_palette_alone(
    pipe: RodinPipeline, trained_on_materials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ball = next(iter(read_shards(trained_on_materials / "planes")))
    avatar = replace(pipe(seed=3, sampling=QUICK)[0], planes=ball.planes, palette=ball.palette)
    assert avatar.palette is not None
    assert avatar.materials_shown() == {"skin", "hair"}
    # The captions of the balls know none of these words: what the prior makes of them is given.
    said = torch.nn.functional.normalize(torch.randn(1, 512, generator=torch.Generator().manual_seed(0)), dim=-1)
    monkeypatch.setattr(pipe, "draw_latents", lambda prompt, seeds, sampling: said if prompt else -said)
    red = pipe.edit(avatar, "red hair")
    half = pipe.edit(avatar, "red hair", strength=0.5)
    hat = pipe.edit(avatar, "a red hat")
    for edited in (red, half):
        assert torch.equal(edited.planes, avatar.planes)
        assert torch.equal(edited.latent, avatar.latent)
        assert edited.palette is not None
        assert (edited.palette - avatar.palette).abs().sum(dim=1).nonzero().flatten().tolist() == [HAIR]
    torch.testing.assert_close(half.palette, torch.lerp(avatar.palette, red.palette, 0.5))
    assert red.drawing.prompt == "red hair"
    assert not torch.equal(hat.planes, avatar.planes), "it wears none, so that there is nothing to colour"
    set_by_hand = pipe.edit(avatar, colours={"hair": (0.5, 0.25, 0.75)})
    assert torch.equal(set_by_hand.planes, avatar.planes)
    assert set_by_hand.palette is not None
    assert set_by_hand.palette[HAIR].tolist() == [0.5, 0.25, 0.75]
    with pytest.raises(UserError, match="nothing to change"):
        pipe.edit(avatar)


def test_what_is_made_of_avatars_keeps_colours(pipe: RodinPipeline) -> None:
    first, last = pipe(seed=3, count=2, sampling=QUICK)
    blue = first.recoloured({"hair": (0.3, 0.3, 0.7)})
    assert first.palette is not None
    assert last.palette is not None
    assert blue.palette is not None
    between = pipe.interpolate(blue, last, 3)[1]
    torch.testing.assert_close(between.palette, torch.lerp(blue.palette, last.palette, 0.5))
    still = pipe.edit(blue, "a ball", strength=0.0)
    torch.testing.assert_close(still.palette, blue.palette)
    # An edit moves colours as it would have moved the colours that the avatar was drawn with.
    moved, plain = pipe.edit(blue, "a ball", strength=0.1), pipe.edit(first, "a ball", strength=0.1)
    assert moved.palette is not None
    assert plain.palette is not None
    torch.testing.assert_close(
        (moved.palette - blue.palette)[HAIR], (plain.palette - first.palette)[HAIR], atol=1e-5, rtol=0
    )
    assert (moved.palette - blue.palette)[HAIR].abs().max() > 1e-4


def test_portraits_bring_their_colours(pipe: RodinPipeline, balls: Path) -> None:
    """The same portrait in red and in blue."""
    portrait = load_subject(balls / "ball1").images[0]
    redness = []
    for colour in ((0.9, 0.1, 0.1), (0.1, 0.1, 0.9)):
        picture = torch.cat([torch.tensor(colour).expand(24, 24, 3), portrait[..., 3:]], dim=-1)
        avatar = pipe(image=picture, refine=4, sampling=QUICK)[0]
        assert avatar.palette is not None
        assert 0 <= avatar.palette.min() <= avatar.palette.max() <= 1
        seen = avatar.render(camera_at(size=24))
        mean = seen[..., :3][seen[..., 3] > 0.5].mean(dim=0)
        redness.append((mean[0] - mean[2]).item())
    assert redness[0] > redness[1] + 0.2


def test_a_folder_without_its_palette_is_refused(trained_on_materials: Path, tmp_path: Path) -> None:
    model = load_model(trained_on_materials / "model")
    assert model.palette is not None
    folder = tmp_path / "model"
    shutil.copytree(trained_on_materials / "model", folder)
    shutil.rmtree(folder / "palette")
    with pytest.raises(UserError, match="palette: no such part"):
        load_model(folder)
