"""Contract: a model may read prompts by phrases in place of its encoder's text tower. Unknown words are translated only
when that is asked for; the part follows the model when it is saved and shipped, and its absence is named."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.cli.main import main
from rodin.errors import UserError
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.evaluation import by_reader, variant
from rodin.evaluate.prompts import Prompt, PromptSet
from rodin.models.folder import load_model, ship_model
from rodin.synth.recipe import make_recipe
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import paraphrases
from rodin.train import chain
from rodin.train.phrases import learn_reader
from rodin.train.presets import load_preset

pytestmark = pytest.mark.usefixtures("mended_checksums")

QUICK = Sampling(steps=2, guidance_scale=1.5)


@pytest.fixture(scope="module")
def worded(trained: Path, tiny_preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a prior that reads phrases."""
    run = tmp_path_factory.mktemp("worded") / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("prior", "prior.training", "model"))
    preset = load_preset(str(tiny_preset))
    network = replace(preset.prior.network, text_width=512)
    chain.prior(run, replace(preset, prior=replace(preset.prior, network=network, phrases=True)))
    chain.model(run)
    return run / "model"


def known_word(pipe: RodinPipeline) -> str:
    assert pipe.words is not None
    return next(phrase for phrase in pipe.words.config.phrases if " " not in phrase)


def test_known_words_are_read_alike_with_and_without_translation(worded: Path) -> None:
    plain, translating = (RodinPipeline.from_pretrained(worded, sentences=flag) for flag in (False, True))
    known = known_word(plain)
    assert torch.equal(plain.draw_latents(known, [3]), translating.draw_latents(known, [3]))
    new = f"{known} flabbergasted"
    assert torch.equal(plain.draw_latents(new, [3]), plain.draw_latents(known, [3]))
    avatar = translating(new, sampling=Sampling(steps=2, upsampling_steps=1))[0]
    changed = translating.edit(avatar, known)
    assert not torch.equal(changed.planes, avatar.planes)
    plain.edit(avatar, known)  # one model, whichever way it reads


