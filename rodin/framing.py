"""Where avatars stand in their box, and the frontal camera, which frames them in renders, portraits and pictures alike.
Without torch."""

from __future__ import annotations

AZIMUTH_DEG = 0.0  # in front of the avatar
ELEVATION_DEG = 2.0
RADIUS = 5.37  # world units from the origin, which leave a margin around what the unit box may hold
FOV_DEG = 26.0
NECK = (0.0, -0.62, -0.13)  # world: the middle of the neck where it is thinnest, of the heads that `rodin synth` makes
