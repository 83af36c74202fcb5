"""Contract of rodin.avatars.avatar: a file holds all of an avatar and gives back the same pixels; its surface lies
where the subject's does, faces outward and has its colours; a damaged or foreign file is refused on one line."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rodin import framing
from rodin.avatars.avatar import FLAT_SCHEMA, SCHEMA, SUFFIX, Avatar
from rodin.avatars.drawing import Drawing, Sampling
from rodin.avatars.mesh import Mesh
from rodin.camera import Camera, camera_at, orbit
from rodin.data.captures import load_subject
from rodin.data.shards import read_shards
from rodin.errors import UserError
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.synth.cameras import camera_poses, focal_length

pytestmark = pytest.mark.usefixtures("mended_checksums")


@pytest.fixture(scope="module")
def avatar(trained: Path) -> Avatar:
    """The fitted ball0 as an avatar."""
    decoder = load_component(Decoder, DecoderConfig, trained / "decoder")
    ball = next(iter(read_shards(trained / "planes")))
    latent = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(0)), dim=0)
    refiner = load_component(Refiner, RefinerConfig, trained / "refiner")
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)).half().float()
    sampling = Sampling(guidance_scale=1.25, steps=9, upsampling_steps=4, sampler="ddim")
    drawing = Drawing(seed=7, prompt="a ball", sampling=sampling)
    return Avatar(ball.planes, decoder, refiner, latent, noise, drawing, "f" * 64)


@pytest.fixture(scope="module")
def file(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / f"one{SUFFIX}"
    avatar.save(path)
    return path


# ---- the file


def test_round_trip_renders_identical_pixels(avatar: Avatar, file: Path) -> None:
    again = Avatar.load(file)
    camera = orbit([40.0], [20.0], size=32)[0]
    assert torch.equal(again.render(camera), avatar.render(camera))
    assert torch.equal(again.render(camera, refine=True), avatar.render(camera, refine=True))
    assert torch.equal(again.latent, avatar.latent)
    assert torch.equal(again.noise, avatar.noise)
    assert (again.drawing, again.model_hash) == (avatar.drawing, "f" * 64)
    assert (again.decoder.config, again.refiner.config) == (avatar.decoder.config, avatar.refiner.config)


def test_refined_pictures_have_the_cameras_size(avatar: Avatar) -> None:
    assert avatar.portrait(33, refine=True).shape == (33, 33, 4)
    assert avatar.turntable(2, 20, refine=True).shape == (2, 20, 20, 4)


def test_planes_have_the_files_precision_before_they_are_saved(avatar: Avatar) -> None:
    planes = torch.full_like(avatar.planes, 1 / 3)
    assert torch.equal(replace(avatar, planes=planes).planes, planes.half().float())


def test_the_file_says_what_it_is(file: Path, avatar: Avatar) -> None:
    with safe_open(file, framework="pt") as content:
        facts = content.metadata()
        assert content.get_tensor("planes").dtype == torch.float16
    assert facts["schema"] == SCHEMA
    assert json.loads(facts["drawing"])["prompt"] == "a ball"
    assert facts["model_hash"] == "f" * 64
    assert json.loads(facts["decoder"])["channels"] == avatar.planes.shape[1]
    networks = sum(value.nbytes for part in (avatar.decoder, avatar.refiner) for value in part.state_dict().values())
    assert file.stat().st_size < 2 * avatar.planes.numel() + 2 * avatar.noise.numel() + networks + 10_000


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_cut_off_file_is_refused(file: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / f"cut{SUFFIX}"
    path.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(
        UserError, match=rf"cut{SUFFIX}: not a whole avatar file \(.+\); copy or generate it again"
    ) as caught:
        Avatar.load(path)
    assert "\n" not in str(caught.value)


def _facts(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as content:
        return dict(content.metadata())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "rodin-avatar-9"}, r"schema is 'rodin-avatar-9', this version reads 'rodin-avatar-4'"),
        ({"decoder": "{"}, "a damaged avatar file"),
        ({"decoder": "[" * 100_000}, "a damaged avatar file"),
        ({"decoder": json.dumps({"channels": 3})}, "a damaged avatar file"),
        ({"refiner": "{}"}, r"a damaged avatar file \(refiner: fields missing"),
        (
            {"drawing": json.dumps({"seed": "seven"})},
            r"a damaged avatar file \(drawing: seed is 'seven'; give a value of type int",
        ),
        ({"drawing": "[" * 100_000}, "a damaged avatar file"),
    ],
)
def test_other_facts_are_refused(file: Path, tmp_path: Path, change: dict[str, str], message: str) -> None:
    path = tmp_path / f"other{SUFFIX}"
    save_file(load_file(file), path, metadata={**_facts(file), **change})
    with pytest.raises(
        UserError, match=rf"other{SUFFIX}: {message}.*; (generate|copy|it was written by a newer version)"
    ):
        Avatar.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"planes": None},
        {"latent": None},
        {"decoder.density.weight": None},
        {"planes": torch.zeros(3, 6, 8, 8)},
        {"planes": torch.zeros(2, 4, 8, 8)},
        {"noise": None},
        {"noise": torch.zeros(3, 6, 8, 8)},
        {"refiner.head.weight": None},
        {"decoder.trunk.weight": torch.zeros(2, 2)},
    ],
)
def test_other_tensors_are_refused(file: Path, tmp_path: Path, change: dict[str, Tensor | None]) -> None:
    path = tmp_path / f"other{SUFFIX}"
    tensors = {name: value for name, value in {**load_file(file), **change}.items() if value is not None}
    save_file(tensors, path, metadata=_facts(file))
    with pytest.raises(UserError, match=rf"other{SUFFIX}: a damaged avatar file \(.+\); generate it again") as caught:
        Avatar.load(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_avatar_is_refused(tmp_path: Path) -> None:
    save_file({"planes": torch.zeros(3, 4, 8, 8)}, tmp_path / "plain.safetensors")
    with pytest.raises(UserError, match=r"plain\.safetensors: schema is 'none'"):
        Avatar.load(tmp_path / "plain.safetensors")
    with pytest.raises(UserError, match=r"nothing: no such file; give an avatar \(\.rodin\.safetensors\)"):
        Avatar.load(tmp_path / "nothing")


def test_a_full_disk_leaves_the_old_file(avatar: Avatar, tmp_path: Path, full_disk: Any) -> None:
    path = tmp_path / f"one{SUFFIX}"
    path.write_text("old")
    with full_disk(2000), pytest.raises(UserError, match=rf"one{SUFFIX}: not written"):
        avatar.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# ---- pictures


def test_the_portrait_is_the_subject(avatar: Avatar, balls: Path) -> None:
    portrait = avatar.portrait(48)
    assert portrait.shape == (48, 48, 4)
    assert float(portrait.min()) >= 0
    assert float(portrait.max()) <= 1
    assert portrait[24, 24, 3] > 0.9
    assert portrait[0, 0, 3] < 0.1
    subject = load_subject(balls / "ball0")
    seen = avatar.render(subject.camera[0])
    over = [image[..., :3] * image[..., 3:] + 1 - image[..., 3:] for image in (seen, subject.images[0])]
    assert float((over[0] - over[1]).square().mean()) < 0.01, "20 dB"


def test_the_turntable_starts_in_front_and_goes_all_around(avatar: Avatar) -> None:
    views = avatar.turntable(frames=4, size=24, elevation_deg=2.0)
    assert views.shape == (4, 24, 24, 4)
    torch.testing.assert_close(views[0], avatar.portrait(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(views[1], avatar.render(orbit([90.0], [2.0], size=24)[0]), atol=1e-4, rtol=0)


# ---- surface


@pytest.fixture(scope="module")
def mesh(avatar: Avatar) -> Mesh:
    return avatar.mesh(resolution=48, threshold=10.0)


def test_the_surface_is_closed_faces_outward_and_is_the_balls(mesh: Mesh, balls: Path) -> None:
    import trimesh

    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    radius = float(load_subject(balls / "ball0").caption.split()[4].rstrip(","))
    assert 0.4 < solid.volume / (4 / 3 * np.pi * radius**3) < 1.1, "a short fit is soft: its surface lies too deep"
    outward = mesh.vertices - mesh.vertices.mean(dim=0)
    assert float(((mesh.normals * outward).sum(dim=-1) > 0).float().mean()) > 0.95


def test_the_surface_has_the_colours_seen_from_outside() -> None:
    """A full box that looks red to whoever looks along +z: that is its back, seen from behind."""
    decoder = Decoder(DecoderConfig(channels=1, hidden=8, colour_layers=0))
    with torch.no_grad():
        for value in decoder.parameters():
            value.zero_()
        decoder.density.bias.fill_(10.0)
        decoder.direction.weight.copy_(torch.eye(8))
        decoder.colour[-1].weight[0, 2] = 20.0  # red follows the z of the direction
    refiner = Refiner(RefinerConfig(channels=1, width=4, blocks=1, scale=2))
    planes = torch.zeros(3, 1, 8, 8)
    mesh = Avatar(planes, decoder, refiner, torch.zeros(512), planes, Drawing(seed=0), "").mesh(resolution=16)
    front, back = mesh.vertices[:, 2] > 0.99, mesh.vertices[:, 2] < -0.99
    assert float(mesh.colours[front, 0].max()) < 0.01
    assert float(mesh.colours[back, 0].min()) > 0.99
    torch.testing.assert_close(mesh.colours[:, 1:], torch.full_like(mesh.colours[:, 1:], 0.5))


def test_a_threshold_beyond_all_density_is_named(avatar: Avatar) -> None:
    with pytest.raises(UserError, match="threshold: no density is above 1e"):
        avatar.mesh(resolution=16, threshold=1e9)


def test_a_file_of_the_version_before_still_loads(file: Path, tmp_path: Path) -> None:
    """Its drawing was flat, with another name for the steps, and said nothing of the prior; prompts were read as they
    stand."""
    with safe_open(file, framework="pt") as opened:
        facts, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    flat = {"seed": 3, "prompt": "a ball", "guidance_scale": 1.3, "num_inference_steps": 7, "sampler": "ddim"}
    flat |= {"upsampling_steps": 2, "temperature": 0.6, "refine": 5}
    old = tmp_path / f"old{SUFFIX}"
    save_file(tensors, old, metadata={**facts, "schema": FLAT_SCHEMA, "drawing": json.dumps(flat)})
    how = Sampling(guidance_scale=1.3, steps=7, sampler="ddim", upsampling_steps=2, temperature=0.6, emphasis=0.0)
    assert Avatar.load(old).drawing == Drawing(seed=3, prompt="a ball", literal=True, sampling=how, refine=5)


def test_a_file_without_an_emphasis_was_drawn_without(file: Path, tmp_path: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        facts, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    drawing = json.loads(facts["drawing"])
    del drawing["sampling"]["emphasis"]
    old = tmp_path / f"old{SUFFIX}"
    save_file(tensors, old, metadata={**facts, "drawing": json.dumps(drawing)})
    assert Avatar.load(old).drawing.sampling.emphasis == 0.0


def test_a_wrong_field_is_named_once(file: Path, tmp_path: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        facts, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    wrong = tmp_path / f"wrong{SUFFIX}"
    save_file(tensors, wrong, metadata={**facts, "drawing": json.dumps({"seed": 1, "refine": "much"})})
    found = (
        r"a damaged avatar file \(drawing: refine is 'much'; give a value of type int below 1e15\); generate it again"
    )
    with pytest.raises(UserError, match=found) as caught:
        Avatar.load(wrong)
    assert str(caught.value).count(str(wrong)) == 1


def test_portraits_are_framed_as_the_renders_are(avatar: Avatar) -> None:
    """One camera for both: the recipe's, computed by NumPy in the package's other half."""
    pose = camera_poses(seed=0, index=0, views=2, size=128)[0]
    there = Camera(
        torch.from_numpy(pose).float(),
        torch.full((2,), focal_length(128)),
        torch.full((2,), 64.0),
        128,
        128,
    )
    assert abs(float(there.position.norm()) - framing.RADIUS) < 0.005
    assert float((avatar.portrait(128) - avatar.render(there)).abs().mean()) < 1e-3
    assert float((avatar.portrait(128) - avatar.render(camera_at(size=128, radius=5.3))).abs().mean()) > 3e-3


def test_planes_are_shown_rolled_out(avatar: Avatar) -> None:
    """Of planes that vary along one direction of the features alone, red shows just that, plane by plane."""
    ramp = torch.linspace(-1, 1, 8)[:, None] + 0.1 * torch.arange(3.0)[:, None, None]  # [3, 8, 1]: along rows
    direction = torch.tensor([3.0, 0.0, -4.0, 0.0])
    one = dataclasses.replace(avatar, planes=direction[:, None, None] * ramp[:, None].expand(3, 4, 8, 8))
    picture = one.plane_picture()
    assert picture.shape == (8, 24, 3)
    assert 0 <= picture.min() <= picture.max() <= 1
    red = picture[..., 0].unflatten(1, (3, 8))  # rows, planes, columns
    torch.testing.assert_close(red, red[..., :1].expand_as(red), atol=1e-3, rtol=0)
    steps = red[1:-1, :, 0].diff(dim=0)
    assert bool((steps > 0).all()) or bool((steps < 0).all())
