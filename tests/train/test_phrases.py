"""Contract: phrases are the words and neighbouring pairs that captions share; what nearly all or hardly any subject has
is left out; the table says who has which, and subjects without captions have none. A reader's vectors are the ridge
regression from the phrases of captions to latents."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from rodin.models.phrases import phrases_of
from rodin.train.phrases import MOST, RIDGE, common_phrases, learn_reader


def test_the_table_says_who_has_what() -> None:
    captions = [["a man", "a tall man"], ["a woman"], [], ["a man in a hat"]]
    phrases, table = common_phrases(captions)
    assert table.shape == (4, len(phrases))
    assert phrases[:2] == ["a man", "man"]  # said of two of three; "a" is said of all
    assert "a" not in phrases
    for phrase, column in zip(phrases, table.t().tolist(), strict=True):
        assert column == [phrase in phrases_of(texts) for texts in captions]
    assert not table[2].any()


def test_only_the_commonest_of_many() -> None:
    captions = [[f"word{k} word{k + 1}" for k in range(0, 2 * MOST, 2 if odd else 1)] for odd in (True, False)]
    captions += [["plain"], ["plain"]]
    phrases, table = common_phrases(captions)
    assert len(phrases) == MOST
    assert set(table.sum(dim=0).tolist()) == {2}


def test_no_captions_at_all() -> None:
    phrases, table = common_phrases([[], []])
    assert phrases == []
    assert table.shape == (2, 0)
    assert table.dtype == torch.bool


CAPTIONS = [
    ("an old man", "a man of age"),
    ("an old woman",),
    (),
    ("a young man in red", "a red young man"),
    ("a boy",),
]


def test_the_reader_is_the_ridge_regression() -> None:
    """Against the same problem solved as ordinary least squares on rows that stand for the penalty."""
    latents = F.normalize(torch.randn(len(CAPTIONS), 512, generator=torch.Generator().manual_seed(0)), dim=1)
    reader = learn_reader(CAPTIONS, latents)
    rows = [[phrase in phrases_of([text]) for phrase in reader.config.phrases] for one in CAPTIONS for text in one]
    says = np.array(rows, dtype=np.float64)
    target = latents[[0, 0, 1, 3, 3, 4]].double().numpy()
    penalty = np.sqrt(RIDGE) * np.eye(says.shape[1])
    stacked = np.concatenate([says - says.mean(0), penalty])
    aims = np.concatenate([target - target.mean(0), np.zeros((says.shape[1], 512))])
    effects = np.linalg.lstsq(stacked, aims, rcond=None)[0]
    np.testing.assert_allclose(reader.effects.numpy(), effects, atol=1e-5)
    np.testing.assert_allclose(reader.mean.numpy(), target.mean(0) - says.mean(0) @ effects, atol=1e-5)


def test_words_that_all_captions_have_are_known_and_mean_nothing() -> None:
    reader = learn_reader([("a man",), ("a woman",), ("a boy",)] * 4, F.normalize(torch.randn(12, 512), dim=1))
    assert "a" in reader.config.common
    assert "a" not in reader.config.phrases
    assert reader.unknown_words("a man") == []


def test_a_reader_of_no_captions() -> None:
    assert learn_reader([(), ()], torch.eye(2, 512)).config.phrases == ()
