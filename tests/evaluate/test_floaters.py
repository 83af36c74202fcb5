"""Contract: what floats is the share of visible alpha outside the union hull, known here in closed form.

The field is a ball inside the hull and a smaller one outside, both opaque: from far around, alpha is the balls'
silhouettes, so that the share is that of their areas.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rodin.evaluate import floaters
from rodin.evaluate.floaters import CELLS, floating_shares
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import Occupancy, Rays
from rodin.render.reference import alpha_weights


class Ghost:
    """Stands for an avatar; the rays' weights are computed below from its balls."""

    def __init__(self, balls: list[tuple[tuple[float, float, float], float]]) -> None:
        self.planes, self.decoder, self.balls = self, Decoder(DecoderConfig(channels=1)), balls


def ball_weights(ghost: Ghost, _decoder: Decoder, rays: Rays, bins: torch.Tensor) -> torch.Tensor:
    samples = bins.shape[1]
    step = (rays.far - rays.near) / samples
    distance = rays.near[:, None] + (torch.arange(samples) + 0.5) * step[:, None]
    points = rays.origins[:, None] + distance[..., None] * rays.directions[:, None]
    density = torch.zeros_like(distance)
    for centre, radius in ghost.balls:
        density += 200.0 * ((points - torch.tensor(centre)).norm(dim=-1) < radius)
    return alpha_weights(torch.where(bins, density * step[:, None], 0.0))


@pytest.fixture
def balls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floaters, "ray_weights", ball_weights)


def hull(radius: float) -> Occupancy:
    """Cells within `radius` of the origin."""
    axis = (torch.arange(CELLS) + 0.5) * (2 / CELLS) - 1
    middles = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    return Occupancy(middles.norm(dim=-1) < radius)


def shares(*avatars: Any, union: Occupancy) -> list[float]:
    return floating_shares(avatars, union).tolist()


HEAD = ((0.0, 0.0, 0.0), 0.4)


def test_a_known_floater_has_its_share(balls: None) -> None:
    """A ball above the head, seen from all sides: areas as radius squared, and nearly no overlap from 10 degrees."""
    floating = Ghost([HEAD, ((0.0, 0.75, 0.0), 0.2)])
    clean, one = shares(Ghost([HEAD]), floating, union=hull(0.5))
    assert clean == 0.0
    assert one == pytest.approx(0.2**2 / (0.4**2 + 0.2**2), rel=0.08)


def test_matter_that_nobody_sees_does_not_count(balls: None) -> None:
    hidden = Ghost([HEAD, ((0.0, 0.0, 0.0), 0.1)])
    surface = hull(0.5).grid & ~hull(0.2).grid
    assert shares(hidden, union=Occupancy(surface))[0] < 0.01


def test_all_outside_and_nothing_at_all(balls: None) -> None:
    nowhere = Occupancy(torch.zeros(CELLS, CELLS, CELLS, dtype=torch.bool))
    assert shares(Ghost([HEAD]), Ghost([]), union=nowhere) == [pytest.approx(1.0), 0.0]


def test_every_corner_of_the_box_is_seen(balls: None) -> None:
    for corner in ((x, y, z) for x in (-0.9, 0.9) for y in (-0.9, 0.9) for z in (-0.9, 0.9)):
        assert shares(Ghost([(corner, 0.1)]), union=hull(0.5)) == [pytest.approx(1.0)]
    with_head = shares(*(Ghost([HEAD, ((x, 0.9, -x), 0.1)]) for x in (-0.9, 0.9)), union=hull(0.5))
    assert with_head == [pytest.approx(0.1**2 / (0.4**2 + 0.1**2), rel=0.35)] * 2  # nearness and overlap
