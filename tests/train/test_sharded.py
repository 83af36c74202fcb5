"""Contract: a model that is cut up among ranks learns what a whole one does, and a run goes on with other ranks, cut up
or whole. Each rank holds its part alone; rank 0 looks at the whole average, and all get it in the end."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.networks.unet import UNet, UNetConfig
from rodin.train.loop import CHECKPOINT_NAME, LoopConfig, Measure, run_loop
from rodin.train.ranks import process_state

UNET = UNetConfig(size=8, in_channels=2, out_channels=2, width=16, multipliers=(1, 2), blocks=1, attention=(4,),
                  head_width=16, patch=1, latent_dim=6, sketch_rank=2, checkpointing=True)  # fmt: skip
WHOLE = LoopConfig(
    steps=6, batch_size=8, learning_rate=1e-3, warmup_steps=1, ema_decay=0.9, gradient_clip=0.5, checkpoint_every=3
)
CUT = dataclasses.replace(WHOLE, sharding="fsdp", accumulate=2)
NOISING = Diffusion(DiffusionConfig())


def new_unet(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    unet = UNet(UNET)
    for value in unet.parameters():  # zeros would hide what gradients do behind them
        if not value.any():
            nn.init.normal_(value, std=0.05)
    return unet


def size(network: nn.Module) -> list[float]:
    return [sum(value.double().square().sum().item() for value in network.parameters())]


def train(folder: Path, config: LoopConfig, steps: int = 99, seed: int = 0) -> dict[str, Any]:
    """What came of so many steps: the average, and how many of the numbers this rank held."""
    held, taken = 0, 0

    def loss(network: nn.Module, draws: Draws) -> dict[str, Tensor]:
        nonlocal held, taken
        if taken == steps * config.accumulate:
            raise KeyboardInterrupt
        taken += 1
        held = sum(getattr(one, "to_local", lambda one=one: one)().numel() for one in network.parameters())
        planes = draws.rand(3, 2, 8, 8)
        z = planes.flatten(1)[:, :6]
        return NOISING.losses(lambda x, t: network(x, t, z), planes, draws)

    first = process_state().is_main_process
    measure = Measure(names=("size",), figures=size, every=2) if first else None
    try:
        average = run_loop(
            new_unet(seed), loss, config, folder, "test", measure=measure, draw=lambda network: torch.zeros(2, 2, 3)
        )
    except KeyboardInterrupt:
        return {}
    return {"average": average.state_dict(), "held": held}


def prepare(folder: Path) -> None:
    """A run of a whole model on one rank, cut off half-way."""
    train(folder / "begun-alone", WHOLE, steps=3)


def on_each_rank(folder: Path) -> None:
    """What a rank does; see conftest.py. Only rank 0's weights are to count."""
    rank = process_state().process_index
    torch.save(train(folder / "sharded", CUT, seed=rank), folder / f"sharded-{rank}.pt")
    train(folder / "begun-sharded", CUT, steps=3, seed=rank)
    torch.save(train(folder / "begun-alone", CUT, seed=rank), folder / f"sharded-on-{rank}.pt")


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("alone")
    return train(folder, WHOLE)["average"], rows(folder)


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-3)


def test_it_learns_what_a_whole_model_learns(two_ranks: Any, alone: tuple[Any, Any]) -> None:
    for found in two_ranks.read("sharded"):
        assert_same(found["average"], alone[0])
    found = rows(two_ranks.folder / "sharded")
    assert len(found) == len(alone[1]) == WHOLE.steps
    for one, other in zip(found, alone[1], strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    assert "size" in found[-1], "rank 0 measured the average"
    assert (two_ranks.folder / "sharded" / "samples" / "step-000006.png").exists()


def test_each_rank_holds_a_part(two_ranks: Any) -> None:
    numbers = sum(value.numel() for value in new_unet().parameters())
    held = [found["held"] for found in two_ranks.read("sharded")]
    assert sum(held) == numbers
    assert max(held) < 0.6 * numbers


def test_it_goes_on_where_a_whole_one_was_cut_off(two_ranks: Any, alone: tuple[Any, Any]) -> None:
    assert "test: step 3 of 6, 2 x cpu" in two_ranks.begun
    for found in two_ranks.read("sharded-on"):
        assert_same(found["average"], alone[0])


@pytest.mark.parametrize("config", [WHOLE, CUT])
def test_a_whole_one_goes_on_where_it_was_cut_off(
    two_ranks: Any, alone: tuple[Any, Any], tmp_path: Path, config: LoopConfig
) -> None:
    """On one rank, with which nothing is cut up whatever the settings say."""
    folder = Path(shutil.copytree(two_ranks.folder / "begun-sharded", tmp_path / "begun"))
    assert torch.load(folder / CHECKPOINT_NAME, weights_only=True)["step"] == 3
    assert_same(train(folder, config)["average"], alone[0])
