"""Contract of what the command line does with materials: a new avatar of other colours, whole, in which everything else
stays; a map of them; and one line where that cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.material_map import MAP_COLOURS
from rodin.camera import orbit
from rodin.cli.colours import Colours
from rodin.cli.main import main
from rodin.images import parse_colour
from rodin.materials import MATERIALS
from rodin.render.decoder import Decoder, DecoderConfig

Fails = Callable[..., str]


@pytest.fixture(scope="module")
def ball(of_materials: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ball") / f"ball{SUFFIX}"
    of_materials.save(path)
    return path


@pytest.fixture(scope="module")
def plain(of_materials: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An avatar without materials."""
    path = tmp_path_factory.mktemp("plain") / f"plain{SUFFIX}"
    decoder = Decoder(DecoderConfig(channels=4)).requires_grad_(False)
    dataclasses.replace(of_materials, decoder=decoder, palette=None).save(path)
    return path


def contents(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
        return file.metadata(), tensors


# ---- recolour


def test_there_is_a_flag_for_every_material() -> None:
    assert tuple(field.name for field in dataclasses.fields(Colours)) == MATERIALS


def test_recolour_changes_the_colours_it_is_given_and_nothing_else(
    ball: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / f"red{SUFFIX}"
    main(["recolour", str(ball), "--hair", "#a03020", "--eye-white", "navy", "--out", str(out)])
    assert capsys.readouterr().out.strip() == str(out)
    before, after = Avatar.load(ball), Avatar.load(out)
    expected = before.palette.clone()
    expected[MATERIALS.index("hair")] = torch.tensor([0xA0, 0x30, 0x20]) / 255
    expected[MATERIALS.index("eye_white")] = torch.tensor([0, 0, 128]) / 255
    torch.testing.assert_close(after.palette, expected)
    (facts, tensors), (new_facts, new_tensors) = contents(ball), contents(out)
    assert {name for name in facts if facts[name] != new_facts[name]} == {"crc32"}
    assert {name for name in tensors if tensors[name] != new_tensors[name]} == {"palette"}

    camera = orbit([0.0, 200.0], [10.0, -10.0], size=48)
    seen = before.renderer.render(camera, 96)
    hair = seen.shares[..., MATERIALS.index("hair")]
    changed = (after.render(camera) - before.render(camera)).abs().amax(dim=-1)
    assert changed[(hair < 1e-6 * seen.alpha) | (seen.alpha == 0)].max() < 1e-5
    assert changed[hair > 0.9].min() > 0.02


def test_a_picture_stands_beside_the_new_avatar(ball: Path, tmp_path: Path) -> None:
    main(["recolour", str(ball), "--skin", "hsl(120, 50%, 50%)", "--out", str(tmp_path / f"a{SUFFIX}")])
    assert {path.name for path in tmp_path.iterdir()} == {f"a{SUFFIX}", "a.png"}
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (256, 256))
        true = Avatar.load(tmp_path / f"a{SUFFIX}").portrait(256)
        assert np.abs(np.asarray(picture) / 255 - true.numpy()).max() < 0.01


def test_a_full_disk_leaves_the_old_avatar(ball: Path, tmp_path: Path, full_disk: Any, fails: Fails) -> None:
    out = tmp_path / f"a{SUFFIX}"
    out.write_text("old")
    with full_disk(2000):
        line = fails("recolour", ball, "--top", "red", "--out", out)
    assert f"{out}: not written" in line
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((), "no colour is given; name a material, such as --hair"),
        (("--hair", "nonsense"), "--hair: 'nonsense' is no colour; give a CSS name such as navy, or #rrggbb"),
        (("--eye-white", "#12345"), "--eye-white: '#12345' is no colour; give"),
        (
            ("--top", "#ff000080"),
            "--top: '#ff000080' has an alpha, but nothing here is transparent; give #rgb or #rrggbb",
        ),
        (("--top", "rgb(300, 0, 0)"), "--top: 'rgb(300, 0, 0)' is beyond white; give numbers from 0 to 255"),
    ],
)
def test_colours_that_are_none(ball: Path, tmp_path: Path, fails: Fails, flags: tuple[str, ...], line: str) -> None:
    assert fails("recolour", ball, *flags, "--out", tmp_path / f"a{SUFFIX}").startswith(line)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_recoloured(ball: Path, plain: Path, tmp_path: Path, fails: Fails) -> None:
    line = fails("recolour", plain, "--hair", "red", "--out", tmp_path / f"a{SUFFIX}")
    assert line.startswith(f"{plain}: this avatar has no materials")
    assert "rodin edit" in line
    line = fails("recolour", ball, "--hair", "red", "--out", tmp_path / "red.png")
    assert line == f"--out: {tmp_path / 'red.png'} does not end in {SUFFIX}; change it"
    assert "nothing: no such file" in fails("recolour", "nothing", "--hair", "red", "--out", tmp_path / f"a{SUFFIX}")
    assert not list(tmp_path.iterdir())


# ---- render --materials


def test_a_map_over_white_and_a_turntable(ball: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(f"render {ball} --materials --size 40 --azimuth 90 --out {tmp_path / 'map.png'}".split())
    said = capsys.readouterr().out
    for name, colour in MAP_COLOURS.items():
        assert f"{name} {colour}" in said
    with Image.open(tmp_path / "map.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (40, 40))
        assert picture.getpixel((0, 0)) == (255, 255, 255)
        hair = [round(255 * value) for value in parse_colour(MAP_COLOURS["hair"])]
        np.testing.assert_allclose(picture.getpixel((20, 18)), hair, atol=5)
    main(f"render {ball} --materials --size 24 --turntable 3 --out {tmp_path / 'map.webp'}".split())
    with Image.open(tmp_path / "map.webp") as around:
        assert (around.n_frames, around.size) == (3, (24, 24))


def test_pictures_that_cannot_be(ball: Path, plain: Path, tmp_path: Path, fails: Fails) -> None:
    render = ("render", ball, "--out", tmp_path / "a.png")
    line = fails("render", plain, "--out", tmp_path / "a.png", "--materials")
    assert line.startswith(f"{plain}: this avatar has no materials to show; generate one by a model that has")
    assert fails(*render, "--materials", "--refine").startswith("--materials, --refine: the refiner draws colours")
    for flags in (("--size", 20), ("--azimuth", 5), ("--elevation", 9), ("--turntable", 2), ("--refine",)):
        line = fails(*render, "--planes", *flags)
        assert line.startswith(f"{flags[0]}: planes are shown whole, at their own size, by --planes alone; leave out")
    assert fails(*render, "--planes", "--materials", "--size", 20).startswith("--size, --materials: planes are shown")
    assert not list(tmp_path.iterdir())
    main([str(word) for word in (*render, "--planes")])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (192, 64)


# ---- export


def test_exports_are_named_by_materials(ball: Path, tmp_path: Path) -> None:
    import trimesh

    for kind in ("glb", "obj"):
        main(f"export {ball} --format {kind} --resolution 32 --out {tmp_path / 'a'}.{kind}".split())
    assert {path.name for path in tmp_path.iterdir()} == {"a.glb", "a.obj", "a.mtl"}
    for kind, how in (("glb", {}), ("obj", {"group_material": True, "split_object": False})):
        parts = trimesh.load(tmp_path / f"a.{kind}", **how).geometry.values()
        assert {part.visual.material.name for part in parts} == {"skin", "hair", "top"}, kind
