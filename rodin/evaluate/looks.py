"""How pictures look, in figures that need no network: sharpness, streaks along the planes' axes, lattices of refiners.

All are taken inside silhouettes, since the edge to the background would drown them, and of brightness alone.

Symbols: N pictures, S side in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Looks:
    """How a model's pictures look.

    Args:
        sharpness, refined_sharpness: Laplacian energy of drawn pictures, plain and refined, over that of real ones.
        streaks: energy along the planes' axes in smooth regions of frontal pictures, over that of real ones.
        lattices: spread of the phases of 2 x 2 and of 4 x 4 pixels of refined pictures, in grey levels.
        skin_behind: see `rodin.evaluate.behind`.
        known_psnr: of what is drawn for training subjects' own latents, frontal, in dB over white.
        unknown_psnr: likewise for held-out subjects, in all their views.
    """

    sharpness: float
    refined_sharpness: float
    streaks: float
    lattices: tuple[float, float]
    skin_behind: float
    known_psnr: float
    unknown_psnr: float


OPAQUE = 0.95  # alpha from which on a pixel is inside
GREY = (0.299, 0.587, 0.114)  # of red, green, blue
LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
PATCH = 16  # pixels: 8 by 8 of them cover a picture of 128
COARSEST = 3  # cycles a patch, from which on a wave is no shading any more
SMOOTH = 0.5  # of the patches, those with the least fine waves
GREYS = 255.0


def laplacian_energy(pictures: Tensor) -> float:
    """Mean squared Laplacian of the brightness of pictures [N, S, S, 4], straight RGBA, inside the silhouettes; NaN
    where nothing is."""
    grey, inside = _brightness(pictures)
    kernel = torch.tensor(LAPLACIAN)[None, None]
    edges = F.conv2d(grey[:, None], kernel)[:, 0]
    inner = F.max_pool2d(1 - inside[:, None].float(), 3, stride=1)[:, 0] == 0
    return float(edges[inner].square().mean()) if inner.any() else math.nan


def axis_energy(pictures: Tensor) -> float:
    """How much of the fine waves in smooth regions runs along the axes of frontal pictures [N, S, S, 4].

    Plaid is what tri-planes leave that were drawn badly: stripes along the axes of the frontal plane, which are those
    of a frontal picture. The share of their energy in patches of 16 x 16 pixels, over that of the same waves if they
    ran in all directions alike: 1 = no streaks. NaN where no patch is inside.
    """
    grey, inside = _brightness(pictures)
    step = PATCH // 2
    patches = grey.unfold(1, PATCH, step).unfold(2, PATCH, step).flatten(0, 2)
    whole = inside.unfold(1, PATCH, step).unfold(2, PATCH, step).flatten(0, 2).flatten(1).all(dim=1)
    if not whole.any():
        return math.nan
    patches = patches[whole]
    window = torch.hann_window(PATCH, periodic=False)
    spectrum = (
        torch.fft.fft2((patches - patches.mean(dim=(1, 2), keepdim=True)) * window[:, None] * window).abs().square()
    )
    waves = torch.fft.fftfreq(PATCH, 1 / PATCH).abs()
    fine = (waves[:, None] >= COARSEST) | (waves >= COARSEST)
    # The window spreads a wave over its neighbours: along an axis is what has at most one cycle across it.
    along = fine & ((waves[:, None] <= 1) | (waves <= 1))
    energy = spectrum[:, fine].sum(dim=1)
    smooth = energy <= energy.quantile(SMOOTH)
    share = spectrum[smooth][:, along].sum() / spectrum[smooth][:, fine].sum().clamp_min(1e-12)
    return float(share / (along.sum() / fine.sum()))


def phase_spread(pictures: Tensor, period: int) -> float:
    """How far the mean brightness of the period x period phases of pixels [N, S, S, 4] differs, in grey levels of 255.

    A network that enlarges by `period` may treat the pixels of each block unlike; pictures themselves do not. From each
    pixel the mean around it is taken, over as many pixels of each phase: what is left knows no slopes, such as light
    from above has. NaN where nothing is inside.
    """
    grey, inside = _brightness(pictures)
    taps = torch.ones(period + 1 - period % 2)
    if period % 2 == 0:  # both ends are of one phase
        taps[0] = taps[-1] = 0.5
    kernel = (taps[:, None] * taps / period**2).double()
    margin = len(taps) // 2
    around = F.conv2d(grey.double()[:, None], kernel[None, None])[:, 0]
    left = grey[:, margin : grey.shape[1] - margin, margin : grey.shape[2] - margin] - around
    whole = F.max_pool2d(1 - inside[:, None].float(), len(taps), stride=1)[:, 0] == 0
    means = [
        left[:, row::period, column::period][whole[:, row::period, column::period]].mean()
        for row in range(period)
        for column in range(period)
    ]
    spread = torch.stack(means)
    return float((spread.max() - spread.min()) * GREYS)


def _brightness(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """[N, S, S] brightness in [0, 1], and whether a pixel is inside."""
    return pictures[..., :3].float() @ torch.tensor(GREY), pictures[..., 3] >= OPAQUE
