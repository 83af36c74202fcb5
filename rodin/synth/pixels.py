"""From what Blender renders, linear and premultiplied, to what a set keeps: bytes of straight sRGB and of shares."""

from __future__ import annotations

import numpy as np

from rodin.synth.body.geometry import Array


def straight_srgb(combined: Array) -> Array:
    """A rendered image as straight sRGB RGBA.

    Args:
        combined: [H, W, 4] linear, premultiplied by alpha.

    Returns:
        [H, W, 4] uint8, zero where alpha is zero.
    """
    alpha = np.clip(combined[..., 3:].astype(np.float32), 0.0, 1.0)
    colour = np.clip(combined[..., :3].astype(np.float32) / np.maximum(alpha, 1e-4), 0.0, 1.0)
    encoded = np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour ** (1 / 2.4) - 0.055)
    pixels = np.rint(255.0 * np.concatenate([encoded, alpha], axis=-1)).astype(np.uint8)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def whole_shares(coverage: Array, alpha: Array) -> Array:
    """How much of each pixel every material covers, in bytes that add up to the pixel's alpha.

    Args:
        coverage: [H, W, K] non-negative. Only proportions count: matter behind a translucent part is counted in full.
        alpha: [H, W] uint8.

    Returns:
        [H, W, K] uint8, rounded by largest remainder. Where nothing is covered though alpha is not 0, the last of the
        K materials is.
    """
    coverage = coverage.astype(np.float32).copy()
    coverage[..., -1] += coverage.sum(axis=-1) <= 0
    exact = coverage * (alpha / coverage.sum(axis=-1))[..., None]
    whole = np.floor(exact)
    missing = np.rint(alpha - whole.sum(axis=-1))
    rank = np.argsort(np.argsort(whole - exact, axis=-1, kind="stable"), axis=-1)  # 0 = the largest remainder
    return (whole + (rank < missing[..., None])).astype(np.uint8)
