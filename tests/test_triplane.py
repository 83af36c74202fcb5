"""Contract: the three planes span the three DIFFERENT axis pairs, cyclically; a point's feature is the sum of three
bilinear look-ups; roll-out and roll-in are inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rodin import triplane

AXES = {"u": 0, "v": 1, "w": 2}


def test_planes_span_three_different_axis_pairs_in_cyclic_order() -> None:
    pairs = [(triplane.ROW_AXES[p], triplane.COLUMN_AXES[p]) for p in range(3)]
    assert len({frozenset(pair) for pair in pairs}) == 3
    for p, name in enumerate(triplane.PLANE_NAMES):
        assert pairs[p] == (AXES[name[0]], AXES[name[1]])
        # What one line of 3D-aware convolution relies on.
        assert triplane.ROW_AXES[p] == triplane.COLUMN_AXES[(p + 1) % 3]
        assert triplane.COLUMN_AXES[p] == triplane.ROW_AXES[(p + 2) % 3]


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_plane_varies_along_its_own_two_axes_only(plane: int) -> None:
    generator = torch.Generator().manual_seed(plane)
    planes = torch.zeros(3, 2, 5, 7)
    planes[plane] = torch.rand(2, 5, 7, generator=generator)
    here = torch.rand(20, 3, generator=generator) * 1.6 - 0.8
    base = triplane.sample(planes, here)
    for axis in range(3):
        moved = here.clone()
        moved[:, axis] += 0.15
        changed = (triplane.sample(planes, moved) - base).abs().max() > 1e-4
        assert changed == (axis in (triplane.ROW_AXES[plane], triplane.COLUMN_AXES[plane]))


def bilinear(plane: np.ndarray, row: float, column: float) -> np.ndarray:
    """Texel centres at (i + 0.5) / size of [-1, 1], border texels repeated; plain loops."""
    channels, height, width = plane.shape
    y, x = (row + 1) / 2 * height - 0.5, (column + 1) / 2 * width - 0.5
    total = np.zeros(channels)
    for i in (int(np.floor(y)), int(np.floor(y)) + 1):
        for j in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(y - i)) * (1 - abs(x - j))
            total += weight * plane[:, min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
    return total


def test_sample_is_the_sum_of_three_bilinear_lookups_on_non_square_planes() -> None:
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(3, 4, 5, 8, generator=generator, dtype=torch.float64)
    points = torch.rand(50, 3, generator=generator, dtype=torch.float64) * 2.2 - 1.1
    expected = [
        sum(
            bilinear(planes[p].numpy(), point[AXES[name[0]]], point[AXES[name[1]]])
            for p, name in enumerate(triplane.PLANE_NAMES)
        )
        for point in points.numpy()
    ]
    np.testing.assert_allclose(triplane.sample(planes, points).numpy(), np.stack(expected), atol=1e-12)


def test_roll_out_is_hstack() -> None:
    planes = torch.randn(2, 3, 4, 5, 6)
    rolled = triplane.roll_out(planes)
    np.testing.assert_array_equal(rolled[0, 1].numpy(), np.hstack([planes[0, p, 1].numpy() for p in range(3)]))


def test_resize_keeps_linear_ramps_and_the_mean() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(3, 1, 16, 16).contiguous()
    small = triplane.resize(ramp, 8, 4)
    assert small.shape == (3, 1, 8, 4)
    torch.testing.assert_close(small.mean(), ramp.mean(), atol=1e-6, rtol=0)
    points = torch.tensor([[0.1, 0.2, -0.3]])
    halved = triplane.resize(ramp, 8, 8)
    torch.testing.assert_close(triplane.sample(halved, points), triplane.sample(ramp, points), atol=1e-2, rtol=0)


def test_a_mirror_image_has_what_was_on_the_other_side() -> None:
    planes, points = torch.randn(3, 5, 6, 6), torch.rand(200, 3) * 2 - 1
    opposite = points * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(triplane.sample(triplane.mirror(planes), points), triplane.sample(planes, opposite))
    assert torch.equal(triplane.mirror(triplane.mirror(planes)), planes)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"planes must be .*got \[2, 4, 8, 8\]"):
        triplane.sample(torch.zeros(2, 4, 8, 8), torch.zeros(1, 3))