def test_a_prompt_of_unknown_words_is_refused(worded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", "--model", str(worded), "--text", "xyzzy", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "no word that the model knows" in said.err
    assert "words that no caption has: xyzzy (not read)" in said.out


def test_it_ships_with_the_model(worded: Path, tmp_path: Path) -> None:
    ship_model(worded, tmp_path / "weights", 48.0)
    one, other = (load_model(folder).words for folder in (worded, tmp_path / "weights"))
    assert one is not None
    assert other is not None
    assert other.config == one.config
    torch.testing.assert_close(other.effects, one.effects, atol=1e-3, rtol=1e-3)


def test_a_prior_of_another_model_is_refused(trained: Path, worded: Path, tmp_path: Path) -> None:
    shutil.copytree(worded, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "prior")
    shutil.copytree(trained / "prior", tmp_path / "model" / "prior")
    with pytest.raises(UserError, match="words and prior are not of one model"):
        load_model(tmp_path / "model")


def test_a_model_without_it(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    assert pipe.text_reader is pipe.encoder
    command = ["generate", "--model", str(trained / "model"), "--text", "a ball", "--sentences"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "translates nothing; leave it out" in capsys.readouterr().err


def test_an_evaluation_draws_nothing_of_words_that_nobody_knows(worded: Path) -> None:
    pipe = RodinPipeline.from_pretrained(worded)
    first, second = variant("model", pipe, QUICK).draw_prompts(["zzyzx", known_word(pipe)], 0)
    assert first is None
    assert second is not None
    assert second.drawing.seed == 1


def test_an_evaluation_draws_prompts_twice(worded: Path) -> None:
    pipe = RodinPipeline.from_pretrained(worded)
    alone, both = (EvaluationConfig(sentences=flag, sampling=QUICK) for flag in (False, True))
    prompt = f"{known_word(pipe)} and crimson"
    new, known = (PromptSet("some", [Prompt(text, {})]) for text in (prompt, known_word(pipe)))
    assert list(by_reader(variant("model", pipe, QUICK), new, alone)) == [False]
    assert list(by_reader(variant("model", pipe, QUICK), known, both)) == [False], "it would draw the same again"
    found = by_reader(variant("model", pipe, QUICK), new, both)
    one, other = (next(iter(found[flag].draw_prompts([prompt], 0))) for flag in (False, True))
    assert one is not None
    assert other is not None
    assert one.latent.shape == other.latent.shape == (512,)


@pytest.fixture(scope="module")
def speaking(worded: Path) -> RodinPipeline:
    """The tiny model as if it had learned its words from captions of rodin synth."""
    people = [make_recipe(5, index) for index in range(150)]
    captions = [[make_caption(one), *paraphrases(one, 4)] for one in people]
    latents = torch.nn.functional.normalize(torch.randn(150, 512, generator=torch.Generator().manual_seed(0)), dim=1)
    return RodinPipeline(dataclasses.replace(load_model(worded), words=learn_reader(captions, latents)))


def test_prompts_are_understood(speaking: RodinPipeline) -> None:
    assert speaking.understands
    assert speaking.understand("a bloke with ginger hair", 3).recipe.hair_color == "red"
    one, other = (speaking.draw_latents(text, [3]) for text in ("a man without glasses", "a bloke with no spectacles"))
    assert torch.equal(one, other), "the same is asked for, in other words"
    assert not torch.equal(one, speaking.draw_latents("a man with glasses", [3]))
    assert not torch.equal(one, speaking.draw_latents("a man without glasses", [3], literal=True))
    assert torch.equal(speaking.draw_latents("an old man", [4, 5])[1], speaking.draw_latents("an old man", [5])[0])
    assert speaking.unread("a man with a parrot") == ("parrot",)


def test_a_prompt_is_emphasised_where_avatars_are_faint(speaking: RodinPipeline) -> None:
    """Its latent goes on towards its sex, age and beard, and stays of unit length; nothing else has words to follow."""
    plain, default, loud = (
        speaking.draw_latents("an old man", [3], Sampling(emphasis=much)) for much in (0.0, Sampling().emphasis, 2.0)
    )
    assert speaking.words is not None
    men, women = (speaking.words.read([f"an old {who}"]).pooled for who in ("man", "woman"))
    towards = [float((one * (men - women)).sum()) for one in (plain, default, loud)]
    assert towards[0] < towards[1] < towards[2]
    torch.testing.assert_close(loud.norm(dim=1), torch.ones(1))
    for prompt, literal in ((None, False), ("an old man", True)):
        one, other = (
            speaking.draw_latents(prompt, [3], Sampling(emphasis=much), literal=literal) for much in (0.0, 2.0)
        )
        assert torch.equal(one, other)


def test_what_is_not_english_is_refused_with_that_line(speaking: RodinPipeline) -> None:
    assert not speaking.knows("un homme avec des lunettes")
    with pytest.raises(UserError, match=r"^prompt: nothing understood \(prompts are English\); not read: un, homme"):
        speaking.draw_latents("un homme avec des lunettes", [0])


def test_a_model_of_other_words_understands_nothing(worded: Path) -> None:
    pipe = RodinPipeline.from_pretrained(worded)
    assert not pipe.understands
    with pytest.raises(UserError, match=r"^understand: this model was not trained on"):
        pipe.understand("an old man")


def test_edits_by_understood_words(speaking: RodinPipeline) -> None:
    quick = Sampling(steps=2, upsampling_steps=1)
    avatar = speaking("a man with round glasses", seed=1, sampling=quick)[0]
    off, same = (speaking.edit(avatar, words).latent for words in ("no glasses", "remove the spectacles"))
    assert torch.equal(off, same)
    assert not torch.equal(off, avatar.latent)
    assert not torch.equal(off, speaking.edit(avatar, "no beard").latent)
    by_source = speaking.edit(avatar, "a man", source_prompt="a man with glasses").latent
    torch.testing.assert_close(by_source, off, atol=0.2, rtol=0)
