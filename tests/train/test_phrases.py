"""Contract: phrases are the words and neighbouring pairs that captions share; what nearly all or hardly any subject has
is left out; the table says who has which, and subjects without captions have none."""

from __future__ import annotations

import torch

from rodin.train.phrases import MOST, common_phrases, phrases_of


def test_words_and_pairs_within_a_clause() -> None:
    assert phrases_of(["A man with Grey hair, smiling", "grey-haired"]) == {
        *("a", "man", "with", "grey", "hair", "smiling", "haired"),
        *("a man", "man with", "with grey", "grey hair", "grey haired"),
    }
    assert phrases_of([]) == set()


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
