"""The tokenizer of the encoder's text tower: byte-level byte-pair encoding in CLIP's form, learned from captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # two seconds of imports, which only an encoder in use needs: functions import what they call
    from transformers import CLIPTokenizer

_START, _END = "<|startoftext|>", "<|endoftext|>"
BYTE_TOKENS = 2 * 256  # every byte inside and at the end of a word: no text is ever out of vocabulary


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> CLIPTokenizer:
    """Byte-level BPE in CLIP's form: its cleaning and splitting, merges learned from the captions.

    Args:
        vocabulary: largest number of tokens, bytes and the two special ones included.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    template = CLIPTokenizer(vocab={_START: 0, _END: 1}, merges=[]).backend_tokenizer
    words: Counter[tuple[str, ...]] = Counter()
    for caption in captions:
        for word, _ in template.pre_tokenizer.pre_tokenize_str(template.normalizer.normalize_str(caption)):
            words[(*word[:-1], word[-1] + "</w>")] += 1
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # All 256 word ends are kept, seen or not: an unseen one would become the end-of-text token
    tokens = alphabet + [letter + "</w>" for letter in alphabet]
    merges = _learn_merges(words, vocabulary - 2 - len(tokens))
    tokens += [*dict.fromkeys(first + second for first, second in merges), _START, _END]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=merges)


def _learn_merges(words: Counter[tuple[str, ...]], limit: int) -> list[tuple[str, str]]:
    """The `limit` merges of byte-pair encoding: again and again the most frequent pair of neighbours becomes one.

    Ties go by the alphabet. The learner of the tokenizers library leaves them to chance, and two processes of one
    training, or two runs of one seed, would number the tokens differently.
    """
    merges: list[tuple[str, str]] = []
    while len(merges) < limit:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = Counter({_merged(word, best): count for word, count in words.items()})
    return merges


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    result: list[str] = []
    position = 0
    while position < len(word):
        length = 2 if word[position : position + 2] == pair else 1
        result.append("".join(word[position : position + length]))
        position += length
    return tuple(result)
