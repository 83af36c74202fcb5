"""How well refined pictures meet the true ones, beside pictures that are merely resized."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.images import from_bytes, psnr, ssim
from rodin.models.perceptual import Features, perceptual_distance
from rodin.models.refiner import Refiner, enlarge_picture
from rodin.train.pairs import Pairs

FIGURES = ("psnr", "ssim", "perceptual", "sharpness")


def laid_on(premultiplied: Tensor, background: float | Tensor) -> Tensor:
    """Premultiplied RGBA [B, 4, H, W] over a background -> [B, 3, H, W] in [0, 1]."""
    return (premultiplied[:, :3] + (1 - premultiplied[:, 3:]) * background).clamp(0, 1)


@torch.no_grad()
def compare(refiner: Refiner, pairs: Pairs, features: Features) -> dict[str, dict[str, float]]:
    """`image_quality` over white of the renders as plain resizing enlarges them, and as the refiner does; means over
    the views."""
    rows: dict[str, list[list[float]]] = {"resized": [], "refined": []}
    for inputs, true in zip(pairs.inputs.split(1), pairs.true.split(1), strict=True):
        wanted = laid_on(from_bytes(true), 1.0)
        resized = enlarge_picture(inputs.float(), refiner.config.scale)
        for name, seen in (("resized", resized), ("refined", refiner.premultiplied(inputs.float()))):
            rows[name].append(list(image_quality(laid_on(seen, 1.0), wanted, features).values()))
    means = {name: torch.tensor(values).mean(dim=0).tolist() for name, values in rows.items()}
    return {name: dict(zip(FIGURES, values, strict=True)) for name, values in means.items()}


@torch.no_grad()
def image_quality(seen: Tensor, true: Tensor, features: Features) -> dict[str, float]:
    """How well a picture [1, 3, H, W] meets the true one: the figures named FIGURES.

    PSNR in dB; SSIM; perceptual distance; and sharpness: the energy of the Laplacian as a part of the true picture's.
    Noise is sharp too: read it beside the others.
    """
    figures = (
        psnr(seen, true),
        ssim(seen, true),
        float(perceptual_distance(features, seen, true)[0]),
        float(laplacian_energy(seen) / laplacian_energy(true).clamp_min(1e-10)),
    )
    return dict(zip(FIGURES, figures, strict=True))


def laplacian_energy(images: Tensor) -> Tensor:
    """Mean square of the Laplacian (four neighbours) of images [M, 3, H, W] -> []."""
    kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).expand(3, 1, 3, 3)
    return F.conv2d(images, kernel, groups=3).square().mean()


def summary(quality: dict[str, dict[str, float]]) -> str:
    """One line of `compare`'s figures."""
    resized, refined = quality["resized"], quality["refined"]
    return (
        f"PSNR {resized['psnr']:.2f} -> {refined['psnr']:.2f} dB, SSIM {resized['ssim']:.3f} -> {refined['ssim']:.3f}, "
        f"perceptual {resized['perceptual']:.4f} -> {refined['perceptual']:.4f}, "
        f"sharpness {resized['sharpness']:.2f} -> {refined['sharpness']:.2f} of the true views'"
    )
