"""Identity: is a subject found again among others by a picture of it?"""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.evaluate.features import cosine_distances


def top1(queries: Tensor, gallery: Tensor, owners: list[int]) -> float:
    """Share of the queries whose nearest entry of the gallery is their own.

    Args:
        queries: [N, D] features of pictures.
        gallery: [M, D] features of one picture a subject.
        owners: N rows of the gallery that the queries belong to.
    """
    nearest = cosine_distances(queries, gallery).argmin(dim=1)
    return (nearest == torch.tensor(owners)).double().mean().item()
