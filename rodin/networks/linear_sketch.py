"""A linear sketch of planes: the mean planes of all who share a latent, as far as a linear map of low rank tells.

Half of what tells avatars apart is linear in z, and more global than a convolution is: it would learn slowly from
samples what a regression knows at once (`rodin.train.sketch`). The base model starts from the sketch and learns what
planes have beyond it. Ours.

Symbols: B batch, D latent numbers, K rank, C channels, S plane size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rodin.triplane import PLANES


class Sketch(nn.Module):
    """Latents to planes. Frozen: it is learned in closed form.

    Args:
        latent_dim: D.
        rank: K, at most D.
        channels, size: of the planes.
    """

    def __init__(self, latent_dim: int, rank: int, channels: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rank, latent_dim), requires_grad=False)
        self.basis = nn.Parameter(torch.zeros(rank, PLANES, channels, size, size), requires_grad=False)

    def forward(self, z: Tensor) -> Tensor:
        """[B, D] of unit length -> [B, 3, C, S, S] normalised planes. No latent (zeros) is the mean avatar (zeros)."""
        with torch.autocast(z.device.type, enabled=False):
            return (z.float() @ self.weight.t() @ self.basis.flatten(1)).unflatten(1, self.basis.shape[1:])
