"""The frontal camera: how avatars are framed in renders, portraits and pictures alike. Without torch."""

from __future__ import annotations

AZIMUTH_DEG = 0.0  # in front of the avatar
ELEVATION_DEG = 2.0
RADIUS = 5.37  # world units from the origin, which leave a margin around what the unit box may hold
FOV_DEG = 26.0
