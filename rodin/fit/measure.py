"""How well fitted planes meet views that they never saw."""

from __future__ import annotations

import torch
from torch import Tensor

from rodin.fit.scene import HeldOut
from rodin.images import over, psnr, ssim
from rodin.render.decoder import Decoder
from rodin.render.renderer import Renderer, render_image


def judge(planes: Tensor, decoder: Decoder, held_out: HeldOut, palette: Tensor | None = None) -> tuple[float, float]:
    """PSNR in dB and SSIM over white on the held-out views, rendered WITHOUT culling: nothing may hide."""
    image, _ = render_image(planes, decoder, held_out.camera, samples=128, palette=palette)
    seen, true = (over(views, 1.0).permute(0, 3, 1, 2) for views in (image, held_out.images))
    return psnr(seen, true), ssim(seen, true)


def overlap(planes: Tensor, decoder: Decoder, held_out: HeldOut, palette: Tensor) -> Tensor:
    """How far the materials of the held-out views, which must have maps, are where they should be.

    Returns:
        [K] intersection over union of each material's shares: 1 = they agree everywhere. nan where it is not seen.
    """
    assert held_out.shares is not None
    seen = Renderer(planes, decoder, palette=palette).render(held_out.camera, samples=128).shares
    both, either = torch.minimum(seen, held_out.shares), torch.maximum(seen, held_out.shares)
    union = either.sum(dim=(0, 1, 2))
    there = held_out.shares.sum(dim=(0, 1, 2)) > 0
    return torch.where(there, both.sum(dim=(0, 1, 2)) / union.clamp_min(1e-9), torch.nan).cpu()
