"""What a model's reader of phrases knows of the words of `rodin synth`, and words that the lexicon lacks by meaning."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from rodin.models.phrases import Embedder, PhraseReader
from rodin.prompts.tokens import meaning_entries
from rodin.synth import recipe

LEAST_SHARE = 0.75  # of the recipe's words: a small set lacks the rare ones
LEAST_COSINE = 0.72  # of a word and what it is translated to; unrelated words and most of other languages stay below


def speaks_of_recipes(reader: PhraseReader) -> bool:
    """Whether a reader learned from captions of `rodin synth`: it knows most of the words that these have."""
    values = (
        recipe.SEXES,
        recipe.AGES,
        recipe.SKIN_TONES,
        recipe.HAIR,
        recipe.HAIR_COLOURS,
        recipe.TOPS,
        recipe.GLASSES,
    )
    words = {word for words in values for value in words for word in value.replace("-", " ").lower().split()}
    return len(reader.unknown_words(" ".join(sorted(words)))) <= (1 - LEAST_SHARE) * len(words)


def says_absences(reader: PhraseReader) -> bool:
    """Whether the captions that it learned from say what is not there."""
    return "no glasses" in reader.config.phrases


class Translator:
    """Words that the lexicon lacks, as the entries that are nearest in meaning."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._meanings: Tensor | None = None  # [V, W] of the entries, once they are needed

    def __call__(self, word: str) -> str | None:
        """An entry of the lexicon, or None where none is near."""
        if self._meanings is None:
            self._meanings = self._embedder.embed(list(_entries()))
        cosines = (self._embedder.embed([word]) @ self._meanings.t())[0]
        return _entries()[int(cosines.argmax())] if float(cosines.max()) > LEAST_COSINE else None


@cache
def _entries() -> tuple[str, ...]:
    return meaning_entries()
