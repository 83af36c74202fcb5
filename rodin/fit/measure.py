"""How well fitted planes meet views that they never saw."""

from __future__ import annotations

import math

from torch import Tensor

from rodin.fit.scene import HeldOut
from rodin.images import over
from rodin.render.decoder import Decoder
from rodin.render.renderer import render_image


def judge(planes: Tensor, decoder: Decoder, held_out: HeldOut) -> tuple[float, float]:
    """PSNR in dB and SSIM over white on the held-out views, rendered WITHOUT culling: nothing may hide."""
    # Imported here: it takes 2 s, for which every process that fits or trains would wait.
    from torchmetrics.functional.image import structural_similarity_index_measure

    image, _ = render_image(planes, decoder, held_out.camera, samples=128)
    seen, true = over(image, 1.0), over(held_out.images, 1.0)
    psnr = -10 * math.log10(max((seen - true).square().mean().item(), 1e-10))
    ssim = structural_similarity_index_measure(seen.permute(0, 3, 1, 2), true.permute(0, 3, 1, 2), data_range=1.0)
    return psnr, float(ssim)
