"""How well fitted planes meet views that they never saw."""

from __future__ import annotations

from torch import Tensor

from rodin.fit.scene import HeldOut
from rodin.images import over, psnr, ssim
from rodin.render.decoder import Decoder
from rodin.render.renderer import render_image


def judge(planes: Tensor, decoder: Decoder, held_out: HeldOut, palette: Tensor | None = None) -> tuple[float, float]:
    """PSNR in dB and SSIM over white on the held-out views, rendered WITHOUT culling: nothing may hide."""
    image, _ = render_image(planes, decoder, held_out.camera, samples=128, palette=palette)
    seen, true = (over(views, 1.0).permute(0, 3, 1, 2) for views in (image, held_out.images))
    return psnr(seen, true), ssim(seen, true)
