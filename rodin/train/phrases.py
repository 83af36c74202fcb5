"""Which words and pairs of words the captions of a set share, and which subjects they are said of.

For the encoder to learn what captions tell apart from each subject by itself: to match pairs within a batch teaches
little from few subjects, since most can be told apart by the colour of their clothes alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

MOST = 1024  # phrases
LEAST_SHARE, MOST_SHARE = 0.01, 0.9  # of the subjects: rarer and commoner ones tell too few of them apart


def phrases_of(captions: Sequence[str]) -> set[str]:
    """The words and pairs of neighbouring words of one subject's captions, in lower case; pairs cross no comma."""
    found: set[str] = set()
    for caption in captions:
        for part in re.split(r"[,.;:!?]", caption.lower()):
            words = re.findall(r"\w+", part)
            found.update(words)
            found.update(f"{one} {other}" for one, other in pairwise(words))
    return found


def common_phrases(captions: Sequence[Sequence[str]]) -> tuple[list[str], Tensor]:
    """The phrases that tell N subjects apart, the commonest first, and a table [N, V] (bool) of who has them.

    Args:
        captions: of each subject, none of some.
    """
    said = [phrases_of(texts) for texts in captions]
    counts = Counter(phrase for phrases in said for phrase in phrases)
    speaking = sum(map(bool, said))
    kept = [phrase for phrase, count in counts.items() if LEAST_SHARE * speaking <= count <= MOST_SHARE * speaking]
    chosen = sorted(kept, key=lambda phrase: (-counts[phrase], phrase))[:MOST]
    table = torch.tensor([[phrase in phrases for phrase in chosen] for phrases in said], dtype=torch.bool)
    return chosen, table.reshape(len(said), len(chosen))
