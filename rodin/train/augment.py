"""Augmentation of renders and captions for contrastive training, in plain torch.

The encoder meets clean renders on white, photographs, and pictures of unfinished avatars, so it must not lean on
background, framing, exposure or sharpness. A parting on the left is not one on the right, and z shall tell the
diffusion model which it is: all views of a subject are mirrored or none, which makes another subject of it.

Symbols: B batch, S side of the square images in pixels.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.draws import Draws
from rodin.images import premultiplied

_CLOUD_SIZE = 5  # pixels of the random images that are enlarged into backgrounds


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How strongly to change images and captions; 0 switches a change off.

    Args:
        mirror: probability that a subject is mirrored; for captions that do not tell left from right.
        zoom: largest factor of enlargement and of reduction, minus 1.
        shift: largest displacement along x and y, in image sides.
        rotation_deg: largest turn in the image plane.
        white_probability: of a white background, which is what the finished encoder sees behind avatars; else it is a
            plain colour, a gradient or clouds, equally often.
        jitter: largest relative change of brightness, contrast and saturation.
        grey_probability: of a grey image.
        blur: largest Gaussian blur, standard deviation in image sides.
        noise: largest standard deviation of Gaussian noise.
        phrase_drop: probability of leaving out each comma-separated phrase of a caption; at least one stays.
    """

    mirror: float = 0.0
    zoom: float = 0.15
    shift: float = 0.05
    rotation_deg: float = 6.0
    white_probability: float = 0.5
    jitter: float = 0.15
    grey_probability: float = 0.02
    blur: float = 0.01
    noise: float = 0.03
    phrase_drop: float = 0.15

    def __post_init__(self) -> None:
        for name in ("mirror", "white_probability", "grey_probability", "phrase_drop", "jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("zoom", "shift", "rotation_deg", "blur", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def augment_images(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Change every image in its own way, and lay it on a random background.

    Args:
        images: [B, S, S, 4] straight sRGB in [0, 1].

    Returns:
        [B, 3, S, S] in [0, 1].
    """
    layers = premultiplied(images).permute(0, 3, 1, 2)  # [B, 4, S, S]
    layers = _move(layers, config, draws)
    background = _backgrounds(images.shape[1], config.white_probability, draws)
    pixels = layers[:, :3] + (1.0 - layers[:, 3:]) * background
    pixels = _recolour(pixels, config, draws)
    pixels = _blur(pixels, config.blur, draws)
    strength = config.noise * _uniform(0.0, 1.0, draws)
    return (pixels + strength * draws.noise(*pixels.shape[1:])).clamp(0.0, 1.0)


def mirror_some(images: Tensor, views: int, probability: float, draws: Draws) -> Tensor:
    """Mirror subjects at random: `images` [V B, S, S, C] has V views of B subjects, a view of each, then another."""
    chosen = draws.rand() < probability
    return torch.where(chosen.repeat(views)[:, None, None, None], images.flip(2), images)


def drop_phrases(captions: list[str], probability: float, draws: Draws) -> list[str]:
    """Leave out comma-separated phrases at random, never all of a caption."""
    result = []
    for caption, seed in zip(captions, draws.seeds(), strict=True):
        phrases, uniform = caption.split(", "), random.Random(seed).random
        chances = [uniform() for _ in phrases]
        kept = [phrase for phrase, chance in zip(phrases, chances, strict=True) if chance >= probability]
        last = phrases[max(range(len(phrases)), key=chances.__getitem__)]
        result.append(", ".join(kept or [last]))
    return result


def _uniform(low: float, high: float, draws: Draws) -> Tensor:
    """[B, 1, 1, 1] uniform draws."""
    return low + (high - low) * draws.rand(1, 1, 1)


def _move(layers: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Zoom, turn and shift; what comes into view is transparent."""
    reach = math.log(1.0 + config.zoom)
    scale = _uniform(-reach, reach, draws).exp().flatten()
    turn = math.radians(config.rotation_deg)
    angle = _uniform(-turn, turn, draws).flatten()
    # affine_grid wants the way back, output to input, in units of half an image
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    shift = 2 * config.shift * (2 * draws.rand(2) - 1)
    rows = [torch.stack([cosine, -sine, shift[:, 0]], -1), torch.stack([sine, cosine, shift[:, 1]], -1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(layers.shape), align_corners=False)
    return F.grid_sample(layers, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _backgrounds(side: int, white_probability: float, draws: Draws) -> Tensor:
    """[B, 3, side, side]: white, or a plain colour, a gradient, or clouds."""
    clouds = draws.rand(3, _CLOUD_SIZE, _CLOUD_SIZE)
    gradient = F.interpolate(clouds[..., :2, :2], clouds.shape[-2:], mode="bilinear", align_corners=True)
    plain = clouds[..., :1, :1].expand_as(clouds)
    small = torch.stack([plain, gradient, clouds])[draws.integers(3), torch.arange(len(draws), device=draws.device)]
    chosen = F.interpolate(small, (side, side), mode="bilinear", align_corners=True)
    white = _uniform(0.0, 1.0, draws) < white_probability
    return torch.where(white, torch.ones_like(chosen), chosen)


def _recolour(pixels: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Brightness, contrast, saturation, sometimes grey."""
    low, high = 1.0 - config.jitter, 1.0 + config.jitter
    pixels = pixels * _uniform(low, high, draws)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * _uniform(low, high, draws)
    saturation = _uniform(low, high, draws)
    grey = _uniform(0.0, 1.0, draws) < config.grey_probability
    saturation = torch.where(grey, torch.zeros_like(saturation), saturation)
    luma = (pixels * pixels.new_tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(dim=1, keepdim=True)
    return luma + (pixels - luma) * saturation


def _blur(pixels: Tensor, largest: float, draws: Draws) -> Tensor:
    """Gaussian blur, as one matrix for the rows and the same for the columns; half of the images stay sharp."""
    side = pixels.shape[-1]
    sigma = _uniform(-largest, largest, draws).clamp_min(1e-4) * side  # [B, 1, 1, 1] in pixels
    place = torch.arange(side, device=pixels.device, dtype=pixels.dtype)
    weights = torch.softmax(-((place[:, None] - place) ** 2) / (2 * sigma**2), dim=-1)  # [B, 1, S, S]
    return weights @ pixels @ weights.transpose(-1, -2)
