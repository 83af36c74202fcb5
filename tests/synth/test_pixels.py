"""Contract: rendered light becomes straight sRGB bytes, and shares of materials bytes that add up to alpha."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.synth.pixels import straight_srgb, whole_shares


def test_colour_is_straight_and_encoded() -> None:
    # sRGB 128 is linear 0.2159 (IEC 61966-2-1); half covered, it is rendered as half of it.
    seen = [[0.2159, 0.2159, 0.001, 1.0], [0.1079, 0.1079, 0.0005, 0.5], [0.3, 0.3, 0.3, 0.0]]
    pixels = straight_srgb(np.array([seen]))
    assert pixels[0, 0].tolist() == [128, 128, 3, 255]
    assert pixels[0, 1, :3].tolist() == [128, 128, 3]
    assert pixels[0, 1, 3] == 128
    assert pixels[0, 2].tolist() == [0, 0, 0, 0]


def test_too_bright_is_white() -> None:
    assert straight_srgb(np.array([[[7.0, 1.5, -0.2, 1.0]]], np.float16))[0, 0].tolist() == [255, 255, 0, 255]


@given(seed=st.integers(0, 2**32 - 1), materials=st.integers(1, 13), zeros=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_shares_add_up_to_alpha_and_keep_their_proportions(seed: int, materials: int, zeros: float) -> None:
    random = np.random.default_rng(seed)
    coverage = random.random((3, 5, materials)) * (random.random((3, 5, materials)) >= zeros)
    alpha = random.integers(0, 256, (3, 5), dtype=np.uint8)
    shares = whole_shares(coverage, alpha)
    assert shares.dtype == np.uint8
    np.testing.assert_array_equal(shares.sum(axis=-1), alpha)
    covered = coverage.sum(axis=-1) > 0
    exact = coverage[covered] / coverage[covered].sum(axis=-1, keepdims=True) * alpha[covered][:, None]
    assert np.abs(shares[covered] - exact).max(initial=0) < 1
    np.testing.assert_array_equal(shares[~covered][:, -1], alpha[~covered])
