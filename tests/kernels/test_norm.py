"""Contract: the fused group norm gives what torch's own group norm, product, sum and SiLU give in double precision,
values and gradients, at every instruction level, for any sizes, both types and whatever threads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rodin.kernels import loader, maps
from rodin.networks.group_norm import GroupNorm, modulated_norm_reference

pytestmark = pytest.mark.skipif(not loader.levels(), reason=str(loader.why_not()))
every_level = pytest.mark.parametrize("level", loader.levels())
anything = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def choose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "level" in request.fixturenames:
        monkeypatch.setenv("RODIN_KERNELS", request.getfixturevalue("level"))


def draw(*shape: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn.contiguous(memory_format=torch.channels_last) if drawn.ndim == 4 else drawn


def literal(x: Tensor, scale: Tensor, shift: Tensor, layer: GroupNorm) -> Tensor:
    """The formulas of group norm (Wu & He 2018, eq. 1 and 2), of AdaGN and of SiLU, written out."""
    groups = x.reshape(x.shape[0], layer.num_groups, -1)
    off = groups - groups.mean(dim=2, keepdim=True)
    normal = (off / (off.square().mean(dim=2, keepdim=True) + layer.eps).sqrt()).reshape(x.shape)
    y = normal * layer.weight.double()[:, None, None] + layer.bias.double()[:, None, None]
    y = y * (1 + scale[..., None, None]) + shift[..., None, None]
    return y / (1 + (-y).exp()) if layer.silu else y


def layer_and_inputs(
    shape: tuple[int, int, int, int], groups: int, silu: bool, mean: float
) -> tuple[GroupNorm, list[Tensor]]:
    count, channels, _, _ = shape
    layer = GroupNorm(channels, groups, silu)
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(7))
    torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(8))
    return layer, [draw(*shape) + mean, draw(count, channels, seed=1), draw(count, channels, seed=2)]


@every_level
@given(
    count=st.integers(1, 4),
    groups=st.integers(1, 5),
    each=st.integers(1, 9),
    sides=st.tuples(st.integers(1, 12), st.integers(2, 12)),
    silu=st.booleans(),
    mean=st.sampled_from([0.0, 30.0]),
)
@anything
def test_values_and_gradients(
    level: str, count: int, groups: int, each: int, sides: tuple[int, int], silu: bool, mean: float
) -> None:
    layer, inputs = layer_and_inputs((count, groups * each, *sides), groups, silu, mean)
    upstream = draw(*inputs[0].shape, seed=3)
    exact = [value.double().requires_grad_() for value in inputs]
    wanted = literal(*exact, layer)
    wanted_grads = torch.autograd.grad(wanted, exact, upstream.double())
    found_inputs = [value.clone().requires_grad_() for value in inputs]
    assert maps.takes(found_inputs[0])
    found = layer(*found_inputs)
    found_grads = torch.autograd.grad(found, found_inputs, upstream)
    # With few numbers in a group its deviation may be small, and what is divided by it so much less certain.
    smallest = inputs[0].double().reshape(count, groups, -1).std(dim=2, unbiased=False).min().item()
    tolerance = 1e-5 * (1 + mean) * max(1.0, 1 / (smallest + layer.eps**0.5)) ** 2
    for one, other in zip((found, *found_grads), (wanted, *wanted_grads), strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=tolerance * max(1.0, other.abs().max().item()))


@every_level
@pytest.mark.parametrize("silu", [False, True])
def test_bfloat16_is_rounded_at_the_end_alone(level: str, silu: bool) -> None:
    layer, inputs = layer_and_inputs((6, 24, 7, 9), 6, silu, 0.5)
    half = inputs[0].bfloat16().requires_grad_()
    exact = half.detach().double().requires_grad_()
    wanted = literal(exact, inputs[1].double(), inputs[2].double(), layer)
    upstream = draw(*half.shape, seed=3).bfloat16()
    (wanted_grad,) = torch.autograd.grad(wanted, exact, upstream.double())
    found = layer(half, inputs[1], inputs[2])
    (found_grad,) = torch.autograd.grad(found, half, upstream)
    for one, other in ((found, wanted), (found_grad, wanted_grad)):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.double(), other, rtol=torch.finfo(torch.bfloat16).eps, atol=2e-5)


def test_threads_change_nothing() -> None:
    layer, inputs = layer_and_inputs((30, 64, 9, 11), 16, True, 0.0)
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        x = inputs[0].clone().requires_grad_()
        y = layer(x, *inputs[1:])
        found.append([y, *torch.autograd.grad(y.square().sum(), x)])
    torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("silu", [False, True])
def test_the_reference_is_torchs_own(silu: bool) -> None:
    x, gain, offset = draw(3, 12, 5, 4).double(), draw(3, 12, seed=1).double(), draw(3, 12, seed=2).double()
    wanted = torch.stack([F.group_norm(x[i : i + 1], 4, gain[i], offset[i])[0] for i in range(3)])
    found = modulated_norm_reference(x, gain, offset, 4, silu)
    torch.testing.assert_close(found, F.silu(wanted) if silu else wanted)


def test_without_kernels_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, inputs = layer_and_inputs((3, 12, 6, 5), 3, True, 1.0)
    fused = layer(*inputs)
    monkeypatch.setenv("RODIN_KERNELS", "off")
    torch.testing.assert_close(layer(*inputs), fused, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(inputs[0]), F.silu(F.group_norm(inputs[0], 3, layer.weight, layer.bias)))
