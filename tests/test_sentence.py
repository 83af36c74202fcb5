"""Contract: the sentence tower reads texts by a frozen general sentence encoder and maps them to the space of z.

The map is the ridge regression from sentences to latents; what a text says does not depend on the texts beside it;
words that no caption has lie near captions that mean the same; without the extra the error says what to install.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import rodin.sentence
from rodin.component import load_component, save_component
from rodin.errors import UserError
from rodin.sentence import RIDGE, SentenceConfig, SentenceTower

KNOWN = {
    "age": ("an old man", "a senior woman", "an aged person with blue eyes", "an old lady in a red shirt"),
    "youth": ("a young man", "a youthful woman", "a young person with blue eyes", "a young lady in a red shirt"),
    "childhood": ("a boy", "a little girl", "a child with blue eyes", "a little girl in a red shirt"),
}
NEW = {"an elderly gentleman": "age", "a granny": "age", "a toddler": "childhood", "a kindergartner": "childhood"}


@pytest.fixture(scope="module")
def learned() -> tuple[SentenceTower, torch.Tensor]:
    """A tower whose map has learned one latent for each kind of person, and the three latents."""
    latents = F.normalize(torch.randn(len(KNOWN), 512, generator=torch.Generator().manual_seed(0)), dim=-1)
    tower = SentenceTower(SentenceConfig())
    texts = [text for group in KNOWN.values() for text in group]
    tower.learn_map(texts, latents.repeat_interleave(4, dim=0), batch=5)
    return tower, latents


def test_shapes_and_masks(learned: tuple[SentenceTower, torch.Tensor]) -> None:
    tower, _ = learned
    hidden, mask, latents = tower.encode_text_tokens(["a man", "a man with a long red beard", ""])
    assert hidden.shape[::2] == (3, tower.text_width)
    assert hidden.shape[:2] == mask.shape
    assert mask.sum(dim=1).tolist() == [4, 9, 2]  # words, and the two marks around every text
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(3))
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    nothing = tower.encode_text_tokens([])
    assert [part.shape[0] for part in nothing] == [0, 0, 0]


def test_a_text_is_read_alike_whatever_stands_beside_it(learned: tuple[SentenceTower, torch.Tensor]) -> None:
    tower, _ = learned
    alone = tower.encode_text_tokens(["a man"])
    beside = tower.encode_text_tokens(["a man", "an old woman with round glasses and a very long scarf"])
    torch.testing.assert_close(beside[0][:1, :4], alone[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(beside[2][:1], alone[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("text", ["\ud800 broken", "\N{SNOWMAN}" * 300, "word " * 2000])
def test_any_text_is_read(learned: tuple[SentenceTower, torch.Tensor], text: str) -> None:
    assert all(bool(part.isfinite().all()) for part in learned[0].encode_text_tokens([text])[::2])


def test_the_map_is_the_ridge_regression(learned: tuple[SentenceTower, torch.Tensor]) -> None:
    """Against the same problem solved as ordinary least squares on rows that stand for the penalty."""
    tower, latents = learned
    texts = [text for group in KNOWN.values() for text in group]
    hidden, mask, _ = tower.encode_text_tokens(texts)
    sums = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    sentences = F.normalize(sums, dim=-1).double().numpy()
    target = latents.repeat_interleave(4, dim=0).double().numpy()
    centred = sentences - sentences.mean(0)
    penalty = np.sqrt(RIDGE * len(texts)) * np.eye(384)
    rows = np.concatenate([centred, penalty])
    aims = np.concatenate([target - target.mean(0), np.zeros((384, 512))])
    weight = np.linalg.lstsq(rows, aims, rcond=None)[0]
    np.testing.assert_allclose(tower.to_latent.weight.numpy(), weight.T, atol=2e-4)
    np.testing.assert_allclose(tower.to_latent.bias.numpy(), target.mean(0) - sentences.mean(0) @ weight, atol=2e-4)


@pytest.mark.parametrize(("text", "meaning"), NEW.items())
def test_new_words_lie_near_what_they_mean(
    learned: tuple[SentenceTower, torch.Tensor], text: str, meaning: str
) -> None:
    tower, latents = learned
    nearest = int((tower.encode_text_tokens([text])[2] @ latents.t()).argmax())
    assert list(KNOWN)[nearest] == meaning


def test_only_the_map_is_written(learned: tuple[SentenceTower, torch.Tensor], tmp_path: Path) -> None:
    tower, _ = learned
    tower.encode_text_tokens(["a man"])  # the sentence encoder is in memory now
    save_component(tower, tmp_path / "words")
    assert (tmp_path / "words" / "model.safetensors").stat().st_size < 1_000_000
    loaded = load_component(SentenceTower, SentenceConfig, tmp_path / "words")
    torch.testing.assert_close(loaded.encode_text_tokens(["a boy"])[2], tower.encode_text_tokens(["a boy"])[2])


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rodin.sentence, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"pip install 'rodin\[words\]'"):
        SentenceTower(SentenceConfig()).encode_text_tokens(["a man"])


def test_a_damaged_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "damaged_package" / "model").mkdir(parents=True)
    (tmp_path / "damaged_package" / "__init__.py").write_text("")
    (tmp_path / "damaged_package" / "model" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(rodin.sentence, "PACKAGE", "damaged_package")
    with pytest.raises(UserError, match="install 'rodin\\[words\\]' again"):
        SentenceTower(SentenceConfig()).encode_text_tokens(["a man"])
