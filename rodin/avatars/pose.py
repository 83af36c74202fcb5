"""From where a portrait was taken: the direction from which its avatar looks most like it."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin import framing
from rodin.avatars.photo import Photo, frame_photo, photo_loss
from rodin.avatars.photo_colours import PalettePrior
from rodin.camera import camera_at
from rodin.models.perceptual import Features
from rodin.render.decoder import Decoder

POSE_SIZE = 32  # pixels of the renderings that the pose is sought with
POSE_STEP, POSE_PRECISION = 20.0, 2.0  # degrees between directions of the coarse grid, and between those of the last
POSE_AZIMUTHS = tuple(POSE_STEP * k for k in range(-4, 5))
POSE_ELEVATIONS = tuple(framing.ELEVATION_DEG + POSE_STEP * k for k in range(-1, 2))


@torch.no_grad()
def search_pose(
    planes: Tensor,
    decoder: Decoder,
    pixels: Tensor,
    features: Features | None = None,
    *,
    colours: PalettePrior | None = None,
) -> tuple[float, float, float]:
    """From where a portrait was taken: the direction from which the avatar looks most like it.

    A coarse grid of directions, then a finer one around the best, and a finer one around that.

    Args:
        planes: [3, C, H, W] of an avatar of this person, such as the encoder's alone.
        pixels: [S, S, 4] straight RGBA, framed like a render.
        colours: see `rodin.avatars.photo.look`.

    Returns:
        azimuth and elevation in degrees, and by how much of its error the best direction of the coarse grid is better
        than the second best that is no neighbour: near 0, the pose is a guess.
    """
    photo = frame_photo(pixels, POSE_SIZE).to(planes.device)

    def error(direction: tuple[float, float]) -> float:
        camera = camera_at(*direction, size=POSE_SIZE)
        seen = Photo(photo.pixels, camera).to(planes.device)
        return float(photo_loss(planes, decoder, seen, features, colours=colours))

    coarse = {(a, e): error((a, e)) for a in POSE_AZIMUTHS for e in POSE_ELEVATIONS}
    best = min(coarse, key=coarse.__getitem__)
    apart = [loss for (azimuth, _), loss in coarse.items() if abs(azimuth - best[0]) > POSE_STEP]
    margin = 1 - coarse[best] / max(min(apart), 1e-12)
    known, step = dict(coarse), POSE_STEP
    while step > POSE_PRECISION:
        step /= 2
        for a in (-step, 0.0, step):
            for e in (-step, 0.0, step):
                direction = (best[0] + a, best[1] + e)
                if direction not in known:
                    known[direction] = error(direction)
        best = min(known, key=known.__getitem__)
    return *best, margin
