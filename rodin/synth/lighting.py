"""The lightings of a recipe: what the sky sheds and which lamps stand around the avatar. No Blender here."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Lamp:
    """A square lamp that shines on the avatar's face.

    Args:
        place: [3] in world axes, where the avatar looks along +z, in world units.
        size: edge in world units.
        power: in watts.
        colour: linear RGB.
    """

    place: Colour
    size: float
    power: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Lighting:
    """All light on an avatar, fixed to the avatar: a sky from below to above, and lamps."""

    below: Colour
    above: Colour
    strength: float
    lamps: tuple[Lamp, ...]


WHITE, WARM, COOL = (1.0, 1.0, 1.0), (1.0, 0.87, 0.72), (0.80, 0.92, 1.0)


def _lamps(key: float, fill: float, rim: float, *, tint: Colour = WHITE, side: float = -2.0) -> tuple[Lamp, ...]:
    """A key light at x = `side`, a fill across from it and two rims behind, of these powers in watts."""
    return (
        Lamp((side, 2.3, 3.4 if abs(side) < 3 else 1.6), 1.9, key, (tint[0], 0.96 * tint[1], 0.91 * tint[2])),
        Lamp((3.3, 0.6, 2.6), 2.4, fill, (0.92 * tint[0], 0.96 * tint[1], tint[2])),
        Lamp((-2.4, 2.2, -3.2), 1.4, 1.1 * rim, tint),
        Lamp((2.7, 1.7, -2.8), 1.4, 0.9 * rim, tint),
    )


#: By the recipe's word. All shed about as much light on the face, so that a word for a skin or a cloth stays true.
LIGHTING = {
    "studio": Lighting((0.50, 0.44, 0.41), (0.96, 1.0, 1.06), 0.62, _lamps(108, 40, 68)),
    "soft": Lighting((0.75, 0.74, 0.73), (1.0, 1.0, 1.0), 0.80, _lamps(24, 24, 20)),
    "warm": Lighting((0.52, 0.42, 0.34), (1.0, 0.93, 0.84), 0.60, _lamps(112, 40, 70, tint=WARM)),
    "cool": Lighting((0.42, 0.45, 0.50), (0.88, 0.97, 1.10), 0.62, _lamps(104, 42, 70, tint=COOL)),
    "side": Lighting((0.42, 0.40, 0.40), (0.90, 0.95, 1.0), 0.52, _lamps(190, 14, 50, side=-3.6)),
}
