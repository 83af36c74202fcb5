"""Contract: nothing in fitting and training knows of heads. The commands that learn avatars learn vases as well.

The set is made here: vases as surfaces of revolution with coloured bands, ray-marched, in transforms.json form, every
other one without a caption. `rodin train all` and `rodin generate` run as a user would run them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.camera import Camera, orbit
from rodin.cli.main import main
from rodin.data.captures import load_subject

COLOURS = {"red": (0.8, 0.2, 0.15), "blue": (0.2, 0.3, 0.8), "green": (0.2, 0.6, 0.3), "white": (0.9, 0.9, 0.85)}
HEIGHT = 0.85  # half of a vase's, in the unit box
COUNT, VIEWS, SIZE, FOV_DEG = 6, 14, 24, 24.0


def march(camera: Camera, belly: float, neck: float, bands: np.ndarray) -> np.ndarray:
    """[H, W, 4] of one view of a vase, straight; 2x2 samples a pixel.

    Args:
        belly, neck: radii of the lower and of the upper half.
        bands: [K, 3] colours from foot to lip.
    """
    fine = camera.resized(camera.width * 2, camera.height * 2)
    origins, directions = (value.numpy() for value in fine.rays())
    alpha, colour = np.zeros(origins.shape[:-1]), np.zeros(origins.shape)
    distance = float(camera.position.norm())
    for depth in np.linspace(distance - 1, distance + 1, 80, dtype=np.float32):
        x, y, z = np.moveaxis(origins + depth * directions, -1, 0)
        rise = np.clip((y / HEIGHT + 1) / 2, 0, 0.999)  # 0 at the foot, 1 at the lip
        bulge = np.sin(np.pi * np.minimum(rise / 0.7, 1)) ** 2
        new = (alpha == 0) & (np.abs(y) < HEIGHT)
        new &= x**2 + z**2 < (neck + (belly - neck) * bulge + 0.12 * rise**8) ** 2
        alpha[new] = 1
        colour[new] = bands[(rise[new] * len(bands)).astype(int)]
    blocks = (camera.height, 2, camera.width, 2)
    coverage = alpha.reshape(blocks).mean(axis=(1, 3))[..., None]
    premultiplied = colour.reshape(*blocks, 3).mean(axis=(1, 3))
    return np.concatenate([premultiplied / np.maximum(coverage, 1e-9), coverage], axis=-1)


def write_vase(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = rng.permutation(list(COLOURS))[:2].tolist()
    bands = np.array([COLOURS[names[k % 2]] for k in range(int(rng.integers(3, 6)))])
    belly, neck = rng.uniform(0.38, 0.5), rng.uniform(0.14, 0.22)
    azimuths = [0.0, *(np.arange(VIEWS - 1) * 360.0 / (VIEWS - 1) + 13.0).tolist()]
    elevations = [0.0, *(40 * np.sin(np.arange(VIEWS - 1) * 2.4)).tolist()]
    camera = orbit(azimuths, elevations, size=SIZE, fov_deg=FOV_DEG)
    folder.mkdir(parents=True)
    frames = []
    for index in range(VIEWS):
        image = march(camera[index], belly, neck, bands)
        Image.fromarray((image * 255).round().astype(np.uint8)).save(folder / f"{index:03d}.png")
        frames.append({"file_path": f"{index:03d}", "transform_matrix": camera.cam_to_world[index].tolist()})
    document = {"fl_x": camera.focal[0, 0].item(), "w": SIZE, "h": SIZE, "frontal": 0, "frames": frames}
    if seed % 2:
        document["captions"] = [f"a vase with {names[0]} and {names[1]} bands", f"{names[0]} and {names[1]} vase"]
    (folder / "transforms.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def vases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("vases")
    for seed in range(COUNT):
        write_vase(data / f"vase{seed}", seed)
    return data


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Intersection over union of two masks [H, W]."""
    return float((one & other).sum() / (one | other).sum())


def test_vases_are_learned_by_the_commands_that_learn_avatars(
    vases: Path, tiny_preset: Path, tmp_path: Path, works_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is drawn from nothing has a vase's silhouette from all sides, and not that of one that lies."""
    run, out = tmp_path / "run", tmp_path / "out"
    main(["train", "all", str(vases), "--run", str(run), "--workers", "1", "--preset", str(tiny_preset)])
    assert "encoder: 3 of 6 subjects have no caption" in capsys.readouterr().out
    main(["generate", "--model", str(run / "model"), "--out", str(out), "--count", "2", "--steps", "5"])
    shapes = torch.stack([load_subject(folder).images[0, ..., 3] for folder in sorted(vases.iterdir())])
    vase = shapes.mean(dim=0) > 0.5
    files = sorted(out.glob(f"*{SUFFIX}"))
    assert len(files) == 2
    for file in files:
        avatar = Avatar.load(file)
        for azimuth in (0.0, 90.0, 200.0):
            image = avatar.render(orbit([azimuth], [0.0], size=SIZE, fov_deg=FOV_DEG)[0])
            assert bool(image.isfinite().all())
            drawn = image[..., 3] > 0.5
            assert overlap(drawn, vase) > 0.75
            assert overlap(drawn, vase) > overlap(drawn, vase.t()) + 0.3
