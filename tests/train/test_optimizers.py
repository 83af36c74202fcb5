"""Contract: Muon moves matrices and kernels by nearly orthogonal steps of AdamW's size, AdamW all else as it does
alone, and a run by either goes on from its state as if it had not stopped. Ranks that share the matrices come to the
same numbers as one alone, and either takes up the other's state."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from rodin.networks.unet import UNet, UNetConfig
from rodin.train.optimizers import Kind, make_optimizers, whole_state
from rodin.train.ranks import process_state

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


STEPS = 3


def on_each_rank(folder: Path) -> None:
    """What a rank does; see conftest.py. All have the same gradients, as those of a training do."""
    state = process_state()
    model = new_model()
    optimizers = learn(model, "muon", STEPS)
    held = sum(len(matrix) for matrix in optimizers[0].optim.state.values())  # type: ignore[attr-defined]
    states = copy.deepcopy([whole_state(optimizer) for optimizer in optimizers])  # whose tensors go on changing
    begun = copy.deepcopy(model.state_dict())
    go_on(model, optimizers, STEPS, STEPS)
    taken_up = new_model()
    taken_up.load_state_dict(begun)
    others = make_optimizers(taken_up, "muon", RATE, 0.0, (0.9, 0.99))
    if state.is_main_process:
        torch.save(states, folder / "states.pt")
    state.wait_for_everyone()
    for optimizer, one in zip(others, torch.load(folder / "states.pt", weights_only=True), strict=True):
        optimizer.load_state_dict(one)
    go_on(taken_up, others, STEPS, STEPS)
    found = {"begun": begun, "whole": model.state_dict(), "taken up": taken_up.state_dict(), "held": held}
    torch.save(found, folder / f"optimizers-{state.process_index}.pt")


def test_ranks_that_share_the_matrices_take_the_steps_of_one_alone(two_ranks: Any) -> None:
    model = new_model()
    optimizers = learn(model, "muon", STEPS)
    states = [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers]
    go_on(model, optimizers, STEPS, STEPS)
    held = 0
    for found in two_ranks.read("optimizers"):
        held += found["held"]
        for name, value in model.state_dict().items():
            torch.testing.assert_close(found["whole"][name], value)
            torch.testing.assert_close(found["taken up"][name], value)
    assert held == 2, "one momentum a matrix, on one of the ranks"
    # one alone takes up what the ranks have left, which is what it would have itself
    left = torch.load(two_ranks.folder / "states.pt", weights_only=True)
    alone = new_model()
    alone.load_state_dict(two_ranks.read("optimizers")[0]["begun"])
    others = make_optimizers(alone, "muon", RATE, 0.0, (0.9, 0.99))
    for optimizer, one, own in zip(others, left, states, strict=True):
        for index, kept in own["state"].items():
            for key, value in kept.items():
                torch.testing.assert_close(one["state"][index][key], value)
        optimizer.load_state_dict(one)
    go_on(alone, others, STEPS, STEPS)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(alone.state_dict()[name], value)
