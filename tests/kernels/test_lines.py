"""Contract: the fused parts of the 3D-aware convolution give what PyTorch gives, at every instruction level, for any
sizes and both types, with whatever threads; bfloat16 is rounded as PyTorch rounds, once, from sums of 32 bits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rodin.kernels import lines, loader, maps
from rodin.networks.aware_conv import AwareConv

pytestmark = pytest.mark.skipif(not loader.levels(), reason=str(loader.why_not()))
every_level = pytest.mark.parametrize("level", loader.levels())
shapes = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40))
anything = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
types = st.sampled_from([torch.float32, torch.bfloat16])


@pytest.fixture(autouse=True)
def choose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "level" in request.fixturenames:
        monkeypatch.setenv("RODIN_KERNELS", request.getfixturevalue("level"))


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Maps [N, C, H, W] are channels last in memory, lines [N, L, C] as they come."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return drawn.contiguous(memory_format=torch.channels_last) if drawn.ndim == 4 else drawn


def compare(found: Tensor, wanted: Tensor, terms: int) -> None:
    """`wanted` in double precision; a sum of `terms` numbers of about 1 is off by their roundings at most."""
    assert found.shape == wanted.shape
    step = torch.finfo(found.dtype).eps
    bound = torch.finfo(torch.float32).eps * terms
    torch.testing.assert_close(found.double(), wanted, rtol=step, atol=bound)


@every_level
@given(shape=shapes, dtype=types)
@anything
def test_lines_are_added(level: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    count, channels, height, width = shape
    x, rows = draw(*shape, dtype=dtype), draw(count, height, channels, seed=1, dtype=dtype)
    columns = draw(count, width, channels, seed=2, dtype=dtype)
    wanted = x.double() + rows.double().mT[..., None] + columns.double().mT[..., None, :]
    lines.add_lines(x, rows, columns)
    compare(x, wanted, 8)


@every_level
@given(shape=shapes, dtype=types)
@anything
def test_lines_are_summed(level: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = draw(*shape, dtype=dtype)
    rows, columns = lines.sum_lines(x)
    compare(rows.mT, x.double().sum(dim=3), 8 * shape[3])
    compare(columns.mT, x.double().sum(dim=2), 8 * shape[2])
    rows, columns = lines.sum_lines(x, mean=True)
    compare(rows.mT, x.double().mean(dim=3), 8)
    compare(columns.mT, x.double().mean(dim=2), 8)


@every_level
@given(shape=shapes, dtype=types)
@anything
def test_edges_are_repeated_and_their_gradients_meet(level: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    count, channels, height, width = shape
    x = draw(*shape, dtype=dtype)
    exact = x.double().requires_grad_()
    padded = F.pad(exact, (1, 1, 1, 1), mode="replicate")
    assert torch.equal(lines.pad_edges(x).double(), padded)
    upstream = draw(count, channels, height + 2, width + 2, seed=1, dtype=dtype)
    rows, columns = (draw(count, side, channels, seed=side, dtype=dtype) for side in (height, width))
    asked = (padded, exact.mean(dim=3).mT, exact.mean(dim=2).mT)
    (wanted,) = torch.autograd.grad(asked, exact, [given.double() for given in (upstream, rows, columns)])
    compare(lines.unpad_edges(upstream, rows, columns), wanted, 32)


@every_level
def test_rounding_is_that_of_pytorch(level: str) -> None:
    """All bfloat16 numbers plus 0, and ties, infinities and what is no number."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = bits.view(1, 1, 256, 256).clone()
    lines.add_lines(x, x.new_zeros(1, 256, 1), x.new_zeros(1, 256, 1))
    torch.testing.assert_close(x.flatten(), bits + 0.0, rtol=0, atol=0, equal_nan=True)
    one, half_steps = torch.ones(1, 1, 1, 64, dtype=torch.bfloat16), torch.arange(64) / 512  # steps of 1 / 128
    lines.add_lines(one, one.new_zeros(1, 1, 1), half_steps.bfloat16()[None, :, None])
    assert torch.equal(one.flatten(), (1 + half_steps).bfloat16())


def test_threads_change_nothing() -> None:
    x = draw(40, 32, 5, 7)
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append([*lines.sum_lines(x), lines.pad_edges(x)])
    torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_convolution_is_the_same_without_them(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x, results = AwareConv(6, 9), draw(6, 6, 7, 12), []
    for level in ("off", ""):
        monkeypatch.setenv("RODIN_KERNELS", level)
        assert maps.takes(x) == (level == "")
        inputs = [x.clone().requires_grad_(), *layer.parameters()]
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            y = layer(inputs[0].to(dtype))
        results.append([y, *torch.autograd.grad(y.float().square().sum(), inputs)])
    for fallback, fused in zip(*results, strict=True):
        assert (fused - fallback).norm() < (1e-5 if dtype == torch.float32 else 0.02) * fallback.norm()


@pytest.mark.parametrize("what", ["double", "strided", "empty"])
def test_what_they_do_not_take(what: str) -> None:
    x = {"double": draw(3, 2, 4, 4).double(), "strided": draw(3, 2, 4, 4).contiguous(), "empty": draw(0, 2, 4, 4)}[what]
    assert not maps.takes(x)
