"""Subjects that are known exactly: balls of two colours, ray-traced in closed form, in the project's own format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rodin.camera import Camera, orbit

BallMaker = Callable[..., Path]


def trace_ball(camera: Camera, radius: float, centre: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """[H, W, 4] of one view: an opaque ball, colour by the sign of x; 4x4 samples a pixel."""
    fine = camera.resized(camera.width * 4, camera.height * 4)
    origins, directions = (value.double().numpy() for value in fine.rays())
    offset = origins - centre
    half_b = (offset * directions).sum(-1)
    discriminant = half_b**2 - ((offset**2).sum(-1) - radius**2)
    hit = discriminant > 0
    point = origins + (-half_b - np.sqrt(np.maximum(discriminant, 0)))[..., None] * directions
    colour = colours[(point[..., 0] > centre[0]).astype(int)] * hit[..., None]
    blocks = (camera.height, 4, camera.width, 4)
    alpha = hit.reshape(blocks).mean(axis=(1, 3))
    premultiplied = colour.reshape(*blocks, 3).mean(axis=(1, 3))
    straight = premultiplied / np.maximum(alpha, 1e-9)[..., None]
    return np.concatenate([straight, alpha[..., None]], axis=-1)


def write_ball(folder: Path, seed: int, views: int, size: int) -> Path:
    rng = np.random.default_rng(seed)
    radius, centre = rng.uniform(0.45, 0.6), rng.uniform(-0.1, 0.1, 3)
    colours = rng.uniform(0.1, 0.9, (2, 3))
    azimuths = [0.0, *(np.arange(views - 1) * 360.0 / (views - 1) + 13.0).tolist()]
    elevations = [0.0, *(40 * np.sin(np.arange(views - 1) * 2.4)).tolist()]
    camera = orbit(azimuths, elevations, size=size, fov_deg=30.0)
    folder.mkdir(parents=True)
    frames = []
    for index in range(views):
        image = trace_ball(camera[index], radius, centre, colours)
        Image.fromarray((image * 255).round().astype(np.uint8)).save(folder / f"{index:03d}.png")
        frames.append({"file_path": f"{index:03d}.png", "transform_matrix": camera.cam_to_world[index].tolist()})
    document = {
        "fl_x": camera.focal[0, 0].item(),
        "w": size,
        "h": size,
        "frontal": 0,
        "caption": f"a ball of radius {radius:.2f}, seed {seed}",
        "frames": frames,
    }
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="session")
def ball_maker(tmp_path_factory: pytest.TempPathFactory) -> BallMaker:
    """ball_maker(count, views=, size=) -> a folder of that many ball subjects."""

    def make(count: int, views: int = 14, size: int = 24) -> Path:
        data = tmp_path_factory.mktemp("balls")
        for index in range(count):
            write_ball(data / f"ball{index}", index, views, size)
        return data

    return make


@pytest.fixture(scope="session")
def balls(ball_maker: BallMaker) -> Path:
    """Four balls, 14 views of 24 x 24; shared, so leave the folder as it is."""
    return ball_maker(4)
