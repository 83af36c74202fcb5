"""Normals of a density's surface, from the gradient of the matter behind it, smoothed.

A surface of equal density has lumps where planes are noisy. A picture shows none of them, since rays go through the
outermost matter; a lamp in another program shows them all. The gradient of smoothed matter has the shape that the rays
see. Compared on drawn heads: the mean angle between neighbouring vertices' normals fell from 7 to 10 degrees to 3; 30
steps of Taubin's smoothing, which moves the vertices themselves, left 6 to 8.

Symbols: N grid points along each side of the box, V points.
"""

from __future__ import annotations

import math

import numpy as np

SMOOTH = 0.05  # world units, the standard deviation of the smoothing


def smooth_normals(density: np.ndarray, threshold: float, points: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals out of matter, or zeros where none is near.

    Args:
        density: [N, N, N] at points from -1 to 1 along x, y, z; beyond the box is nothing.
        threshold: the density that counts as half of solid.
        points: [V, 3] world.
    """
    from scipy import ndimage

    step = 2 / (len(density) - 1)
    sigma = SMOOTH / step
    margin = math.ceil(3 * sigma) + 1
    matter = np.pad(1 - 0.5 ** (density.clip(0) / threshold), margin)
    places = ((points + 1) / step + margin).T
    inward = np.empty(points.shape)
    for axis in range(3):
        order = [int(axis == other) for other in range(3)]
        slope = ndimage.gaussian_filter(matter, sigma, order=order, truncate=3.0)
        inward[:, axis] = ndimage.map_coordinates(slope, places, order=1)
    length = np.linalg.norm(inward, axis=1, keepdims=True)
    return np.where(length > 1e-9, -inward / np.maximum(length, 1e-9), 0.0)
