"""The phrases that tell the subjects of a set apart, and what each does to z.

For the encoder to learn what captions tell apart from each subject by itself (to match pairs within a batch teaches
little from few subjects, since most can be told apart by the colour of their clothes alone), and for the prior to read
prompts by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from rodin.models.phrases import PhraseConfig, PhraseReader, phrases_of

MOST = 1024  # phrases
LEAST_SHARE, MOST_SHARE = 0.01, 0.9  # of the subjects: rarer and commoner ones tell too few of them apart
AT_ONCE = 64  # subjects
RIDGE = 10.0  # on the squared vectors, beside one squared error a caption


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


def learn_reader(captions: Sequence[Sequence[str]], latents: Tensor) -> PhraseReader:
    """The reader whose mean latent of a caption is nearest to the latents of which it is said: a ridge regression.

    Args:
        captions: of N subjects, none of some.
        latents: [N, 512] of unit length.
    """
    phrases, _ = common_phrases(captions)
    said = [phrases_of(texts) for texts in captions if texts]
    counts = Counter(word for found in said for word in found if " " not in word)
    common = sorted(word for word, count in counts.items() if count > MOST_SHARE * len(said))
    reader = PhraseReader(PhraseConfig(phrases=tuple(phrases), common=tuple(common)))
    count = sum(map(len, captions))
    if not count:
        return reader
    # The sums of a regression with a constant, some subjects at a time: all captions at once would fill the memory.
    width, latent_dim = len(phrases), latents.shape[1]
    says_sum, latent_sum = torch.zeros(width).double(), torch.zeros(latent_dim).double()
    squares, products = torch.zeros(width, width).double(), torch.zeros(width, latent_dim).double()
    for start in range(0, len(captions), AT_ONCE):
        some = captions[start : start + AT_ONCE]
        owners = [start + index for index, texts in enumerate(some) for _ in texts]
        says = reader.weights([text for texts in some for text in texts]).double()  # [M, V]
        target = latents[owners].double().cpu()
        says_sum, latent_sum = says_sum + says.sum(dim=0), latent_sum + target.sum(dim=0)
        squares, products = squares + says.t() @ says, products + says.t() @ target
    mean, aim = says_sum / count, latent_sum / count
    squares = squares - count * torch.outer(mean, mean) + RIDGE * torch.eye(width).double()
    effects = torch.linalg.solve(squares, products - count * torch.outer(mean, aim))
    reader.effects.copy_(effects)
    reader.mean.copy_(aim - mean @ effects)
    return reader
