"""Contract: the training loop learns, and neither a kill nor a second process changes what it computes.

A run that was stopped anywhere and resumed ends with the same bits as one that was not; ranks see different data and
end with the same weights, which are those of one process and of a batch in parts; the average is the average; what
cannot go on says why.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.errors import UserError
from rodin.signals import orderly_end
from rodin.train.log import LOG_NAME
from rodin.train.loop import CHECKPOINT_NAME, LoopConfig, run_loop
from rodin.train.ranks import process_state

Launcher = Callable[..., subprocess.Popen[str]]
Until = Callable[[Callable[[], bool]], None]
CONFIG = LoopConfig(steps=20, batch_size=8, learning_rate=0.05, warmup_steps=4, checkpoint_every=5, ema_decay=0.9)


def new_model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Dropout(0.1), nn.Linear(16, 2))


def fit_halves(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
    x = draws.noise(4)
    error = (model(x).float() - x[:, :2] + x[:, 2:]).square().mean()
    return {"loss": error, "size": x.abs().mean()}


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG_NAME).open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_learns_and_logs(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=400, checkpoint_every=400)
    average = run_loop(new_model(), fit_halves, config, tmp_path, "test")
    assert not average.training
    log = rows(tmp_path)
    assert list(log[0]) == ["step", "learning_rate", "loss", "size"]
    assert float(log[-1]["loss"]) < 0.3 * float(log[0]["loss"])
    assert [int(row["step"]) for row in log] == list(range(2, 401, 2))
    x = torch.randn(256, 4)
    assert (average(x) - x[:, :2] + x[:, 2:]).square().mean() < 0.2


@pytest.mark.parametrize("stop", [3, 5, 8, 19])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    wanted = run_loop(new_model(), fit_halves, CONFIG, tmp_path / "whole", "test")
    calls = 0

    def interrupted(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls > stop:
            raise KeyboardInterrupt
        return fit_halves(model, draws)

    with pytest.raises(KeyboardInterrupt):
        run_loop(new_model(), interrupted, CONFIG, tmp_path / "cut", "test")
    found = run_loop(new_model(), fit_halves, CONFIG, tmp_path / "cut", "test")
    assert torch.equal(weights(found), weights(wanted))
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    again = run_loop(new_model(), fit_halves, CONFIG, tmp_path / "cut", "test")  # finished: nothing more to do
    assert torch.equal(weights(again), weights(wanted))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stop", [5, 8])
def test_one_that_is_asked_to_end_saves_itself_first(tmp_path: Path, stop: int, number: signal.Signals) -> None:
    """Within a row of the log, of four steps here, or at its end. No step is lost."""
    config = dataclasses.replace(CONFIG, steps=800, checkpoint_every=800)
    wanted = run_loop(new_model(), fit_halves, config, tmp_path / "whole", "test")
    calls = 0

    def asked(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == stop:
            os.kill(os.getpid(), number)
        return fit_halves(model, draws)

    with pytest.raises(KeyboardInterrupt), orderly_end():
        run_loop(new_model(), asked, config, tmp_path / "cut", "test")
    assert calls == stop
    assert torch.load(tmp_path / "cut" / CHECKPOINT_NAME, weights_only=True)["step"] == stop
    found = run_loop(new_model(), asked, config, tmp_path / "cut", "test")
    assert calls == config.steps
    assert torch.equal(weights(found), weights(wanted))
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


KILLED = """
    import sys, time
    from pathlib import Path
    from tests_shared import CONFIG, fit_halves, new_model
    from rodin.train.loop import run_loop

    folder, calls = Path(sys.argv[1]), 0

    def hanging(model, draws):
        global calls
        calls += 1
        if calls == CONFIG.checkpoint_every + 4:
            (folder.parent / "in the middle").touch()
            time.sleep(1800)  # there it is killed
        return fit_halves(model, draws)

    run_loop(new_model(), hanging, CONFIG, folder, "test")
