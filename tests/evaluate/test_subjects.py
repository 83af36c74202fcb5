"""Contract: the real subjects' pictures come with their own cameras, frontal first, more oblique the later."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rodin.avatars.drawing import Sampling
from rodin.errors import UserError
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.subjects import load_real, spread


def test_views_are_frontal_first_then_more_and_more_oblique(balls: Path) -> None:
    real = load_real(balls, views=4, size=24, label="")
    assert real.images.shape == (4, 4, 24, 24, 4)
    for camera in real.cameras:
        aside = camera.azimuth_deg.abs()
        assert float(aside[0]) == 0
        assert torch.equal(aside, aside.sort().values)
        assert 30 < float(aside[-1]) <= 60
    assert real.names == ["ball0", "ball1", "ball2", "ball3"]
    assert torch.equal(real.frontals, real.images[:, 0])


def test_pictures_belong_to_their_cameras(balls: Path) -> None:
    """A ball's silhouette is centred on the projection of the ball's centre."""
    real = load_real(balls, views=3, size=24, label="")
    for images, camera in zip(real.images, real.cameras, strict=True):
        alpha = images[..., 3]
        grid = torch.arange(24) + 0.5
        x = (alpha.sum(dim=1) * grid).sum(dim=1) / alpha.sum(dim=(1, 2))
        y = (alpha.sum(dim=2) * grid).sum(dim=1) / alpha.sum(dim=(1, 2))
        seen = torch.stack([x, y], dim=1)
        # the point nearest to all three lines of sight
        origins, directions = camera.rays()
        rows, columns = (y - 0.5).round().long(), (x - 0.5).round().long()
        lines = directions[torch.arange(3), rows, columns]
        project = torch.eye(3) - lines[:, :, None] * lines[:, None]
        start = origins[torch.arange(3), rows, columns]
        centre = torch.linalg.solve(project.sum(0), (project @ start[..., None]).sum(0))[:, 0]
        pixels, _ = camera.project(centre.expand(3, 1, 3))
        assert torch.allclose(pixels[:, 0], seen, atol=0.8)


def test_too_many_views_are_refused(balls: Path) -> None:
    with pytest.raises(UserError, match="views in the front half, 12 are needed"):
        load_real(balls, views=12, size=24, label="")


def test_spread_reaches_from_the_first_to_the_last() -> None:
    assert spread(list(range(9)), 1) == [0]
    assert spread(list(range(9)), 3) == [0, 4, 8]
    assert spread(list(range(9)), 9) == list(range(9))


@pytest.mark.parametrize(
    "fields",
    [
        {"samples": 1},
        {"views": 0},
        {"fits": -1},
        {"sampling": Sampling(guidance_scale=0.0)},
        {"sampling": Sampling(temperature=0.0)},
        {"sampling": Sampling(prior_guidance_scale=float("nan"))},
    ],
)
def test_impossible_settings_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match=r"samples|views|fits|guidance_scale: |temperature: |prior_guidance_scale: "):
        EvaluationConfig(**fields)
