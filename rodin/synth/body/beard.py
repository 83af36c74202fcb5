"""Beards: short strands that follow the face down to the chin and away from the middle of the lip."""

from __future__ import annotations

import numpy as np

from rodin.synth.body.geometry import Parts, Strands, linear, smoothstep
from rodin.synth.body.head import Head, beard_region, chin_beard_region, moustache_region, roots
from rodin.synth.body.strands import DOWN, Collider, children, cut_at_envelope, grow
from rodin.synth.recipe import HAIR_COLOURS, AvatarRecipe, Stream


def beard(head: Head, recipe: AvatarRecipe, collider: Collider, detail: float) -> Parts:
    """Full beard, moustache or chin beard as short strands."""
    regions = {"full beard": beard_region, "moustache": moustache_region, "chin beard": chin_beard_region}
    parts = Parts()
    if recipe.beard not in regions:
        return parts
    rng = recipe.generator(Stream.BEARD_STRANDS)
    full = recipe.beard == "full beard"
    place, normal, neutral = roots(head, regions[recipe.beard](head), int((4200 if full else 1500) * detail), rng)
    lip = neutral[:, 1] > head.landmarks.mouth[1] - 0.03
    lip &= np.abs(neutral[:, 0]) < 0.36
    flow = DOWN + 0.15 * np.array((0.0, 0.0, 1.0)) + np.outer(lip * np.sign(place[:, 0]), (1.1, 0.1, 0.0))
    near_chin = smoothstep(0.65, 0.1, np.abs(neutral[:, 0])) * smoothstep(-0.55, -0.95, neutral[:, 1])
    reach = np.where(lip, 0.10, 0.12 + 0.12 * near_chin) * (1 + rng.uniform(-0.2, 0.2, len(place)))
    clearance = 0.012 + 0.03 * rng.random(len(place))
    strands = grow(place, normal * 0.5 + flow, reach, 6, steer=lambda p, d, t: flow - 0.2 * normal, collider=collider,
                   clearance=clearance, stiffness=0.55)  # fmt: skip
    strands = cut_at_envelope(children(strands, 4, 0.016, 0.014, rng=rng))
    colour = 0.9 * linear(HAIR_COLOURS[recipe.hair_color])
    parts.strands.append(
        Strands(name="beard", points=strands, radius=0.0080 / np.sqrt(detail), colour=colour, tip=0.3, roughness=0.5)
    )
    return parts
