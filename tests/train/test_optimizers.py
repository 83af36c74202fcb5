"""Contract: Muon moves matrices and kernels by nearly orthogonal steps of AdamW's size, AdamW all else as it does
alone, and a run by either goes on from its state as if it had not stopped."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from rodin.networks.unet import UNet, UNetConfig
from rodin.train.optimizers import Kind, make_optimizers

RATE = 1e-2


def new_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(6, 24, 3), nn.GroupNorm(4, 24), nn.SiLU(), nn.Flatten(), nn.Linear(24, 8))


def learn(model: nn.Module, kind: Kind, steps: int, weight_decay: float = 0.0) -> list[torch.optim.Optimizer]:
    optimizers = make_optimizers(model, kind, RATE, weight_decay, (0.9, 0.99))
    go_on(model, optimizers, 0, steps)
    return optimizers


def go_on(model: nn.Module, optimizers: list[torch.optim.Optimizer], first: int, steps: int) -> None:
    for step in range(first, first + steps):
        x = torch.randn(16, 6, 3, 3, generator=torch.Generator().manual_seed(step))
        (model(x) - x[:, :2].flatten(1)[:, :8]).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def moved(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    old = dict(before.named_parameters())
    return {name: (new - old[name]).detach() for name, new in after.named_parameters()}


def test_matrices_and_kernels_move_by_orthogonal_steps_of_the_size_of_adamw() -> None:
    model = new_model()
    before = copy.deepcopy(model)
    x = torch.randn(16, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    (before(x) - x[:, :2].flatten(1)[:, :8]).square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in before.named_parameters()}
    learn(model, "muon", 1)
    for name in ("0.weight", "4.weight"):
        gradient = gradients[name]
        assert gradient is not None
        step = moved(before, model)[name].flatten(1).double()
        u, sizes, v = torch.linalg.svd(gradient.flatten(1).double(), full_matrices=False)
        clear = sizes > 0.01 * sizes.max()  # directions that the gradient has at all
        turned = -(u.T @ step @ v.T)[clear][:, clear]  # diagonal where the step has the gradient's own directions
        size = 0.2 * RATE * max(step.shape) ** 0.5  # of each: 0.2 RATE in the mean of a full step's numbers
        # Five iterations in bfloat16 take every strength near 1, not to it.
        strengths = turned.diagonal() / size
        assert strengths.min() > 0.4, (name, strengths)
        assert strengths.max() < 1.4, (name, strengths)
        assert (turned - torch.diag(turned.diagonal())).norm() < 0.25 * turned.norm(), name


def test_the_rest_moves_as_adamw_alone_moves_it() -> None:
    muon, adamw, before = new_model(), new_model(), new_model()
    learn(muon, "muon", 1)
    learn(adamw, "adamw", 1)
    ours, theirs = moved(before, muon), moved(before, adamw)
    for name in ("0.bias", "1.weight", "1.bias", "4.bias"):
        torch.testing.assert_close(ours[name], theirs[name])


def test_the_layers_that_the_output_is_read_off_move_by_adamw() -> None:
    unet = UNet(
        UNetConfig(size=8, in_channels=4, out_channels=4, width=8, multipliers=(1,), blocks=1, attention=(),
                   head_width=8, latent_dim=6, input_skip=True, sketch_rank=2)
    )  # fmt: skip
    adamw = next(one for one in make_optimizers(unet, "muon", RATE, 0.0, (0.9, 0.99)) if isinstance(one, AdamW))
    moved = {id(one) for group in adamw.param_groups for one in group["params"]}
    names = {name.split(".")[0] for name, one in unet.named_parameters() if id(one) in moved and one.ndim >= 2}
    assert names == {"head", "skip", "sketch_factor"}


def test_a_parameter_without_gradient_stays() -> None:
    model = new_model()
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(model)
    learn(model, "muon", 3, weight_decay=0.1)
    assert torch.equal(moved(before, model)["0.weight"], torch.zeros(24, 6, 3, 3))
    assert moved(before, model)["4.weight"].any()


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_it_goes_on_from_its_state(kind: Kind) -> None:
    whole, cut = new_model(), new_model()
    learn(whole, kind, 6)
    first = learn(cut, kind, 3)
    again = copy.deepcopy(cut)
    optimizers = make_optimizers(again, kind, RATE, 0.0, (0.9, 0.99))
    for optimizer, state in zip(optimizers, [one.state_dict() for one in first], strict=True):
        optimizer.load_state_dict(state)
    go_on(again, optimizers, 3, 3)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_both_learn() -> None:
    x = torch.randn(64, 6, 3, 3, generator=torch.Generator().manual_seed(99))

    def error(model: nn.Module) -> float:
        return (model(x) - x[:, :2].flatten(1)[:, :8]).square().mean().item()

    for kind in ("adamw", "muon"):
        model = new_model()
        begin = error(model)
        learn(model, kind, 60)
        assert error(model) < 0.5 * begin, kind
