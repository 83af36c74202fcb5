"""Contract: the prior stage turns a run folder's frontal images and captions into a network that draws their latents.

With text it draws what the text says, without it draws all there is; it reads every paraphrase, leaves captions out as
often as asked, takes subjects without captions, shares subjects out among ranks, leaves a finished run alone and
refuses settings that do not fit the run.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rodin.train.prior
from rodin.data.shards import FittedSubject, read_shards, write_shards
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.models.phrases import PhraseConfig, PhraseReader
from rodin.models.prior import Prior, PriorConfig, sample_latents
from rodin.models.text import TextCondition
from rodin.parts import load_component
from rodin.train.loop import LoopConfig
from rodin.train.prior import DALLE2, PriorTraining, train_prior
from rodin.train.subjects import load_latents

pytestmark = pytest.mark.usefixtures("mended_checksums")

NETWORK = PriorConfig(width=32, layers=2, heads=2, text_width=32)
LOOP = LoopConfig(steps=3, batch_size=4, learning_rate=2e-3, warmup_steps=1, ema_decay=0.99)
PRIOR = PriorTraining(network=NETWORK, loop=LOOP)
COLOURS = {"red": (0.9, 0.1, 0.1), "green": (0.1, 0.8, 0.2), "blue": (0.1, 0.2, 0.9)}
NAMES = tuple(COLOURS)
COUNT = 12


def subject(index: int, captions: tuple[str, ...]) -> FittedSubject:
    """One of three kinds, which its frontal image shows by its colour; the first caption is the caption itself."""
    generator = torch.Generator().manual_seed(index)
    frontal = torch.ones(16, 16, 4)
    frontal[..., :3] = torch.tensor(COLOURS[NAMES[index % 3]])
    frontal[..., :3] += 0.05 * torch.rand(16, 16, 3, generator=generator)
    caption = captions[0] if captions else ""
    return FittedSubject(f"s{index}", torch.zeros(3, 2, 4, 4), caption, frontal, 30.0, 0.9, captions)


def phrases(index: int) -> tuple[str, ...]:
    colour = NAMES[index % 3]
    return (f"a {colour} head", f"somebody who is {colour}")


def write_planes(run: Path, captioned: range = range(COUNT)) -> None:
    subjects = [subject(index, phrases(index) if index in captioned else ()) for index in range(COUNT)]
    write_shards(run / "planes", subjects, decoder_hash="0" * 64, per_shard=5)


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Callable[[list[str]], Encoder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that is ready for the stage."""
    run = tmp_path_factory.mktemp("fitted")
    captions = [text for index in range(3) for text in phrases(index)]
    tiny_encoder(captions).save_pretrained(run / "encoder")
    write_planes(run)
    return run


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[TextCondition]:
    """The text that each step's network gets."""
    texts: list[TextCondition] = []
    forward = Prior.forward

    def watched(self: nn.Module, x: Tensor, t: Tensor, text: TextCondition) -> Tensor:
        texts.append(text)
        return forward(self, x, t, text)  # type: ignore[arg-type]

    monkeypatch.setattr(Prior, "forward", watched)
    return texts


def kinds_of(drawn: Tensor, run: Path) -> list[str]:
    """The colour whose subjects' mean latent is nearest to each z."""
    latents, _ = load_latents(run, Encoder.from_pretrained(run / "encoder"))
    centres = torch.stack([latents[kind::3].mean(dim=0) for kind in range(3)])
    return [NAMES[index] for index in torch.cdist(drawn, centres).argmin(dim=1).tolist()]


