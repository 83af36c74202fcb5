"""Contract of rodin.train.redrawn: of fitted planes stays what the base model's size holds, and the upsampler draws the
rest; the refiner renders such planes where its settings say so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rodin.data.shards import read_shards
from rodin.errors import UserError
from rodin.models.statistics import load_statistics
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.presets import load_preset
from rodin.train.redrawn import redrawing
from rodin.triplane import resize


def test_planes_are_reduced_and_drawn_again(trained: Path) -> None:
    subject = next(iter(read_shards(trained / "planes")))
    side = json.loads((trained / "base" / "config.json").read_text())["size"]
    redraw = redrawing(trained, side)
    drawn = redraw(subject)
    assert drawn.shape == subject.planes.shape
    assert torch.equal(drawn, redraw(subject))
    # The upsampler sees the reduced planes alone: what they do not hold makes no difference.
    coarse = resize(resize(subject.planes, side, side), *subject.planes.shape[-2:])
    statistics = load_statistics(trained / "planes")
    before, after = (resize(statistics.normalize(one), side, side) for one in (subject.planes, drawn))
    assert not torch.equal(drawn, coarse)
    assert (after - before).square().mean() < 0.5 * before.square().mean()


def test_without_an_upsampler_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="upsampler"):
        redrawing(tmp_path, 8)


def test_the_refiner_renders_them(trained: Path, balls: Path) -> None:
    preset = load_preset(str(trained / "model" / "preset.yaml"))
    decoder = load_component(Decoder, DecoderConfig, trained / "decoder").requires_grad_(False)
    side = preset.base.network.size
    plain, again = (
        replace(preset.refiner, redrawn=much).source(balls, trained, decoder).render([1]) for much in (0, side)
    )
    assert torch.equal(plain.true, again.true)
    assert not torch.equal(plain.inputs, again.inputs)
    assert plain.inputs.shape == again.inputs.shape
    # Alpha hardly moves: they are the same subject.
    assert (plain.inputs[:, 3] - again.inputs[:, 3]).abs().mean() < 0.1


def test_a_preset_that_reduces_to_another_size_is_refused() -> None:
    preset = load_preset("mini")
    assert preset.refiner.redrawn == preset.base.network.size
    with pytest.raises(ValueError, match=r"refiner\.redrawn must be 32, the base model's planes' size, or 0, got 16"):
        replace(preset, refiner=replace(preset.refiner, redrawn=16))
