"""Contract of rodin.avatars.gaussians: a PLY in the layout of 3D Gaussian splatting whose splats look like the avatar.

References: a splatter after Kerbl et al. 2023, Sec. 4 and 5, written here, which reads the file alone; the avatar's own
pictures.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rodin import framing
from rodin.avatars.avatar import Avatar
from rodin.avatars.gaussians import Gaussians, gaussians_of, write_gaussians
from rodin.camera import Camera, orbit
from rodin.errors import UserError
from rodin.images import over, psnr

NAMES = [*"xyz", "nx", "ny", "nz", *(f"f_dc_{k}" for k in range(3)), "opacity"]
NAMES += [*(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4))]
SIZE = 96


def read(path: Path) -> dict[str, Tensor]:
    """The columns of a PLY of floats."""
    head, body = path.read_bytes().split(b"end_header\n", 1)
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count = int(lines[2].removeprefix("element vertex "))
    names = [line.removeprefix("property float ") for line in lines[3:]]
    rows = np.frombuffer(body, "<f4").reshape(count, len(names))
    return {name: torch.from_numpy(rows[:, k].copy()) for k, name in enumerate(names)}


def columns(ply: dict[str, Tensor], *names: str) -> Tensor:
    return torch.stack([ply[name] for name in names], dim=1)


def splat(ply: dict[str, Tensor], camera: Camera, scale: float) -> Tensor:
    """[H, W, 4] premultiplied: each Gaussian's ellipse in the picture, 0.3 pixels wider, composited from the front."""
    means = columns(ply, "x", "y", "z") / scale + torch.tensor(framing.NECK)
    w, x, y, z = torch.nn.functional.normalize(columns(ply, "rot_0", "rot_1", "rot_2", "rot_3"), dim=1).unbind(1)
    turned = torch.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ],
        dim=1,
    ).unflatten(1, (3, 3))
    axes = turned * columns(ply, "scale_0", "scale_1", "scale_2").exp()[:, None] / scale
    colours = 0.5 + 0.5 / math.sqrt(math.pi) * columns(ply, "f_dc_0", "f_dc_1", "f_dc_2")
    pose, focal = camera.cam_to_world[0], camera.focal[0]
    seen = (means - pose[:3, 3]) @ pose[:3, :3]
    depth = -seen[:, 2]
    place = torch.stack([seen[:, 0], -seen[:, 1]], dim=1) / depth[:, None] * focal + camera.centre[0]
    slope = torch.zeros(len(means), 2, 3)
    slope[:, 0, 0], slope[:, 1, 1] = focal[0] / depth, -focal[1] / depth
    slope[:, 0, 2], slope[:, 1, 2] = focal[0] * seen[:, 0] / depth**2, -focal[1] * seen[:, 1] / depth**2
    half = slope @ (pose[:3, :3].T @ axes)
    spread = half @ half.transpose(1, 2) + 0.3 * torch.eye(2)
    inverse = torch.linalg.inv(spread)
    reach = 3 * spread.diagonal(dim1=1, dim2=2).sqrt()
    low = (place - reach).floor().long().clamp(0, SIZE)
    high = (place + reach).ceil().long().clamp(0, SIZE)
    image, left = torch.zeros(SIZE * SIZE, 4), torch.ones(SIZE * SIZE)
    extent = high - low
    counts = extent.prod(dim=1)
    order = depth.argsort()
    for some in order.split(2048):  # from the front, which bounds memory
        which = some.repeat_interleave(counts[some])
        first = (counts[some].cumsum(0) - counts[some]).repeat_interleave(counts[some])
        within = torch.arange(len(which)) - first
        pixel = torch.stack(
            [low[which, 0] + within % extent[which, 0], low[which, 1] + within // extent[which, 0]], dim=1
        )
        off = pixel + 0.5 - place[which]
        alpha = ply["opacity"][which].sigmoid() * torch.exp(
            -0.5 * torch.einsum("ni,nij,nj->n", off, inverse[which], off)
        )
        row = pixel[:, 1] * SIZE + pixel[:, 0]
        row, into = row.sort(stable=True)
        alpha, which = alpha[into].clamp(max=0.99), which[into]
        passed = torch.log1p(-alpha.double()).cumsum(0)
        begins = torch.ones_like(row, dtype=torch.bool)
        begins[1:] = row[1:] != row[:-1]
        start = (passed - torch.log1p(-alpha.double()))[begins][begins.long().cumsum(0) - 1]
        before = torch.exp(passed - torch.log1p(-alpha.double()) - start).float() * left[row]
        image.index_add_(0, row, torch.cat([colours[which], torch.ones(len(which), 1)], 1) * (before * alpha)[:, None])
        left = 1 - image[:, 3]
    return image.reshape(SIZE, SIZE, 4)


@pytest.mark.parametrize("side", [0.0, 90.0, 180.0, 300.0])
def test_splats_look_like_the_avatar(of_materials: Avatar, side: float, tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.ply", gaussians_of(of_materials.renderer, 80), 0.3)
    ply = read(tmp_path / "a.ply")
    assert list(ply) == NAMES
    solid = ply["opacity"] >= 0
    tall = float(ply["y"][solid].max() - ply["y"][solid].min() + 2 * ply["scale_1"][0].exp())
    assert tall == pytest.approx(0.3, rel=1e-4)
    scale = float(ply["scale_0"][0].exp()) / (0.5 * 2 / 79)
    camera = orbit([side], [10.0], size=SIZE)
    seen, true = splat(ply, camera, scale), of_materials.render(camera)[0]
    for ground in (0.0, 1.0):
        shown = (seen[..., :3] + (1 - seen[..., 3:]) * ground).clamp(0, 1)
        assert psnr(shown, over(true, ground)) >= 28


def test_what_is_hidden_and_what_is_empty_is_left_out(of_materials: Avatar) -> None:
    means = gaussians_of(of_materials.renderer, 64).means.norm(dim=1)
    assert float(means.min()) > 0.3
    assert float(means.max()) < 0.9


def test_an_empty_avatar_and_another_suffix(of_materials: Avatar, tmp_path: Path) -> None:
    empty = dataclasses.replace(of_materials, planes=torch.full_like(of_materials.planes, -5.0))
    with pytest.raises(UserError, match="the avatar is empty"):
        gaussians_of(empty.renderer, 32)
    one = Gaussians(torch.zeros(1, 3), 0.1, torch.ones(1), torch.ones(1, 3))
    with pytest.raises(UserError, match=r"a\.glb: Gaussians are written as \.ply"):
        write_gaussians(tmp_path / "a.glb", one, 0.3)
    write_gaussians(tmp_path / "a.ply", one, 0.3)
    assert all(bool(column.isfinite().all()) for column in read(tmp_path / "a.ply").values())