def test_it_draws_what_the_text_says_and_all_there_is_without(run: Path) -> None:
    loop = dataclasses.replace(LOOP, steps=150, batch_size=24, learning_rate=4e-3, warmup_steps=10)
    train_prior(run, dataclasses.replace(PRIOR, loop=loop))
    prior, diffusion = load_denoiser(Prior, PriorConfig, run / "prior")
    assert prior.config == NETWORK
    assert diffusion == DALLE2
    encoder = Encoder.from_pretrained(run / "encoder")
    wanted = [NAMES[index % 3] for index in range(24)]
    for phrase in (0, 1):
        texts = [phrases(index)[phrase] for index in range(24)]
        seeds = [torch.Generator().manual_seed(index) for index in range(24)]
        condition = encoder.read(texts)
        found = kinds_of(sample_latents(prior, diffusion, condition, seeds, 1.0, 10), run)
        assert sum(a == b for a, b in zip(found, wanted, strict=True)) >= 22
    seeds = [torch.Generator().manual_seed(index) for index in range(60)]
    counts = Counter(kinds_of(sample_latents(prior, diffusion, None, seeds, steps=10), run))
    assert min(counts[name] for name in NAMES) >= 8


def test_captions_are_left_out_as_often_as_asked(run: Path, seen: list[TextCondition]) -> None:
    loop = dataclasses.replace(LOOP, steps=20, batch_size=32)
    train_prior(run, dataclasses.replace(PRIOR, loop=loop, text_dropout=0.3))
    kept = torch.cat([text.mask.any(dim=1) for text in seen])
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.06)


@pytest.mark.parametrize("captioned", [range(6), range(0)])
def test_subjects_without_captions_are_trained_on_without_text(
    run: Path, seen: list[TextCondition], captioned: range
) -> None:
    write_planes(run, captioned)
    loop = dataclasses.replace(LOOP, steps=20, batch_size=32)
    train_prior(run, dataclasses.replace(PRIOR, loop=loop, text_dropout=0.0))
    kept = torch.cat([text.mask.any(dim=1) for text in seen])
    assert kept.float().mean().item() == pytest.approx(len(captioned) / COUNT, abs=0.07)


def test_texts_belong_to_their_latents(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    shown: list[Tensor] = []
    encode, losses = Encoder.read, rodin.train.prior.Diffusion.losses

    def heard(self: Encoder, texts: list[str]) -> TextCondition:
        said.extend(texts)
        return encode(self, texts)

    def watched(self: object, network: object, x0: Tensor, *rest: object) -> dict[str, Tensor]:
        shown.append(x0)
        return losses(self, network, x0, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "read", heard)
    monkeypatch.setattr(rodin.train.prior.Diffusion, "losses", watched)
    train_prior(run, dataclasses.replace(PRIOR, loop=dataclasses.replace(LOOP, batch_size=16)))
    latents = torch.cat(shown).flatten(1)
    assert latents.square().mean().item() == pytest.approx(1.0, abs=1e-4)  # unit variance inside
    for text, kind in zip(said, kinds_of(nn.functional.normalize(latents), run), strict=True):
        assert kind in text
    assert set(said) == {text for index in range(3) for text in phrases(index)}


def test_full_captions_alone_are_read_where_the_settings_say_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    encode = Encoder.read

    def heard(self: Encoder, texts: list[str]) -> TextCondition:
        said.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(Encoder, "read", heard)
    loop = dataclasses.replace(LOOP, steps=10, batch_size=16)
    train_prior(run, dataclasses.replace(PRIOR, full_captions=True, loop=loop))
    assert set(said) == {phrases(index)[0] for index in range(3)}


def test_words_are_learned_from_the_captions_that_the_prior_reads(run: Path) -> None:
    network = dataclasses.replace(NETWORK, text_width=512)
    write_planes(run, range(COUNT - 1))
    train_prior(run, dataclasses.replace(PRIOR, network=network, phrases=True, full_captions=True))
    words = load_component(PhraseReader, PhraseConfig, run / "words")
    assert words.unknown_words("a red head somebody") == ["somebody"]


def test_a_finished_run_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_prior(run, PRIOR)
    before = (run / "prior" / "model.safetensors").stat().st_mtime_ns
    train_prior(run, PRIOR)
    assert "trained already" in capsys.readouterr().out
    assert (run / "prior" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="layers 2, not 3"):
        train_prior(run, dataclasses.replace(PRIOR, network=dataclasses.replace(NETWORK, layers=3)))


def test_an_unfinished_run_goes_on_with_its_own_settings_only(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rodin.train.prior, "save_denoiser", stop)
        with pytest.raises(KeyboardInterrupt):
            train_prior(run, PRIOR)
    assert not (run / "prior").exists()
    with pytest.raises(UserError, match=r"settings.json: .*text_dropout 0.2, not 0.5"):
        train_prior(run, dataclasses.replace(PRIOR, text_dropout=0.5))
    train_prior(run, PRIOR)
    assert (run / "prior" / "model.safetensors").is_file()


def test_every_subject_is_known_by_its_latent_and_captions(run: Path) -> None:
    encoder = Encoder.from_pretrained(run / "encoder")
    latents, captions = load_latents(run, encoder)
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(COUNT))
    assert captions == [phrases(index) for index in range(COUNT)]
    both, twice = load_latents(run, encoder, mirrored=True)
    torch.testing.assert_close(both[::2], latents)
    frontals = torch.stack([subject.frontal for subject in read_shards(run / "planes")])
    torch.testing.assert_close(both[1::2], encoder.encode_images(frontals.flip(2)))
    assert twice == [one for one in captions for _ in range(2)]


