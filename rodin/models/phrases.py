"""Texts as the phrases in them: each known word, and each pair of neighbouring words, moves z by its own vector.

The paper reads prompts by CLIP (Sec. 3.3), which has seen 400 million captions. A text tower that learns from the
captions of a thousand subjects remembers them and composes poorly: of prompts for subjects that nobody rendered, its
prior told 71 % of the attributes, a linear map from phrases 98 % (docs/training.md). So where captions are few the
prior reads them by this map, which is learned in closed form (`rodin.train.phrases`).

A word that no caption has means nothing here. A sentence encoder (`rodin.models.sentence`) may translate it: it stands
for the known phrases that are nearest to it in meaning.

Symbols: B texts, V known phrases, T phrases of the text that has most, D = 512 numbers of z.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rodin.models.text import TextCondition
from rodin.parts import check_range

# How an unknown word shares itself out among known phrases, by their cosines: chosen by how well known words foretell
# the vectors of other known words, with none of their own words among them.
SHARPNESS = 0.03
LEAST_COSINE = 0.5  # to the nearest phrase; a word that is farther from all of them means nothing
LEAST_WEIGHT = 0.02
# How much of what a thing does to z is taken off where it is not there. Of those whose caption leaves it out about 0.3
# have it, if half of the captions do: q / (1 - q) of its effect.
MOST_PHRASES = 2**20
ABSENCE = 0.8


class Embedder(Protocol):
    """What places texts by their meaning."""

    def embed(self, texts: list[str]) -> Tensor:
        """[B, W] of unit length."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseConfig:
    """The vocabulary, in lower case.

    Args:
        phrases: words and pairs of words that move z.
        common: words that nearly all captions have, and so tell nothing.
        latent_dim: D, the length of z.
    """

    phrases: tuple[str, ...]
    common: tuple[str, ...] = ()
    latent_dim: int = 512

    def __post_init__(self) -> None:
        check_range(self, 1, 2**14, "latent_dim")
        if len(self.phrases) > MOST_PHRASES:
            raise ValueError(f"phrases must be at most {MOST_PHRASES}, got {len(self.phrases)}")


class PhraseReader(nn.Module):
    """Texts to what the prior reads: a `rodin.models.text.TextReader`. Frozen.

    Args:
        config: the vocabulary; the vectors are zero until they are learned.
    """

    def __init__(self, config: PhraseConfig) -> None:
        super().__init__()
        self.config = config
        self.effects = nn.Parameter(torch.zeros(len(config.phrases), config.latent_dim), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(config.latent_dim), requires_grad=False)
        self._places = {phrase: place for place, phrase in enumerate(config.phrases)}
        self._known = {word for phrase in config.phrases for word in phrase.split()} | set(config.common)
        self._embedder: Embedder | None = None
        self._meanings: Tensor | None = None  # [V, W] of the known phrases, once they are needed

    @property
    def text_width(self) -> int:
        """Numbers in the vector of a phrase."""
        return self.config.latent_dim

    def translating(self, embedder: Embedder) -> PhraseReader:
        """The same reader with words that no caption has translated."""
        other = copy.copy(self)
        other._embedder = embedder
        return other

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that no phrase and nearly no caption has, in their order."""
        return [word for word in dict.fromkeys(re.findall(r"\w+", text.lower())) if word not in self._known]

    def weights(self, texts: Sequence[str]) -> Tensor:
        """[B, V] how much of each known phrase is in each text: 1 where it stands there, less where it is meant."""
        table = torch.zeros(len(texts), len(self.config.phrases))
        for row, text in zip(table, texts, strict=True):
            found = phrases_of([text])
            row[[self._places[phrase] for phrase in found if phrase in self._places]] = 1.0
            unknown = set(self.unknown_words(text))
            if asked := sorted(phrase for phrase in found if unknown & set(phrase.split())):
                row.copy_(torch.maximum(row, self._meant(asked)))
        return table

    def _meant(self, asked: list[str]) -> Tensor:
        """[V] how much known phrases stand for unknown ones: words alone, and beside their neighbours."""
        if self._embedder is None or not self.config.phrases:
            return torch.zeros(len(self.config.phrases))
        if self._meanings is None:
            self._meanings = self._embedder.embed(list(self.config.phrases))
        cosines = self._embedder.embed(asked) @ self._meanings.t()
        shares = (cosines / SHARPNESS).softmax(dim=1) * (cosines.amax(dim=1, keepdim=True) > LEAST_COSINE)
        return (shares * (shares >= LEAST_WEIGHT)).amax(dim=0)

    @torch.no_grad()
    def read(self, texts: list[str], absent: Sequence[Sequence[str]] | None = None) -> TextCondition:
        """What texts say, phrase by phrase and as a whole.

        Args:
            absent: for each text the kinds of what is not there, such as ("round glasses", "sunglasses"). The
                mean of what these do to z is taken off the mean latent, for captions that say nothing of glasses are
                also those of avatars that have them. It makes no token: the prior never saw one of what is not there.

        Returns:
            vectors of each text's phrases, in units in which z has unit variance, padded with zeros; a mask that is
            True where there is a phrase; and the mean latent, of length below 1, of avatars of which this may be said.
        """
        weights = self.weights(texts).to(self.effects)
        latents = self.mean + weights @ self.effects
        for row, kinds in zip(latents, absent or (), strict=False):
            if kinds:
                row -= ABSENCE * (self.weights(kinds).to(self.effects) @ self.effects).mean(dim=0)
        said = [weight[weight > 0, None] * self.effects[weight > 0] * math.sqrt(self.text_width) for weight in weights]
        lengths = torch.tensor([len(one) for one in said], device=latents.device)
        if not lengths.any():
            hidden = latents.new_zeros(len(texts), 1, self.text_width)
            return TextCondition(hidden, hidden[..., 0].bool(), latents)
        hidden = pad_sequence(said, batch_first=True)
        mask = torch.arange(hidden.shape[1], device=latents.device) < lengths[:, None]
        return TextCondition(hidden, mask, latents)


def phrases_of(captions: Sequence[str]) -> set[str]:
    """The words and pairs of neighbouring words of one subject's captions, in lower case; pairs cross no comma."""
    found: set[str] = set()
    for caption in captions:
        for part in re.split(r"[,.;:!?]", caption.lower()):
            words = re.findall(r"\w+", part)
            found.update(words)
            found.update(f"{one} {other}" for one, other in pairwise(words))
    return found
