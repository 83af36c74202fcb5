"""The refiner's adversary, and both as one model that learns in one backward pass.

Each one's terms are cut from the other's parameters, so their sum has exactly both gradients.

Symbols: B batch, C plane channels, h w rows and columns of patches of renders, s scale.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from rodin.models.refiner import Refiner


class PatchDiscriminator(nn.Module):
    """Tells true pictures from refined ones patch by patch (PatchGAN; Isola et al. 2017): it sees 16 x 16 pixels at a
    time, so it judges texture and edges, not faces."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Premultiplied RGBA [B, 4, H, W] -> [B, 1, H/4, W/4], the larger the truer."""
        return self.layers(pictures)


class AdversarialPair(nn.Module):
    """Refiner and discriminator as one model, whose single call gives all that the loss needs."""

    def __init__(self, refiner: Refiner, discriminator: PatchDiscriminator) -> None:
        super().__init__()
        self.refiner = refiner
        self.discriminator = discriminator

    def forward(self, inputs: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Refine and judge (hinge loss; Lim and Ye 2017).

        Args:
            inputs: [B, 5 + C, h, w] of `render_inputs`.
            true: [B, 4, s h, s w] premultiplied RGBA.

        Returns:
            refined [B, 4, s h, s w] premultiplied RGBA, not clamped; the refiner's adversarial loss [], without
            gradient to the discriminator; the discriminator's loss [], without gradient to the refiner.
        """
        refined = self.refiner.premultiplied(inputs)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        fooling = -functional_call(self.discriminator, frozen, (refined,)).mean()
        judging = F.relu(1 - self.discriminator(true)).mean() + F.relu(1 + self.discriminator(refined.detach())).mean()
        return refined, fooling, judging
