"""Contract of rodin.train.presets: every preset is printed as YAML that loads back equal, its stages fit each other,
and a YAML file that cannot be used is refused with its name, the field and the remedy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from rodin.diffusion.config import DiffusionConfig
from rodin.errors import UserError
from rodin.render.decoder import DecoderConfig
from rodin.train.presets import PRESETS, Preset, load_preset, paper, preset_yaml, smoke


def known() -> Preset:
    """The smoke preset, with the values that these tests name held fast."""
    preset, change = smoke(), dataclasses.replace
    planes = change(preset.fitting.planes, plane_size=64, learning_rate=0.15)
    return change(
        preset,
        fitting=change(preset.fitting, decoder=DecoderConfig(channels=8), planes=planes),
        base=change(
            preset.base,
            network=change(preset.base.network, size=16, in_channels=8, out_channels=8),
            diffusion=DiffusionConfig(),
        ),
        upsampler=change(
            preset.upsampler,
            scale=4,
            network=change(preset.upsampler.network, size=64, in_channels=8, out_channels=8, condition_channels=8),
        ),
        palette=None,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_loads_back_equal(tmp_path: Path, name: str) -> None:
    path = tmp_path / "changed.yml"
    path.write_text(preset_yaml(load_preset(name)))
    assert load_preset(str(path)) == load_preset(name) == PRESETS[name]()


def test_a_changed_value_is_taken(tmp_path: Path) -> None:
    document = yaml.safe_load(preset_yaml(known()))
    document["base"]["loop"]["steps"] = 77
    document["fitting"]["planes"]["loss"] = {}
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(document).replace("learning_rate: 0.15", "learning_rate: 15e-2"))
    loaded = load_preset(str(path))
    assert loaded.base.loop == dataclasses.replace(known().base.loop, steps=77)
    assert loaded.fitting.planes == dataclasses.replace(
        known().fitting.planes, loss=type(known().fitting.planes.loss)(), learning_rate=0.15
    )


def test_the_papers_numbers() -> None:
    """Sec. 4: planes of 256 x 256 x 32 with a base of 64, ADM's linear schedule of 1000 steps, epsilon, L_VLB."""
    preset = paper()
    fitting, base = preset.fitting, preset.base
    assert (fitting.planes.plane_size, fitting.decoder.channels, base.network.size) == (256, 32, 64)
    diffusion = base.diffusion
    assert (diffusion.prediction, diffusion.learned_variance, diffusion.schedule) == ("epsilon", True, "linear")
    assert (diffusion.train_steps, diffusion.zero_terminal_snr) == (1000, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": {"in_channels": 6, "out_channels": 6}}, "base.network.in_channels must be 8 as the decoder's, got 6"),
        ({"base": {"size": 32}}, "base.network.size must be 16 as the upsampler's size by its scale, got 32"),
        ({"upsampler": {"size": 32}}, "upsampler.network.size must be 64 as the fitted planes', got 32"),
        ({"refiner": {"channels": 4}}, "refiner.network.channels must be 8 as the decoder's, got 4"),
        ({"prior": {"text_width": 32}}, "prior.network.text_width must be 512 as that of phrases, got 32"),
    ],
)
def test_stages_that_do_not_fit_are_refused_before_anything_is_trained(change: dict, message: str) -> None:
    ((name, fields),) = change.items()
    stage = getattr(known(), name)
    unfit = dataclasses.replace(stage, network=dataclasses.replace(stage.network, **fields))
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(known(), **{name: unfit})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected .* fields of Preset|expected .*Preset"),
        ("- 1", "found list"),
        ("a: [", r"not readable as YAML \(.+\)"),
        ("a: \x00", "not readable as YAML"),
        ("[" * 5000, "not readable as YAML"),
        ("a: !!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("steps: 3", "fields unknown steps and missing base, encoder, fitting, prior, refiner, upsampler"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"mine\.yaml: .*({message})") as caught:
        load_preset(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("plane_size: 64", "plain_size: 32", "fitting: planes: fields unknown plain_size and missing plane_size"),
        ("plane_size: 64", "plane_size: big", "fitting: planes: plane_size is 'big'; give a value of type int"),
        ("plane_size: 64", "plane_size: 0", "fitting: planes: fit.plane_size must be at least 1, got 0"),
        ("schedule: shifted", "schedule: steep", "base: diffusion: schedule is 'steep'; choose one of"),
        ("prediction: v_prediction", "prediction: epsilon", "base: diffusion: prediction 'epsilon'"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    text = preset_yaml(known())
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=rf"mine\.yaml: {message}"):
        load_preset(str(path))


def test_other_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--preset: 'huge' is no preset; choose smoke, mini, mini-gpu, paper or a \.yaml file"
    ):
        load_preset("huge")
    with pytest.raises(UserError, match=r"none\.yaml: no such file; write one with: rodin preset smoke"):
        load_preset(str(tmp_path / "none.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match=r"folder\.yaml: not readable"):
        load_preset(str(tmp_path / "folder.yaml"))
