"""Contract: the fast 3D-aware convolution IS the paper's layer.

Its value and every gradient equal those of the concatenated form, also on non-square planes; a change at one place of a
plane reaches exactly the lines of the other planes that pass through that place; planes do not meet across a seam.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from rodin.networks.aware_conv import AwareConv, concatenated_reference, fold_kernel, pooled_lines
from rodin.triplane import COLUMN_AXES, ROW_AXES

NAMES = ("plane_kernel", "row_kernel", "column_kernel")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fast(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """The module, with the parameters that stand for a concatenated kernel."""
    layer = AwareConv(kernel.shape[1] // 3, kernel.shape[0])
    return functional_call(layer, dict(zip(NAMES, fold_kernel(kernel), strict=True)) | {"bias": bias}, (x,))


def literal(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Rodin, Sec. 3.2, one output number at a time from the world axes; shares nothing with the module. Square only."""
    count, channels, size, _ = x.shape
    out = torch.zeros(count, kernel.shape[0], size, size, dtype=x.dtype)
    for n in range(count):
        plane, batch = n % 3, n - n % 3
        maps = [x[n]]
        for axis in (ROW_AXES[plane], COLUMN_AXES[plane]):
            other = next(p for p in range(3) if p != plane and axis in (ROW_AXES[p], COLUMN_AXES[p]))
            along_rows = ROW_AXES[other] == axis  # average the other plane over its axis that is not `axis`
            line = x[batch + other].mean(dim=2 if along_rows else 1)
            shaped = line[:, :, None] if axis == ROW_AXES[plane] else line[:, None, :]
            maps.append(shaped.expand(channels, size, size))
        joined = torch.cat(maps)
        for i in range(size):
            for j in range(size):
                rows = [min(max(i + d, 0), size - 1) for d in (-1, 0, 1)]
                columns = [min(max(j + d, 0), size - 1) for d in (-1, 0, 1)]
                window = joined[:, rows][:, :, columns]
                out[n, :, i, j] = (kernel * window).sum(dim=(1, 2, 3)) + bias
    return out


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 4), (3, 8), (1, 1), (1, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fast_form_equals_the_concatenated_layer(height: int, width: int, dtype: torch.dtype) -> None:
    x, kernel, bias = draw(6, 4, height, width), draw(5, 12, 3, 3, seed=1), draw(5, seed=2)
    inputs = [value.to(dtype).requires_grad_() for value in (x, kernel, bias)]
    upstream = draw(6, 5, height, width, seed=3).to(dtype)
    results = []
    for form in (fast, concatenated_reference):
        y = form(*inputs)
        results.append([y.detach(), *torch.autograd.grad(y, inputs, upstream)])
    for found, wanted in zip(*results, strict=True):
        tolerance = 1e-5 * max(1.0, wanted.abs().max().item()) if dtype == torch.float32 else 1e-11
        torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


def test_the_layer_is_the_papers() -> None:
    x, kernel, bias = draw(6, 2, 4, 4), draw(3, 6, 3, 3, seed=1), draw(3, seed=2)
    wanted = literal(x, kernel, bias)
    torch.testing.assert_close(fast(x, kernel, bias), wanted)
    torch.testing.assert_close(concatenated_reference(x, kernel, bias), wanted)


def test_gradients_hold_to_finite_differences() -> None:
    x, kernel, bias = draw(3, 2, 3, 4), draw(2, 6, 3, 3, seed=1), draw(2, seed=2)
    assert torch.autograd.gradcheck(fast, [value.requires_grad_() for value in (x, kernel, bias)])


def test_a_texel_reaches_its_lines_and_no_more() -> None:
    layer = AwareConv(2, 2).double()
    x = draw(6, 2, 8, 8)
    changed = x.clone()
    changed[0, 0, 5, 2] += 1.0  # uv plane, u = row 5, v = column 2, of the first avatar
    moved = (layer(changed) - layer(x)).abs().amax(dim=1) > 1e-12  # [6, 8, 8]
    near_u, near_v = torch.zeros(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)
    near_u[4:7], near_v[1:4] = True, True
    assert torch.equal(moved[0], near_u[:, None] & near_v[None])
    assert torch.equal(moved[1], near_u[None].expand(8, 8))  # wu: columns run along u
    assert torch.equal(moved[2], near_v[:, None].expand(8, 8))  # vw: rows run along v
    assert not moved[3:].any()  # the other avatar


def test_pooled_lines_of_non_square_planes_are_resampled() -> None:
    x = torch.linspace(-1, 1, 9, dtype=torch.float64).expand(3, 1, 4, 9)  # each plane rises along its columns' axis
    rows, columns = pooled_lines(x)
    assert rows.shape == (3, 4, 1)
    assert columns.shape == (3, 9, 1)
    # linear data stays linear: the 4 centres of [-1, 1] in the 9 texels' own units
    centres = ((torch.arange(4, dtype=torch.float64) + 0.5) / 4 * 9 - 0.5) / 4 - 1
    torch.testing.assert_close(rows[0, :, 0], centres)
    torch.testing.assert_close(columns, torch.zeros_like(columns), atol=1e-12, rtol=0)


def test_bfloat16_stays_close() -> None:
    torch.manual_seed(0)
    layer, x = AwareConv(16, 16), torch.randn(6, 16, 8, 8, requires_grad=True)
    wanted = layer(x)
    (wanted_grad,) = torch.autograd.grad(wanted.square().sum(), x)
    half = x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(half)
    (found_grad,) = torch.autograd.grad(found.float().square().sum(), half)
    assert found.dtype == torch.bfloat16
    assert (found - wanted).norm() < 0.02 * wanted.norm()
    assert (found_grad - wanted_grad).norm() < 0.02 * wanted_grad.norm()


@pytest.mark.parametrize("shape", [(4, 2, 5, 5), (3, 1, 5, 5), (3, 2, 5)])
def test_wrong_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"got \[" + ", ".join(map(str, shape))):
        AwareConv(2, 2)(torch.zeros(shape))
