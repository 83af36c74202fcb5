"""Contract: a plan counts the work that the commands do, and prints it; a machine's file is checked like any other."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rodin.cli.main import main
from rodin.errors import UserError
from rodin.networks.unet import UNet
from rodin.plan.machine import Machine, read_machine, write_machine
from rodin.plan.tables import aligned, hours, size
from rodin.plan.work import TRAINED, stages, unet_operations
from rodin.train.presets import load_preset, mini, smoke

ROOT = Path(__file__).parents[2]
NODE = Machine(name="one", cores=2, subject_s=0.5, view_s=0.2, fit_s=1.5, fit_us=6, train_gflops=100, disk_mb_s=400)


def of(preset_name: str, **changes: int) -> dict[str, object]:
    given = {"avatars": 100, "views": 20, "size": 128, "samples": 8, **changes}
    return {stage.name: stage for stage in stages(load_preset(preset_name), NODE, **given)}  # type: ignore[arg-type]


def test_operations_are_those_of_a_real_step() -> None:
    """Counted forward and backward on real numbers, not on the meta device, and with the sketch."""
    config = smoke().base.network
    network = UNet(config)
    z = torch.nn.functional.normalize(torch.randn(2, config.latent_dim), dim=-1)
    x = torch.randn(2, 3, config.in_channels, config.size, config.size)
    with FlopCounterMode(display=False) as counter:
        y: Tensor = network(x, torch.tensor([1.0, 500.0]), z)
        y.sum().backward()
    assert TRAINED * unet_operations(config)[0] == pytest.approx(counter.get_total_flops() / 2, rel=0.12)
    assert unet_operations(config)[1] == pytest.approx(parameters(network), rel=0.05)


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_work_grows_with_what_is_asked_for() -> None:
    few, more = of("mini"), of("mini", avatars=1000, views=40, size=256, samples=16)
    synth, large = few["synth"], more["synth"]
    assert synth.total_seconds == pytest.approx(100 * (0.5 + 20 * 0.2))  # type: ignore[attr-defined]
    assert large.total_seconds == pytest.approx(1000 * (0.5 + 40 * 0.2 * 4 * 2))  # type: ignore[attr-defined]
    assert more["fit"].total_seconds == pytest.approx(10 * few["fit"].total_seconds)  # type: ignore[attr-defined]
    assert more["base"].total_seconds == few["base"].total_seconds  # type: ignore[attr-defined]
    assert few["fit"].total_seconds == pytest.approx(100 * (1.5 + 400 * 2048 * 6e-6))  # type: ignore[attr-defined]


def test_a_larger_batch_sees_as_many_samples() -> None:
    one, other = of("mini")["base"], of("mini", batch=512)["base"]
    assert one.count * one.batch == pytest.approx(other.count * other.batch, rel=0.01)  # type: ignore[attr-defined]
    assert one.total_seconds == pytest.approx(other.total_seconds, rel=0.01)  # type: ignore[attr-defined]


def test_every_stage_of_every_preset_is_counted() -> None:
    names = ["synth", "encoder", "fit: decoder", "fit", "base", "prior", "palette", "upsampler", "refiner: renders",
             "refiner"]  # fmt: skip
    assert list(of("smoke")) == list(of("mini")) == names
    paper = of("paper")
    assert list(paper) == [name for name in names if name != "palette"], "the paper's decoder has no materials"
    assert paper["base"].total_seconds > 1000 * of("mini")["base"].total_seconds  # type: ignore[attr-defined]


def test_a_machine_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "machine.yaml"
    write_machine(path, NODE)
    assert read_machine(path) == NODE
    with pytest.raises(UserError, match=r"none\.yaml: no such file; make one with: rodin plan --measure"):
        read_machine(tmp_path / "none.yaml")
    for text, message in (
        ("name: [", "not readable as YAML"),
        ("name: one", "fields missing cores, disk_mb_s"),
        (path.read_text() + "colour: red", "fields unknown colour"),
        (path.read_text().replace("cores: 2", "cores: 0"), "cores must be above 0, got 0"),
        (path.read_text().replace("cores: 2", "cores: many"), "cores is 'many'"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            read_machine(tmp_path / "bad.yaml")


def test_the_command_prints_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "machine.yaml"
    write_machine(path, replace(NODE, price_per_hour=2.0))
    main(["plan", "--avatars", "1000", "--preset", "smoke", "--machine", str(path), "--nodes", "4"])
    said = capsys.readouterr().out
    assert "1,000 avatars x 24 views of 128 x 128 pixels, smoke; 4 x one" in said
    assert [line.split()[0] for line in said.splitlines() if line[:1].isdigit()][1:] == [str(2**k) for k in range(11)]
    assert "bottleneck: synth (more nodes help)" in said
    for wrong in (["--avatars", "0"], ["--failures", "-1"], ["--machine", str(tmp_path / "none.yaml")]):
        with pytest.raises(SystemExit) as ended:
            main(["plan", "--machine", str(path), *wrong])
        assert ended.value.code == 2


def test_numbers_for_reading() -> None:
    assert [hours(seconds) for seconds in (5, 90, 5400, 3 * 86400, 5000 * 86400)] == [
        "5 s", "1.5 min", "1.5 h", "3 days", "5,000 days",
    ]  # fmt: skip
    assert [size(count) for count in (0, 2e3, 3e6, 1.5e12, 2e15)] == ["-", "2 kB", "3 MB", "1.5 TB", "2 PB"]
    assert aligned([("a", "b"), ("long", "1")]) == ["a     b", "long  1"]


def test_the_measured_preset_is_the_one_that_counts() -> None:
    """`fit_us` is of mini's decoder: it stands for itself there."""
    fit = of("mini")["fit"]
    planes = mini().fitting.planes
    assert fit.seconds == pytest.approx(NODE.fit_s + planes.steps * planes.rays * NODE.fit_us * 1e-6)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "machines").iterdir()), ids=lambda path: path.stem)
def test_the_examples_are_machines(path: Path) -> None:
    assert read_machine(path).cores > 0


def test_the_page_shows_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same draws give the same plan on every machine."""
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "scaling.md").read_text()
    command = next(line for line in page.splitlines() if line.startswith("    rodin plan --avatars 5000 "))
    main(command.split()[1:])
    assert textwrap.indent(capsys.readouterr().out.rstrip(), "    ") in page
