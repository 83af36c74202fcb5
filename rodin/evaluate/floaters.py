"""Floaters: matter of drawn avatars where no training subject ever had any.

The union hull is the part of the box where the visual hull of at least one training subject is. Of an avatar, rays are
followed from all around through the whole box, nothing culled, and their compositing weights summed: the share of that
sum which comes from outside the union hull floats. What hides behind a surface has no weight and does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.camera import orbit
from rodin.render.rays import Occupancy, camera_rays
from rodin.render.reference import bins_in_box, bins_with_middle_in
from rodin.render.renderer import ray_weights

CELLS = 64  # of the union hull, along each edge of the box
AZIMUTHS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
ELEVATION_DEG = 10.0
FOV_DEG = 42.0  # wide enough for the whole box
PIXELS, BINS = 64, 96


def floating_shares(avatars: Iterable[Avatar], union: Occupancy) -> Tensor:
    """[N] share of each avatar's alpha that comes from outside the union hull; 0 where there is no alpha at all."""
    camera = orbit(list(AZIMUTHS_DEG), [ELEVATION_DEG] * len(AZIMUTHS_DEG), size=PIXELS, fov_deg=FOV_DEG)
    rays = camera_rays(camera)
    everywhere, inside = bins_in_box(rays, BINS), bins_with_middle_in(rays, BINS, union)
    shares = []
    for avatar in avatars:
        weights = ray_weights(avatar.planes, avatar.decoder, rays, everywhere).double()
        shares.append(weights[~inside].sum() / weights.sum().clamp_min(1e-9))
    return torch.stack(shares).float()
