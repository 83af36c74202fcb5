"""Contract: one U-Net for base and upsampler, of every size; conditions reach every block; null is zeros.

It starts as the zero function, is differentiable in every parameter, gives each sample the same whatever lies beside
it, does not change itself, and refuses shapes that do not fit.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rodin.kernels import maps
from rodin.networks.aware_conv import AwareConv
from rodin.networks.unet import FEW_TOKENS, ResidualBlock, RollOutAttention, UNet, UNetConfig, _position, attend
from rodin.parts import load_component, save_component
from rodin.triplane import resize

TINY = UNetConfig(
    size=8, in_channels=4, out_channels=4, width=16, multipliers=(1, 2), blocks=1, attention=(4,), head_width=8, patch=1
)


def awake(config: UNetConfig) -> UNet:
    """A network whose zero-initialised layers are not zero, so that everything matters."""
    torch.manual_seed(0)
    network = UNet(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def inputs(config: UNetConfig, batch: int = 2, height: int = 8, width: int = 8) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, config.in_channels, height, width, generator=generator)
    z = torch.nn.functional.normalize(torch.randn(batch, 512, generator=generator), dim=-1)
    low = torch.randn(batch, 3, config.condition_channels, 4, 4, generator=generator)
    t = torch.linspace(3.0, 900.0, batch)
    return [x, t, z if config.latent_dim else None, low if config.condition_channels else None]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"patch": 2},
        {"aware": False},
        {"dropout": 0.5},
        {"attention": ()},
        {"attention": (8, 4)},
        {"out_channels": 8},
        {"latent_dim": 0, "condition_channels": 4},
        {"multipliers": (2,), "attention": (8,)},
        {"multipliers": (1, 2, 3), "blocks": 2},
    ],
)
def test_every_config_gives_planes_and_gradients(change: dict) -> None:
    if change.get("patch") == 2:
        change = {**change, "attention": (2,)}
    config = dataclasses.replace(TINY, **change)
    network = awake(config).train()
    y = network(*inputs(config))
    assert y.shape == (2, 3, config.out_channels, 8, 8)
    y.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_non_square_planes_run() -> None:
    assert awake(TINY)(*inputs(TINY, height=4, width=12)).shape == (2, 3, 4, 4, 12)


def test_a_new_network_is_the_zero_function() -> None:
    assert not UNet(TINY)(*inputs(TINY)).any()


def test_every_residual_block_sees_time_and_latent() -> None:
    network = awake(TINY)
    seen: list[tuple[ResidualBlock, Tensor, Tensor]] = []
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    # 2 levels down, down-sampling, 2 in the middle, 2 levels up of one block more, up-sampling
    assert len(blocks) == 2 + 1 + 2 + 4 + 1
    for block in blocks:
        block.register_forward_hook(lambda module, given, out: seen.append((module, *given)))  # type: ignore[misc]
    x, t, z, _ = inputs(TINY)
    for time, latent in ((t, z), (t, torch.zeros_like(z)), (t + 50, z)):
        network(x, time, latent)
    plain, null, later = (seen[i * len(blocks) : (i + 1) * len(blocks)] for i in range(3))
    for (block, h, embedding), (_, _, without), (_, _, after) in zip(plain, null, later, strict=True):
        out = block(h, embedding)
        assert not torch.allclose(out, block(h, without))
        assert not torch.allclose(out, block(h, after))


def test_latents_of_unit_length_enter_with_unit_variance() -> None:
    network = awake(TINY)
    lengths: list[Tensor] = []
    network.latent.register_forward_hook(lambda module, given, out: lengths.append(given[0].norm(dim=-1)))
    network(*inputs(TINY))
    torch.testing.assert_close(lengths[0], torch.full((2,), 512.0**0.5))


@pytest.mark.parametrize("tokens", [1, 192, FEW_TOKENS + 1])
def test_attention_is_torchs_own(tokens: int) -> None:
    generator, results = torch.Generator().manual_seed(0), []
    given = [torch.randn(2, 3, tokens, 8, generator=generator, dtype=torch.float64) for _ in range(4)]
    for form in (attend, torch.nn.functional.scaled_dot_product_attention):
        inputs = [value.clone().requires_grad_() for value in given[:3]]
        y = form(*inputs)
        results.append([y, attend(*given[:3]), *torch.autograd.grad(y, inputs, given[3])])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_attention_joins_all_tokens_of_the_roll_out() -> None:
    torch.manual_seed(0)
    layer = RollOutAttention(8, head_width=4).double()
    torch.nn.init.normal_(layer.out.weight)
    x = torch.randn(6, 8, 2, 3, dtype=torch.float64)
    wanted = torch.empty_like(x)
    for b in range(2):  # the textbook formula, one head and one avatar at a time, on an explicit roll-out
        normed = layer.norm(x)[3 * b : 3 * b + 3]
        tokens = torch.cat([plane.flatten(1).t() for plane in normed])  # [3HW, C]
        queries, keys, values = layer.queries_keys_values(tokens).chunk(3, dim=1)
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            heads.append(torch.softmax(queries[:, h] @ keys[:, h].t() / 2.0, dim=-1) @ values[:, h])
        out = layer.out(torch.cat(heads, dim=1))
        for plane in range(3):
            wanted[3 * b + plane] = x[3 * b + plane] + out[6 * plane : 6 * plane + 6].t().reshape(8, 2, 3)
    torch.testing.assert_close(layer(x, torch.empty(0)), wanted)


def test_positions_are_world_coordinates() -> None:
    uv, wu, vw = _position(5, 5, torch.device("cpu")).unflatten(1, (3, -1))  # each [axis, sinusoid, 5, 5]
    u, v, w = 0, 1, 2
    torch.testing.assert_close(uv[u].mT, wu[u])  # u: rows of uv, columns of wu
    torch.testing.assert_close(wu[w].mT, vw[w])
    torch.testing.assert_close(vw[v].mT, uv[v])
    assert not uv[w].any()
    assert not wu[v].any()
    assert not vw[u].any()
    assert len(torch.unique(uv.flatten(0, 1).flatten(1).t(), dim=0)) == 25  # every texel of a plane has its own
    torch.testing.assert_close(uv[u, :3, 2, 0], torch.zeros(3))  # sines at the centre of the box


def test_the_planes_are_told_apart() -> None:
    network = awake(TINY)
    x, t, z, _ = inputs(TINY)
    turned = network(x.roll(1, dims=1), t, z).roll(-1, dims=1)
    assert not torch.allclose(turned, network(x, t, z), atol=1e-3)


def test_low_resolution_planes_of_any_size_steer_the_upsampler() -> None:
    config = dataclasses.replace(TINY, latent_dim=0, condition_channels=4)
    network = awake(config)
    x, t, _, low = inputs(config)
    assert not torch.allclose(network(x, t, None, low), network(x, t, None, torch.zeros_like(low)))
    constant = torch.ones(2, 3, 4, 4, 4)
    torch.testing.assert_close(
        network(x, t, None, constant), network(x, t, None, torch.ones(2, 3, 4, 2, 2)), atol=1e-5, rtol=1e-5
    )


def test_the_skip_adds_the_resized_condition_to_the_output() -> None:
    config = dataclasses.replace(TINY, condition_channels=4)
    x, t, z, low = inputs(config)
    plain, skipping = awake(config), UNet(dataclasses.replace(config, condition_skip=True)).eval()
    torch.testing.assert_close(skipping(x, t, z, low), resize(low, 8, 8))  # as it starts
    skipping.load_state_dict(plain.state_dict())
    torch.testing.assert_close(skipping(x, t, z, low), plain(x, t, z, low) + resize(low, 8, 8))


def test_the_input_skip_adds_each_channel_by_a_factor_that_the_time_sets() -> None:
    x, t, z, _ = inputs(TINY)
    plain, skipping = awake(TINY), UNet(dataclasses.replace(TINY, input_skip=True)).eval()
    assert not skipping(x, t, z).any()  # as it starts
    missing = skipping.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["skip.weight", "skip.bias"]
    with torch.no_grad():
        skipping.skip.bias.copy_(torch.arange(4.0))
    torch.testing.assert_close(skipping(x, t, z), plain(x, t, z) + torch.arange(4.0)[:, None, None] * x)
    with torch.no_grad():
        skipping.skip.weight.normal_()
    factors = (skipping(x, t, z) - plain(x, t, z)) / x
    torch.testing.assert_close(factors, factors[:, :1, :, :1, :1].expand_as(x), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(factors[0], factors[1])  # other times


def test_the_sketch_is_input_and_is_added_by_a_factor_that_the_time_sets() -> None:
    config = dataclasses.replace(TINY, sketch_rank=3)
    x, t, z, _ = inputs(config)
    network = UNet(config).eval()
    sketch = network.sketch
    assert sketch is not None
    torch.nn.init.normal_(sketch.weight)
    torch.nn.init.normal_(sketch.basis)
    expected = torch.einsum("bd,kd,kpchw->bpchw", z, sketch.weight, sketch.basis)
    torch.testing.assert_close(network(x, t, z), expected, atol=1e-4, rtol=1e-4)  # as it starts
    assert not network(x, t, torch.zeros_like(z)).any()  # no latent, no sketch

    # A network that is given the same planes as its condition computes the same.
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    joined = UNet(dataclasses.replace(TINY, condition_channels=TINY.in_channels)).eval()
    joined.load_state_dict({name: value for name, value in network.state_dict().items() if "sketch" not in name})
    rest = network(x, t, z) - joined(x, t, z, expected)
    factors = rest / expected
    torch.testing.assert_close(factors, factors[:, :1, :, :1, :1].expand_as(rest), atol=1e-2, rtol=1e-2)
    assert not torch.allclose(factors[0], factors[1], atol=1e-3)  # other times


def test_the_sketch_is_resized_and_not_trained() -> None:
    config = dataclasses.replace(TINY, sketch_rank=3)
    network = UNet(config).train()
    torch.nn.init.normal_(network.sketch.weight)
    torch.nn.init.normal_(network.sketch.basis)
    _, t, z, _ = inputs(config)
    larger = torch.randn(len(z), 3, 4, 16, 24)
    torch.testing.assert_close(network(larger, t, z), resize(network.sketch(z), 16, 24))
    network(larger, t, z).square().mean().backward()
    assert network.sketch_factor.weight.grad.any()
    assert network.sketch.weight.grad is None
    assert network.sketch.basis.grad is None


@pytest.mark.parametrize("change", [{}, {"multipliers": (1, 2, 3), "blocks": 2}, {"aware": False, "attention": ()}])
def test_checkpointing_changes_neither_values_nor_gradients(change: dict) -> None:
    config = dataclasses.replace(TINY, dropout=0.3, **change)
    x, t, z, low = inputs(config)
    results = []
    for checkpointing in (False, True):
        network = awake(dataclasses.replace(config, checkpointing=checkpointing)).train()
        leaf = x.clone().requires_grad_()
        torch.manual_seed(5)  # dropout draws the same when it is computed again
        y = network(leaf, t, z, low)
        y.square().sum().backward()
        results.append([y, leaf.grad, *(parameter.grad for parameter in network.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_checkpointing_keeps_less() -> None:
    kept = []
    for checkpointing in (False, True):
        config = dataclasses.replace(TINY, blocks=3, checkpointing=checkpointing)
        sizes: list[int] = []

        def note(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            awake(config)(*inputs(config))
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]


def test_batch_neighbours_do_not_matter_and_forward_changes_nothing() -> None:
    network = awake(TINY)
    before = copy.deepcopy(network.state_dict())
    x, t, z, _ = inputs(TINY)
    both = network(x, t, z)
    alone = network(x[1:], t[1:], z[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)
    assert torch.equal(both, network(x, t, z))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_whole_and_fractional_times_agree() -> None:
    network = awake(TINY)
    x, _, z, _ = inputs(TINY)
    assert torch.equal(network(x, torch.tensor([7, 700]), z), network(x, torch.tensor([7.0, 700.0]), z))


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    network = awake(TINY)
    save_component(network, tmp_path / "unet")
    loaded = load_component(UNet, UNetConfig, tmp_path / "unet")
    assert loaded.config == TINY
    assert torch.equal(loaded(*inputs(TINY)), network(*inputs(TINY)))


def test_the_papers_upsampler_builds() -> None:
    config = UNetConfig(
        size=256,
        in_channels=32,
        out_channels=32,
        width=192,
        multipliers=(1, 1, 2, 2, 4, 4),
        blocks=2,
        latent_dim=3,
        condition_channels=32,
        checkpointing=True,
    )  # ADM's 64 -> 256
    with torch.device("meta"):
        network = UNet(config)
        y = network(torch.empty(1, 3, 32, 256, 256), torch.empty(1), torch.empty(1, 3), torch.empty(1, 3, 32, 64, 64))
    print(f"paper's upsampler: {sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f} M parameters")
    assert y.shape == (1, 3, 32, 256, 256)
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    assert all(isinstance(layer, AwareConv) for block in blocks for layer in (block.conv_in, block.conv_out))


def test_the_papers_size_builds() -> None:
    config = UNetConfig(
        size=64, in_channels=32, out_channels=64, width=192, dropout=0.1
    )  # ADM's other numbers: defaults
    with torch.device("meta"):
        network = UNet(config)
        y = network(torch.empty(1, 3, 32, 64, 64), torch.empty(1), torch.empty(1, 512))
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"paper: {count / 1e6:.1f} M parameters")
    assert y.shape == (1, 3, 64, 64, 64)
    assert 4.0e8 < count < 5.0e8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", 15),
        ("multipliers", ()),
        ("head_width", 5),
        ("attention", (16,)),
        ("size", 9),
        ("dropout", 1.0),
        ("latent_dim", -1),
        ("patch", 0),
        ("condition_skip", True),
        ("sketch_rank", -1),
        ("sketch_rank", 513),
    ],
)
def test_impossible_configs_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(TINY, **{field: value})


@pytest.mark.parametrize("change", [{"out_channels": 8}, {"condition_channels": 4}])
def test_a_sketch_wants_planes_like_its_own_and_no_other_condition(change: dict) -> None:
    with pytest.raises(ValueError, match="sketch_rank wants"):
        dataclasses.replace(TINY, sketch_rank=3, **change)


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, torch.zeros(2, 3, 5, 8, 8), "planes must be"),
        (0, torch.zeros(2, 3, 4, 8, 9), "multiples of 2"),
        (1, torch.zeros(3), "t must be"),
        (2, torch.zeros(2, 511), "vector must be"),
        (2, None, "vector must be"),
        (3, torch.zeros(2, 3, 4, 4, 4), "low_res must be"),
    ],
)
def test_wrong_shapes_are_named(index: int, value: Tensor | None, message: str) -> None:
    given = inputs(TINY)
    given[index] = value
    with pytest.raises(ValueError, match=message):
        UNet(TINY)(*given)


def test_compilers_see_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the native kernels, as on a GPU, nothing breaks the graph, forward or backward."""
    monkeypatch.setattr(maps, "takes", lambda _: False)
    config = dataclasses.replace(TINY, multipliers=(1,), attention=(8,), input_skip=True, sketch_rank=4)
    results = []
    for compiled in (False, True):
        network = awake(config)
        run = torch.compile(network, backend="aot_eager", fullgraph=True) if compiled else network
        y = run(*inputs(config))
        y.square().sum().backward()
        results.append([y, *(parameter.grad for parameter in network.parameters() if parameter.requires_grad)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
