"""Contract of rodin.avatars.material_map: pixels have the colours of what is there, mixed by its share; colours can be
told apart by everybody.

References: the ball's closed form; colour blindness by the matrices of Machado et al. (2009), differences by OKLab.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from rodin.avatars.avatar import Avatar
from rodin.avatars.material_map import MAP_COLOURS, painted_map
from rodin.camera import orbit
from rodin.errors import UserError
from rodin.images import parse_colour
from rodin.materials import MATERIALS
from rodin.render.decoder import Decoder, DecoderConfig

SIGHT = {  # linear sRGB as it is seen without one kind of cones
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def closest(sight: np.ndarray) -> float:
    """The smallest OKLab distance between any two of the colours and white."""
    colours = np.array([*(parse_colour(colour) for colour in MAP_COLOURS.values()), (1.0, 1.0, 1.0)])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt((linear @ sight.T).clip(0, 1) @ np.array(TO_CONES).T) @ np.array(TO_LAB).T
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    return float(apart[~np.eye(len(lab), dtype=bool)].min())


def test_everybody_can_tell_the_colours_apart() -> None:
    assert tuple(MAP_COLOURS) == MATERIALS
    assert closest(np.eye(3)) > 0.15
    for name, sight in SIGHT.items():
        assert closest(np.array(sight)) > 0.1, name


def test_pixels_show_what_is_there(of_materials: Avatar) -> None:
    """Where rays from two sides meet the ball's surface, well inside a material."""
    camera = orbit([0.0, 140.0], [5.0, -20.0], size=40)
    picture = of_materials.material_map(camera)
    assert picture.shape == (2, 40, 40, 4)
    origins, directions = (value.double() for value in camera.rays())
    half_b = (origins * directions).sum(dim=-1)
    root = half_b**2 - (origins.square().sum(dim=-1) - 0.6**2)
    x, y, _ = (origins - (half_b + root.clamp_min(0).sqrt())[..., None] * directions).unbind(dim=-1)
    middle = root > 0.06
    places = {"hair": (x > 0.1) & (y > -0.2), "skin": (x < -0.1) & (y > -0.2), "top": (y < -0.4) & (x < 0.1)}
    for name, place in places.items():
        pixels = picture[place & middle]
        assert len(pixels) > 20, name
        true = torch.tensor([*parse_colour(MAP_COLOURS[name]), 1.0])
        torch.testing.assert_close(pixels, true.expand_as(pixels), atol=0.03, rtol=0)
    assert picture[root < -0.25][:, 3].max() < 0.02, "nothing beside the ball"
    edge = picture[..., 3]
    assert ((edge > 0.2) & (edge < 0.8)).any(), "soft edges"


def test_shares_mix_colours_and_alpha_does_not() -> None:
    shares = torch.zeros(len(MATERIALS))
    shares[MATERIALS.index("hair")], shares[MATERIALS.index("top")] = 0.3, 0.1
    mixed = [0.75 * h + 0.25 * t for h, t in zip(*(parse_colour(MAP_COLOURS[n]) for n in ("hair", "top")), strict=True)]
    torch.testing.assert_close(painted_map(shares, torch.tensor(0.4)), torch.tensor([*mixed, 0.4]))


def test_an_avatar_without_materials(of_materials: Avatar) -> None:
    plain = dataclasses.replace(of_materials, decoder=Decoder(DecoderConfig(channels=4)), palette=None)
    with pytest.raises(UserError, match="no materials to show; generate one by a model that has"):
        plain.material_map(orbit([0.0], [0.0], size=8))
