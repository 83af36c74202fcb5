"""Contract: a model may have a part that reads prompts by a general sentence encoder. It is read only when asked for,
changes nothing else of the model, follows it when it is saved and shipped, and its absence is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from rodin import stages
from rodin.cli import main
from rodin.errors import UserError
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.run import by_reader, variant
from rodin.model import load_model, ship_model
from rodin.pipeline import RodinPipeline
from rodin.presets import load_preset
from rodin.sentence import SentenceTower


@pytest.fixture(scope="module")
def worded(trained: Path, tiny_preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with such a part."""
    run = tmp_path_factory.mktemp("worded") / "run"
    shutil.copytree(trained, run)
    stages.words(run, load_preset(str(tiny_preset)))
    stages.model(run)
    return run / "model"


def test_it_changes_nothing_unless_asked_for(trained: Path, worded: Path) -> None:
    before, after = (RodinPipeline.from_pretrained(folder) for folder in (trained / "model", worded))
    assert before.model_hash == after.model_hash
    for prompt in (None, "a red ball"):
        assert torch.equal(before.draw_latents(prompt, [3]), after.draw_latents(prompt, [3]))


def test_it_reads_prompts_and_edits(worded: Path) -> None:
    own, general = (RodinPipeline.from_pretrained(worded, sentences=flag) for flag in (False, True))
    assert not torch.equal(own.draw_latents("a red ball", [3]), general.draw_latents("a red ball", [3]))
    avatar = general("a scarlet ball", num_inference_steps=2, upsampling_steps=1)[0]
    assert avatar.drawing.prompt == "a scarlet ball"
    changed = general.edit(avatar, "an azure ball")
    assert not torch.equal(changed.planes, avatar.planes)
    own.edit(avatar, "blue")  # one model, whichever way it reads


def test_it_ships_with_the_model(worded: Path, tmp_path: Path) -> None:
    ship_model(worded, tmp_path / "weights", 48.0)
    one, other = (load_model(folder).words for folder in (worded, tmp_path / "weights"))
    assert one is not None
    assert other is not None
    torch.testing.assert_close(other.tower.to_latent.weight, one.tower.to_latent.weight, atol=1e-3, rtol=1e-3)
    own, half = (dict(words.prior.named_parameters()) for words in (one, other))
    assert own.keys() == half.keys()
    assert all(torch.equal(half[name], own[name].half().float()) for name in own)


def test_a_model_without_it(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="rodin train words"):
        RodinPipeline.from_pretrained(trained / "model", sentences=True)
    command = ["generate", "--model", str(trained / "model"), "--text", "a ball", "--sentences"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "rodin train words" in capsys.readouterr().err


def test_an_evaluation_draws_prompts_by_both_readers(worded: Path) -> None:
    pipe = RodinPipeline.from_pretrained(worded)
    alone, both = (EvaluationConfig(sentences=flag, steps=2) for flag in (False, True))
    assert list(by_reader(variant("model", pipe, 1.5, alone), alone)) == [False]
    found = by_reader(variant("model", pipe, 1.5, both), both)
    assert found[False].pipe.text_reader is pipe.encoder
    assert isinstance(found[True].pipe.text_reader, SentenceTower)
    one, other = (next(iter(found[flag].draw_prompts(["a red ball"], 0))) for flag in (False, True))
    assert not torch.equal(one.latent, other.latent)
