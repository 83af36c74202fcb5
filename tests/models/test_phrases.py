"""Contract: a text is read as the known words and pairs of neighbours in it, each of which moves the latent by its own
vector; what stands beside a text changes nothing; unknown words mean nothing, or by a sentence encoder what the nearest
known phrases do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rodin.models.phrases import PhraseConfig, PhraseReader, phrases_of
from rodin.models.sentence import SentenceEncoder
from rodin.parts import load_component, save_component

pytestmark = pytest.mark.usefixtures("mended_checksums")

CONFIG = PhraseConfig(phrases=("old", "man", "red", "glasses", "red hair", "woman"), common=("a", "with"))
TEXTS = st.text("abdelmnorsw ,.") | st.lists(st.sampled_from(["old", "man", "red", "hair", "a", ","])).map(" ".join)


def make_reader() -> PhraseReader:
    reader = PhraseReader(CONFIG)
    generator = torch.Generator().manual_seed(0)
    reader.effects.copy_(torch.randn(len(CONFIG.phrases), 512, generator=generator))
    reader.mean.copy_(torch.randn(512, generator=generator))
    return reader


@pytest.fixture(scope="module")
def reader() -> PhraseReader:
    return make_reader()


@pytest.fixture(scope="module")
def translating(reader: PhraseReader) -> PhraseReader:
    return reader.translating(SentenceEncoder())


def test_words_and_pairs_within_a_clause() -> None:
    assert phrases_of(["A man with Grey hair, smiling", "grey-haired"]) == {
        *("a", "man", "with", "grey", "hair", "smiling", "haired"),
        *("a man", "man with", "with grey", "grey hair", "grey haired"),
    }
    assert phrases_of([]) == set()


def said_by(reader: PhraseReader, texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    said = reader.read(texts)
    return said.tokens, said.mask, said.pooled


def test_each_phrase_adds_its_vector(reader: PhraseReader) -> None:
    tokens, mask, latents = said_by(reader, ["An OLD man, red hair", "hair, red", "nothing"])
    assert tokens.shape == (3, 4, reader.text_width)
    assert mask.sum(dim=1).tolist() == [4, 1, 0]
    assert not tokens[~mask].any()
    old, man, red, _, red_hair, _ = reader.effects
    torch.testing.assert_close(tokens[0], torch.stack([old, man, red, red_hair]) * 512**0.5)
    wanted = torch.stack([reader.mean + old + man + red + red_hair, reader.mean + red, reader.mean])
    torch.testing.assert_close(latents, wanted)


@given(texts=st.lists(TEXTS, max_size=4))
def test_a_text_is_read_alike_whatever_stands_beside_it(texts: list[str]) -> None:
    reader = make_reader()
    tokens, mask, latents = said_by(reader, texts)
    assert tokens.shape[:2] == mask.shape
    for k, text in enumerate(texts):
        alone = said_by(reader, [text])
        torch.testing.assert_close(tokens[k][mask[k]], alone[0][0][alone[1][0]])
        torch.testing.assert_close(latents[k], alone[2][0])


def test_unknown_words_are_named(reader: PhraseReader) -> None:
    assert reader.unknown_words("A grumpy old wizard with red hair, grumpy!") == ["grumpy", "wizard"]
    assert reader.unknown_words("a man with glasses") == []


@pytest.mark.parametrize(("word", "meaning"), [("spectacles", "glasses"), ("elderly", "old"), ("lady", "woman")])
def test_unknown_words_stand_for_the_nearest_phrases(translating: PhraseReader, word: str, meaning: str) -> None:
    weights = translating.weights([f"a man with {word}"])[0]
    assert weights[CONFIG.phrases.index("man")] == 1
    added = weights.clone()
    added[CONFIG.phrases.index("man")] = 0
    assert CONFIG.phrases[int(added.argmax())] == meaning
    assert 0.4 < added.max() <= 1


def test_a_translation_changes_no_known_words(reader: PhraseReader, translating: PhraseReader) -> None:
    text = ["an old man with red hair"]
    assert translating.unknown_words(text[0]) == ["an"]
    known = ["a old man with red hair"]
    for one, other in zip(said_by(reader, known), said_by(translating, known), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(translating.weights(["crimson"]), reader.weights(["crimson"]))


def test_it_is_kept_on_disk(reader: PhraseReader, tmp_path: Path) -> None:
    save_component(reader, tmp_path / "words")
    loaded = load_component(PhraseReader, PhraseConfig, tmp_path / "words")
    assert loaded.config == CONFIG
    for one, other in zip(said_by(loaded, ["red hair"]), said_by(reader, ["red hair"]), strict=True):
        assert torch.equal(one, other)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_reader_without_phrases() -> None:
    tokens, mask, latents = said_by(PhraseReader(PhraseConfig(phrases=())), ["a man"])
    assert tokens.shape == (1, 1, 512)
    assert not mask.any()
    assert bool(latents.isfinite().all())
