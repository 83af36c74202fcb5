"""Where pictures are compared: the latent space of the model's frozen image encoder.

The published figures of Rodin are taken in a CLIP's image space too; the encoder is the CLIP of the project. Features
are z as the networks see it, of length sqrt(512), so that their inner products divided by 512, which KID's kernel
takes, are cosines. All models of one report are compared in the space of the first one's encoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rodin.models.clip import LATENT_DIM, Encoder

BATCH = 64


@torch.no_grad()
def features(encoder: Encoder, images: Tensor) -> Tensor:
    """Features [..., 512] of images [..., H, W, 3 or 4] in [0, 1], on the CPU."""
    device = encoder.mean.device
    flat = images.flatten(0, -4)
    found = [encoder.encode_images(batch.to(device)).float().cpu() for batch in flat.split(BATCH)]
    return math.sqrt(LATENT_DIM) * torch.cat(found).unflatten(0, images.shape[:-3])


def cosine_distances(one: Tensor, other: Tensor) -> Tensor:
    """1 - cosine of every pair of features [N, D], [M, D] -> [N, M]."""
    one, other = (torch.nn.functional.normalize(f, dim=-1) for f in (one, other))
    return 1 - one @ other.t()


def mean_distance(features: Tensor) -> float:
    """Mean 1 - cosine of all pairs of N different features [N, D]; its expectation does not hang on N."""
    distances = cosine_distances(features, features).double()
    return float((distances.sum() - distances.trace()) / (len(features) * (len(features) - 1)))


def top1(queries: Tensor, gallery: Tensor, owners: list[int]) -> float:
    """Identity: share of the queries whose nearest entry of the gallery is their own.

    Args:
        queries: [N, D] features of pictures.
        gallery: [M, D] features of one picture a subject.
        owners: N rows of the gallery that the queries belong to.
    """
    nearest = cosine_distances(queries, gallery).argmin(dim=1)
    return (nearest == torch.tensor(owners)).double().mean().item()