@pytest.mark.parametrize("spoken", [True, False])
def test_every_weight_has_a_gradient(spoken: bool) -> None:
    """Ranks wait for each other's gradients of all weights, whether or not anything was said in a step."""
    torch.manual_seed(0)
    prior = Prior(NETWORK)
    nn.init.normal_(prior.head.weight)
    text = TextCondition(torch.randn(2, 5, 32), torch.full((2, 5), spoken), torch.randn(2, 512))
    prior(torch.randn(2, 1, 512, 1, 1), torch.tensor([3, 900]), text).square().sum().backward()
    assert all(parameter.grad is not None for parameter in prior.parameters())


def test_what_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="text tokens are 32 wide, the prior is for text_width 64"):
        train_prior(run, dataclasses.replace(PRIOR, network=dataclasses.replace(NETWORK, text_width=64)))
    with pytest.raises(UserError, match="words: text tokens are 512 wide, the prior is for text_width 32"):
        train_prior(run, dataclasses.replace(PRIOR, phrases=True))
    with pytest.raises(UserError, match="latents have 512 numbers, the prior is for 256"):
        train_prior(run, dataclasses.replace(PRIOR, network=dataclasses.replace(NETWORK, latent_dim=256)))
    with pytest.raises(UserError, match="encoder"):
        train_prior(tmp_path / "nowhere", PRIOR)
    with pytest.raises(ValueError, match="text_dropout"):
        dataclasses.replace(PRIOR, text_dropout=-0.1)
    learned = dataclasses.replace(DALLE2, learned_variance=True)
    with pytest.raises(ValueError, match="learned_variance"):
        dataclasses.replace(PRIOR, diffusion=learned)


def test_a_prior_that_reads_phrases(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It follows texts that it never read, and is left alone when it is finished."""
    loop = dataclasses.replace(LOOP, steps=200, batch_size=24, learning_rate=4e-3, warmup_steps=10)
    config = dataclasses.replace(PRIOR, loop=loop, phrases=True, network=dataclasses.replace(NETWORK, text_width=512))
    train_prior(run, config)
    prior, diffusion = load_denoiser(Prior, PriorConfig, run / "prior")
    reader = load_component(PhraseReader, PhraseConfig, run / "words")
    right = 0
    for text, colour in {"red": "red", "who has a red head": "red", "green person": "green", "blue": "blue"}.items():
        seeds = [torch.Generator().manual_seed(index) for index in range(6)]
        condition = reader.read([text]).repeat(6)
        found = kinds_of(sample_latents(prior, diffusion, condition, seeds, 1.0, 10), run)
        right += sum(one == colour for one in found)
    assert right >= 20  # of 24; by chance 8
    train_prior(run, config)
    assert "trained already" in capsys.readouterr().out


def test_phrases_of_no_captions(run: Path) -> None:
    """There is nothing to read; the prior still draws from nothing."""
    shutil.rmtree(run / "planes")
    write_planes(run, range(0))
    network = dataclasses.replace(NETWORK, text_width=512)
    train_prior(run, dataclasses.replace(PRIOR, phrases=True, network=network))
    assert load_component(PhraseReader, PhraseConfig, run / "words").config.phrases == ()
