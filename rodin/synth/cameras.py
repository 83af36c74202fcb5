"""Where the cameras stand: a frontal one, and the others spread over the sphere; all at one distance.

Poses are `cam_to_world` 4x4 in the world's axes (+y up, the avatar looks along +z), OpenGL style: the camera looks
along its -z with +y up.
"""

from __future__ import annotations

import math

import numpy as np

from rodin import framing
from rodin.synth.body.geometry import ENVELOPE_RADIUS, Array
from rodin.synth.recipe import Stream, generator

FOV = math.radians(framing.FOV_DEG)
FRONTAL_AZIMUTH, FRONTAL_ELEVATION = math.radians(framing.AZIMUTH_DEG), math.radians(framing.ELEVATION_DEG)
LOWEST, HIGHEST = math.radians(-20.0), math.radians(50.0)
#: Pixels that stay empty at each border, and the share of the image that they are in larger images. The rendered
#: border is one pixel narrower, because the pixel filter reaches into the neighbour.
BORDER = 2
_MARGIN_SHARE = 3.0 / 64.0


def focal_length(size: int) -> float:
    """Focal length in pixels of a square image of `size` pixels."""
    return 0.5 * size / math.tan(0.5 * FOV)


def distance(size: int) -> float:
    """Distance from the origin at which the envelope's sphere leaves the margin free in every view: `framing.RADIUS`
    from 64 pixels on."""
    margin = max(BORDER + 1.0, _MARGIN_SHARE * size)
    return ENVELOPE_RADIUS * math.sqrt(1.0 + (focal_length(size) / (0.5 * size - margin)) ** 2)


def look_at_origin(azimuth: float, elevation: float, radius: float) -> Array:
    """`cam_to_world` [4, 4] of a camera at (azimuth, elevation) radians; azimuth 0 is in front, positive to +x."""
    back = np.array(
        (math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation))
    )
    right = np.array((math.cos(azimuth), 0.0, -math.sin(azimuth)))
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(back, right), back, radius * back
    return pose


def camera_poses(seed: int, index: int, views: int, size: int) -> Array:
    """Poses [views, 4, 4] of subject `index`: the frontal one, then a low-discrepancy cover of the sphere's band.

    Azimuths step by the golden ratio, elevations (uniform in their sine) by the bit-reversed count: each prefix of the
    sequence covers the band evenly, from a start of the subject's own.
    """
    start = generator(seed, index, Stream.CAMERAS).random(2)
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    reversed_bits = [int(f"{i:016b}"[::-1], 2) / 65536.0 for i in range(views - 1)]
    steps = np.stack([golden * np.arange(views - 1), np.array(reversed_bits)], axis=1)
    place = (start + steps) % 1.0
    low, high = math.sin(LOWEST), math.sin(HIGHEST)
    azimuth = 2.0 * math.pi * place[:, 0]
    elevation = np.arcsin(low + (high - low) * place[:, 1])
    radius = distance(size)
    poses = [look_at_origin(FRONTAL_AZIMUTH, FRONTAL_ELEVATION, radius)]
    poses += [look_at_origin(float(a), float(e), radius) for a, e in zip(azimuth, elevation, strict=True)]
    return np.stack(poses)
