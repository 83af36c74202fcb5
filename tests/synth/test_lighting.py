"""Contract: every lighting that a recipe can have is defined, stands in front of or behind the avatar but never inside
its box, and sheds about as much light on the face as the others, in the hue that its word says."""

from __future__ import annotations

import numpy as np
import pytest

from rodin.synth.lighting import LIGHTING, Lighting
from rodin.synth.recipe import LIGHTINGS

FACE, FORWARD = np.array((0.0, 0.0, 0.6)), np.array((0.0, 0.0, 1.0))  # a point of the face and where it looks


def lamp_light(lighting: Lighting, normal: np.ndarray) -> np.ndarray:
    """RGB irradiance, up to a factor, of a surface at the face: a small Lambertian lamp is power / distance^2 each."""
    total = np.zeros(3)
    for lamp in lighting.lamps:
        way = np.array(lamp.place) - FACE
        distance = np.linalg.norm(way)
        # The lamp's own cosine is 1: it points at the avatar.
        total += lamp.power * np.array(lamp.colour) * max(float(way @ normal) / distance, 0.0) / distance**2
    return total


def sky_light(lighting: Lighting) -> np.ndarray:
    """Mean radiance of the sky, which a forward surface sees half of from below to above."""
    return lighting.strength * (np.array(lighting.below) + np.array(lighting.above)) / 2


def test_every_word_has_a_lighting() -> None:
    assert set(LIGHTING) == set(LIGHTINGS)


@pytest.mark.parametrize("word", LIGHTINGS)
def test_lamps_stand_outside_the_box_and_shine(word: str) -> None:
    lighting = LIGHTING[word]
    assert lighting.strength > 0
    assert len(lighting.lamps) >= 2
    for lamp in lighting.lamps:
        assert np.linalg.norm(lamp.place) - lamp.size / 2**0.5 > 3**0.5
        assert lamp.power > 0
        assert lamp.size > 0
    colours = np.array([lighting.below, lighting.above, *(lamp.colour for lamp in lighting.lamps)])
    assert colours.min() > 0.3
    assert colours.max() <= 1.1


def test_faces_are_lit_about_alike() -> None:
    """Else a word for a skin would mean other colours under each light."""
    # From cheek to cheek. A lamp of P watts gives P / (pi d^2) before it; a sky of radiance L gives pi L.
    normals = [np.array((np.sin(turn), 0.0, np.cos(turn))) for turn in np.linspace(-0.9, 0.9, 5)]
    light = [
        np.mean([lamp_light(one, normal) / np.pi for normal in normals]) + np.pi * sky_light(one).mean()
        for one in LIGHTING.values()
    ]
    assert max(light) < 1.5 * min(light)


def test_each_word_is_true() -> None:
    light = {word: lamp_light(one, FORWARD) + sky_light(one) for word, one in LIGHTING.items()}
    redness = {word: rgb[0] / rgb[2] for word, rgb in light.items()}
    assert redness["warm"] > 1.15 * redness["studio"]
    assert redness["cool"] < redness["studio"] / 1.05
    sides = {}
    for word, one in LIGHTING.items():
        left, right = (lamp_light(one, np.array((x, 0.0, 0.6)) / (1 + 0.36) ** 0.5).sum() for x in (1.0, -1.0))
        sides[word] = max(left, right) / min(left, right)
    assert sides["side"] > 1.5 * max(ratio for word, ratio in sides.items() if word != "side")
    lamps = {word: sum(lamp.power for lamp in one.lamps) / one.strength for word, one in LIGHTING.items()}
    assert lamps["soft"] == min(lamps.values())
