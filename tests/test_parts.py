"""Contract of rodin.parts: a part comes back as it was saved; a config of another schema, or a value of another
kind, is refused with the file and the field; damaged weights are never loaded."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from rodin import checksums
from rodin.errors import UserError
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import (
    CONFIG_NAME,
    LATER,
    WEIGHTS_NAME,
    config_from_dict,
    load_component,
    module_hash,
    noted,
    save_component,
)
from rodin.render.decoder import Decoder, DecoderConfig

pytestmark = pytest.mark.usefixtures("mended_checksums")

CONFIG = DecoderConfig(channels=3, hidden=5, colour_layers=2, frequencies=1, density_scale=7.5)


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float
    pair: tuple[float, float] = (0.9, 0.99)
    levels: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}")


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    steps: int = 1
    name: str = "a"
    half: bool = False
    kind: Literal["one", "two"] = "one"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_component(Decoder(CONFIG), tmp_path / "part")
    return tmp_path / "part"


# ---- parts


def test_round_trip(folder: Path) -> None:
    torch.manual_seed(0)
    first, again = Decoder(CONFIG), load_component(Decoder, DecoderConfig, folder)
    assert again.config == CONFIG
    assert not again.training
    assert {path.name for path in folder.iterdir()} == {CONFIG_NAME, WEIGHTS_NAME, checksums.NAME}
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_part_in_use_never_changes_its_file(folder: Path) -> None:
    """Weights are mapped, not copied: they must be a private view, which training may write to."""
    before = (folder / WEIGHTS_NAME).read_bytes()
    part = load_component(Decoder, DecoderConfig, folder)
    assert all(parameter.requires_grad for parameter in part.parameters())
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.fill_(7.0)
    assert (folder / WEIGHTS_NAME).read_bytes() == before
    assert not torch.equal(load_component(Decoder, DecoderConfig, folder).trunk.weight, part.trunk.weight)


def test_weights_take_the_types_of_the_part(folder: Path) -> None:
    halved = {name: value.half() for name, value in load_file(folder / WEIGHTS_NAME).items()}
    save_file(halved, folder / WEIGHTS_NAME)
    assert {value.dtype for value in load_component(Decoder, DecoderConfig, folder).state_dict().values()} == {
        torch.float32
    }


def test_tuples_come_back_as_tuples(tmp_path: Path) -> None:
    config = UNetConfig(size=8, in_channels=2, out_channels=2, width=8, multipliers=(1, 2), attention=(), head_width=8)
    save_component(UNet(config), tmp_path / "unet")
    assert load_component(UNet, UNetConfig, tmp_path / "unet").config == config


def test_a_second_save_replaces_the_first(folder: Path) -> None:
    other = dataclasses.replace(CONFIG, hidden=6)
    save_component(Decoder(other), folder)
    assert load_component(Decoder, DecoderConfig, folder).config == other
    assert [path.name for path in folder.parent.iterdir()] == ["part"]


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name}: no such file"):
        load_component(Decoder, DecoderConfig, folder)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_cut_off_weights_are_refused(folder: Path, share: float) -> None:
    path = folder / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=rf"{WEIGHTS_NAME}: not a whole safetensors file \(.+\); write it again"):
        load_component(Decoder, DecoderConfig, folder)


def test_weights_of_another_size_are_refused_on_one_line(folder: Path) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**config, "hidden": 6}))
    with pytest.raises(UserError, match=f"{WEIGHTS_NAME}: does not fit {CONFIG_NAME} beside it") as caught:
        load_component(Decoder, DecoderConfig, folder)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_old_part(folder: Path, full_disk: Any) -> None:
    before = (folder / WEIGHTS_NAME).read_bytes()
    with full_disk(1000), pytest.raises(UserError, match="part: not written"):
        save_component(Decoder(dataclasses.replace(CONFIG, hidden=64)), folder)
    assert (folder / WEIGHTS_NAME).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["part"]


# ---- configs


def test_nested_configs_are_built() -> None:
    built = config_from_dict(Outer, {"inner": {"rate": 1, "pair": [0.5, 1], "levels": []}, "kind": "two"}, "a.yaml")
    assert built == Outer(inner=Inner(rate=1.0, pair=(0.5, 1.0), levels=()), kind="two")
    assert isinstance(built.inner.rate, float)
    assert config_from_dict(Outer, dataclasses.asdict(built), "a.yaml") == built


def test_yaml_reads_1e_3_as_text_but_a_number_is_meant() -> None:
    assert config_from_dict(Inner, {"rate": "1e-3"}, "a.yaml").rate == 0.001


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"rate": 1}, "stepz": 2}, r"a\.yaml: fields unknown stepz; mend"),
        ({"inner": {"rate": 1}, 3: 2, "b": 1}, r"a\.yaml: fields unknown 3, b; mend"),
        ({}, r"a\.yaml: fields missing inner; mend"),
        ({"inner": {}}, r"a\.yaml: inner: fields missing rate; mend"),
        ({"inner": {"speed": 1}}, r"a\.yaml: inner: fields unknown speed and missing rate; mend"),
        ({"inner": 7}, r"a\.yaml: inner: expected .*Inner.*found int"),
        ({"inner": {"rate": -1}}, r"a\.yaml: inner: rate must be positive, got -1"),
        ({"inner": {"rate": "fast"}}, r"a\.yaml: inner: rate is 'fast'; give a value of type float"),
        ({"inner": {"rate": True}}, r"a\.yaml: inner: rate is True; give a value of type float"),
        ({"inner": {"rate": None}}, r"a\.yaml: inner: rate is None; give a value of type float"),
        ({"inner": {"rate": 1, "pair": [1]}}, r"a\.yaml: inner: pair is \(1,\); give .*tuple\[float, float\]"),
        ({"inner": {"rate": 1, "pair": 1}}, r"a\.yaml: inner: pair is 1; give"),
        ({"inner": {"rate": 1, "levels": [1.5]}}, r"a\.yaml: inner: levels is 1\.5; give a value of type int"),
        ({"inner": {"rate": 1}, "steps": 1.5}, r"a\.yaml: steps is 1\.5; give a value of type int"),
        ({"inner": {"rate": 1}, "steps": True}, r"a\.yaml: steps is True; give a value of type int"),
        ({"inner": {"rate": 1}, "half": 1}, r"a\.yaml: half is 1; give a value of type bool"),
        ({"inner": {"rate": 1}, "name": 1}, r"a\.yaml: name is 1; give a value of type str"),
        ({"inner": {"rate": 1}, "kind": "three"}, r"a\.yaml: kind is 'three'; choose one of one, two"),
        ([1], r"a\.yaml: expected .*Outer.*found list"),
        (None, r"a\.yaml: expected .*Outer.*found NoneType"),
    ],
)
def test_the_file_and_the_field_are_named(values: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        config_from_dict(Outer, values, "a.yaml")


def test_module_hash_sees_every_change() -> None:
    def statistics(clip: float = 3.0) -> PlaneStatistics:
        return PlaneStatistics(PlaneStatisticsConfig(channels=2, height=5, width=4, clip=clip))

    assert module_hash(statistics()) == module_hash(statistics())
    changed = statistics()
    changed.std[1] += 1e-6
    swapped = statistics()
    swapped.std.copy_(torch.tensor([2.0, 1.0]))
    other = statistics()
    other.std.copy_(torch.tensor([1.0, 2.0]))
    modules = (statistics(), statistics(4.0), changed, swapped, other, statistics().half())
    assert len({module_hash(module) for module in modules}) == 6


@dataclass(frozen=True)
class Choosing:
    """A config with a field that may be left open."""

    kind: Literal["a", "b"] | None = None
    depth: int | None = None


@pytest.mark.parametrize("values", [{}, {"kind": None}, {"kind": "b", "depth": 3}])
def test_a_field_may_be_none(values: dict[str, object]) -> None:
    assert config_from_dict(Choosing, values, "here") == Choosing(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"), [({"kind": "c"}, "kind is 'c'; choose one of a, b"), ({"depth": "deep"}, "depth is 'deep'")]
)
def test_what_is_neither_none_nor_the_kind_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_from_dict(Choosing, values, "here")


def test_a_younger_field_changes_no_hash_until_it_is_used() -> None:
    """Published weights keep their hash: it is what the dataclass without that field had."""

    @dataclass(frozen=True)
    class Before:
        width: int = 2

    @dataclass(frozen=True)
    class After:
        width: int = 2
        extra: int = field(default=0, metadata=LATER)

    def hash_of(config: object) -> str:
        module = torch.nn.Linear(2, 2)
        torch.nn.init.ones_(module.weight), torch.nn.init.zeros_(module.bias)
        module.config = config  # type: ignore[assignment]
        return module_hash(module)  # type: ignore[arg-type]

    @dataclass(frozen=True)
    class Around:
        inner: After

    assert noted(Around(After())) == {"inner": {"width": 2}}
    assert noted(Around(After(extra=1))) == {"inner": {"width": 2, "extra": 1}}
    assert hash_of(After()) == hash_of(Before())
    assert len({hash_of(config) for config in (Before(), After(extra=1), After(extra=2), Before(width=3))}) == 4