"""


def test_a_killed_process_loses_nothing_but_time(tmp_path: Path, launch: Launcher, until: Until) -> None:
    wanted = run_loop(new_model(), fit_halves, CONFIG, tmp_path / "whole", "test")
    process = launch(tmp_path, KILLED, str(tmp_path / "cut"), module=__file__)
    until(lambda: (tmp_path / "in the middle").exists() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "cut" / CHECKPOINT_NAME).exists()
    found = run_loop(new_model(), fit_halves, CONFIG, tmp_path / "cut", "test")
    assert torch.equal(weights(found), weights(wanted))
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


PARALLEL_CONFIG = dataclasses.replace(CONFIG, steps=3, checkpoint_every=2, warmup_steps=1, gradient_clip=0.0)


def new_linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(4, 2)


def record(end: int):
    """A loss that can be had `end` times, and the list of the batches that it has drawn."""
    seen: list[Tensor] = []

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        if len(seen) == end:
            raise SystemExit(f"step {end + 1} is not to be had")
        x = draws.noise(4)
        seen.append(x)
        return {"loss": (model(x) - x[:, :2]).square().mean()}

    return loss, seen


def train_as_rank(folder: Path, name: str, end: int) -> None:
    """What a rank does; see conftest.py."""
    rank = process_state().process_index
    loss, seen = record(end)
    average = run_loop(new_linear(rank), loss, PARALLEL_CONFIG, folder / name, "test")
    torch.save({"average": average.state_dict(), "seen": seen}, folder / f"{name}-{rank}.pt")


def on_each_rank(folder: Path) -> None:
    train_as_rank(folder, "whole", PARALLEL_CONFIG.steps)
    train_as_rank(folder, "cut", PARALLEL_CONFIG.checkpoint_every)


def go_on(folder: Path) -> None:
    train_as_rank(folder, "cut", PARALLEL_CONFIG.steps)


def test_two_ranks_train_one_model_on_different_data(tmp_path: Path, two_ranks: Any) -> None:
    first, second = two_ranks.read("whole")
    for name, value in first["average"].items():
        assert torch.equal(value, second["average"][name])
    assert not any(torch.equal(a, b) for a, b in zip(first["seen"], second["seen"], strict=True))
    assert two_ranks.begun.count("test: step 0 of 3, 2 x cpu") == 2  # of two runs: only rank 0 speaks

    # one process draws both halves of each batch, and takes the same steps from rank 0's weights
    loss, seen = record(PARALLEL_CONFIG.steps)
    alone = run_loop(new_linear(0), loss, PARALLEL_CONFIG, tmp_path / "alone", "test")
    for batch, *halves in zip(seen, first["seen"], second["seen"], strict=True):
        assert torch.equal(batch, torch.cat(halves))
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(first["average"][name], value, atol=1e-6, rtol=1e-5)
    for found, wanted in zip(rows(two_ranks.folder / "whole"), rows(tmp_path / "alone"), strict=True):
        assert float(found["loss"]) == pytest.approx(float(wanted["loss"]), rel=1e-4)


@pytest.mark.parametrize("accumulate", [2, 8])
def test_a_batch_in_parts_is_the_same_batch(tmp_path: Path, accumulate: int) -> None:
    config = dataclasses.replace(PARALLEL_CONFIG, steps=20, gradient_clip=0.5)
    parts = dataclasses.replace(config, accumulate=accumulate)
    loss, seen = record(config.steps)
    whole = run_loop(new_linear(0), loss, config, tmp_path / "whole", "test")
    loss, seen_in_parts = record(accumulate * config.steps)
    found = run_loop(new_linear(0), loss, parts, tmp_path / "parts", "test")
    assert torch.equal(torch.cat(seen), torch.cat(seen_in_parts))
    assert {len(x) for x in seen_in_parts} == {config.batch_size // accumulate}
    torch.testing.assert_close(weights(found), weights(whole), atol=1e-6, rtol=1e-5)
    for one, other in zip(rows(tmp_path / "parts"), rows(tmp_path / "whole"), strict=True):
        assert {name: float(value) for name, value in one.items()} == pytest.approx(
            {name: float(value) for name, value in other.items()}, rel=1e-4
        )
    # the parts may change while a run is not finished
    run_loop(new_linear(0), record(1)[0], config, tmp_path / "parts", "test")


def test_a_batch_that_cannot_be_shared_equally_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, accumulate=3)
    with pytest.raises(UserError, match=r"loop.batch_size: 8 samples .* 1 processes, .* 3 parts .* a multiple of 3"):
        run_loop(new_model(), fit_halves, config, tmp_path, "test")


def test_runs_whose_batches_were_of_each_process_do_not_go_on(tmp_path: Path) -> None:
    run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")
    settings = json.loads((tmp_path / "settings.json").read_text())
    del settings["batch"]
    (tmp_path / "settings.json").write_text(json.dumps({**settings, "processes": 2}))
    with pytest.raises(UserError, match=r"the unfinished run has batch None, not of all processes; .*delete"):
        run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")


def test_two_ranks_go_on_where_they_were_cut(two_ranks: Any) -> None:
    steps, saved = PARALLEL_CONFIG.steps, PARALLEL_CONFIG.checkpoint_every
    assert (two_ranks.folder / "cut" / CHECKPOINT_NAME).exists()
    assert f"test: step {saved} of {steps}" in two_ranks.gone_on
    for wanted, found in zip(two_ranks.read("whole"), two_ranks.read("cut"), strict=True):
        assert all(torch.equal(value, found["average"][name]) for name, value in wanted["average"].items())
        assert torch.equal(wanted["seen"][-1], found["seen"][-1])
        assert len(found["seen"]) == steps - saved


def test_no_thread_of_the_group_outlives_it(two_ranks: Any) -> None:
    """One that lets go of a tensor while the interpreter ends aborts a rank whose work is done."""
    for rank in range(2):
        threads = (two_ranks.folder / f"threads-{rank}").read_text()
        assert threads
        assert "gloo" not in threads
        assert "tcpstore" not in threads


def test_learning_rate_rises_then_falls(tmp_path: Path) -> None:
    run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")
    rates = [float(row["learning_rate"]) / CONFIG.learning_rate for row in rows(tmp_path)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=1e-3)
    cosine = [0.01 + 0.99 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
    assert rates[4:] == pytest.approx(cosine, abs=1e-3)


def test_the_average_is_the_average(tmp_path: Path) -> None:
    history: list[Tensor] = []

    def watched(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        history.append(weights(model).clone())
        return fit_halves(model, draws)

    model = new_model()
    average = run_loop(model, watched, CONFIG, tmp_path, "test")
    wanted = history[0]
    for step, after in enumerate([*history[1:], weights(model)]):
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * after
    torch.testing.assert_close(weights(average), wanted)


@pytest.mark.parametrize(("clip", "bounded"), [(0.5, True), (0.0, False)])
def test_gradients_are_clipped(tmp_path: Path, clip: float, bounded: bool) -> None:
    def steep(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        return {"loss": 1e3 * fit_halves(model, draws)["loss"]}

    run_loop(new_model(), steep, dataclasses.replace(CONFIG, gradient_clip=clip), tmp_path, "test")
    moments = torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)["optimizers"][0]["state"].values()
    # Adam's second moment is a mean of squared gradients, whose sum the clip bounds
    assert (sum(moment["exp_avg_sq"].sum() for moment in moments) <= clip**2) == bounded


def test_bfloat16_runs_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds: list[torch.dtype] = []

    def watched(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        kinds.append(model(torch.zeros(1, 4)).dtype)
        return fit_halves(model, draws)

    run_loop(new_model(), watched, dataclasses.replace(CONFIG, bf16=True), tmp_path, "test")
    said = capsys.readouterr().out
    assert ("bfloat16" in said and "no bfloat16" not in said) == (kinds[0] == torch.bfloat16)


@pytest.mark.skipif(
    not Path(sysconfig.get_path("include"), "Python.h").exists(), reason="compilers want Python's headers"
)
def test_a_compiled_model_learns_the_same(tmp_path: Path) -> None:
    def still() -> nn.Module:  # dropout may draw otherwise
        return nn.Sequential(*(layer for layer in new_model() if not isinstance(layer, nn.Dropout)))

    plain, compiled = (
        run_loop(still(), fit_halves, dataclasses.replace(CONFIG, compile=on), tmp_path / str(on), "test")
        for on in (False, True)
    )
    assert list(plain.state_dict()) == list(compiled.state_dict()), "a compiled model is saved under the same names"
    torch.testing.assert_close(weights(compiled), weights(plain), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "value"), [("seed", 1), ("batch_size", 4), ("learning_rate", 0.1), ("steps", 30)])
def test_another_config_does_not_go_on(tmp_path: Path, name: str, value: float) -> None:
    run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")
    with pytest.raises(UserError, match=rf"settings.json: the unfinished run has {name} .*not {value}; .*delete"):
        run_loop(new_model(), fit_halves, dataclasses.replace(CONFIG, **{name: value}), tmp_path, "test")


def test_other_stage_settings_do_not_go_on(tmp_path: Path) -> None:
    run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test", {"net": {"sizes": (1, 2)}})
    run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test", {"net": {"sizes": (1, 2)}})
    with pytest.raises(UserError, match="net"):
        run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test", {"net": {"sizes": (1, 3)}})


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a checkpoint"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: bytes) -> None:
    run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")
    (tmp_path / CHECKPOINT_NAME).write_bytes(damage)
    with pytest.raises(UserError, match=r"state\.pt: cannot be resumed"):
        run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")


def test_an_infinite_loss_stops_before_it_is_saved(tmp_path: Path) -> None:
    def broken(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        return {"loss": fit_halves(model, draws)["loss"] * math.inf}

    with pytest.raises(UserError, match="learning_rate"):
        run_loop(new_model(), broken, CONFIG, tmp_path, "test")
    assert not (tmp_path / CHECKPOINT_NAME).exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("learning_rate", 0.0),
        ("warmup_steps", 21),
        ("weight_decay", -1.0),
        ("betas", (0.9, 1.0)),
        ("ema_decay", 1.0),
        ("gradient_clip", -1.0),
        ("checkpoint_every", 0),
    ],
)
def test_impossible_configs_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(CONFIG, **{name: value})


def test_muon_and_shards_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="sharding fsdp leaves no rank the whole matrices that muon turns"):
        dataclasses.replace(CONFIG, optimizer="muon", sharding="fsdp")


def test_damaged_settings_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(UserError, match=r"settings.json: expected a mapping of settings, found list; .*delete"):
        run_loop(new_model(), fit_halves, CONFIG, tmp_path, "test")
