"""What texts say, as the latent prior is told it, and what reads it off them.

Symbols: B texts, T tokens of the longest, W numbers of a token, D latent numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class TextCondition:
    """What texts say, as a `TextReader` gives it. A row whose mask is empty is no text at all.

    Args:
        tokens: [B, T, W] hidden states of the text transformer.
        mask: [B, T] bool, True where there is a token, False where the row is padded.
        pooled: [B, D] embeddings in the space of z, of unit length unless the prior is residual.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor

    def __post_init__(self) -> None:
        batch = self.tokens.shape[0]
        if self.tokens.ndim != 3 or self.mask.shape != self.tokens.shape[:2] or self.mask.dtype != torch.bool:
            raise ValueError(
                f"text must be tokens [B, T, W] and a bool mask [B, T], got {list(self.tokens.shape)}, "
                f"{list(self.mask.shape)} {self.mask.dtype}"
            )
        if self.pooled.ndim != 2 or len(self.pooled) != batch:
            raise ValueError(f"pooled must be [B={batch}, D], got {list(self.pooled.shape)}")

    def only(self, kept: Tensor) -> TextCondition:
        """The same, with no text in the rows where `kept` [B] (bool) is False."""
        return TextCondition(self.tokens, self.mask & kept[:, None], self.pooled)

    def repeat(self, count: int) -> TextCondition:
        """Each row `count` times, one after the other."""
        tokens, mask, pooled = (x.repeat_interleave(count, dim=0) for x in (self.tokens, self.mask, self.pooled))
        return TextCondition(tokens, mask, pooled)

    @property
    def mean(self) -> Tensor:
        """[B, 1, D, 1, 1] the pooled embeddings of unit variance, 0 where there is no text: where a residual begins."""
        said = self.mask.any(dim=1, keepdim=True)
        return (self.pooled * said * math.sqrt(self.pooled.shape[1]))[:, None, :, None, None]

    def to(self, device: torch.device | str) -> TextCondition:
        """The same on a device."""
        return TextCondition(self.tokens.to(device), self.mask.to(device), self.pooled.to(device))


class TextReader(Protocol):
    """What turns texts into the prior's condition: the encoder's text tower, or a reader of phrases."""

    @property
    def text_width(self) -> int:
        """Numbers in the hidden state of a text token."""
        ...

    def read(self, texts: list[str]) -> TextCondition:
        """What texts say; a text without a known word has an empty mask."""
        ...
