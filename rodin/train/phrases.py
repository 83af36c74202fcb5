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

from rodin.phrases import PhraseConfig, PhraseReader, phrases_of

MOST = 1024  # phrases
LEAST_SHARE, MOST_SHARE = 0.01, 0.9  # of the subjects: rarer and commoner ones tell too few of them apart
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
    owners = [index for index, texts in enumerate(captions) for _ in texts]
    if not owners:
        return reader
    places = {text: place for place, text in enumerate(dict.fromkeys(text for texts in captions for text in texts))}
    rows = [places[text] for texts in captions for text in texts]
    says = reader.weights(list(places))[rows].double()  # [M, V] of all captions
    target = latents[owners].double().cpu()
    mean, aim = says.mean(dim=0), target.mean(dim=0)
    says -= mean
    gram = says.t() @ says + RIDGE * torch.eye(len(phrases), dtype=says.dtype)
    effects = torch.linalg.solve(gram, says.t() @ (target - aim))
    reader.effects.copy_(effects)
    reader.mean.copy_(aim - mean @ effects)
    return reader
