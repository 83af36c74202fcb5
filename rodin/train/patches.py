"""Random patches of renders, for losses that look at images while they train planes (Rodin, Sec. 3.2).

A patch is the window of a virtual camera around the avatar, so that its pixels are those of the whole image. Bins of
rays that are far from all matter, fitted and predicted, are left out. Memory is bounded: rays are rendered in chunks,
whose inside is computed again in the backward pass.

Symbols: B batch, C channels, H W rows and columns of planes, S side of a patch, R = S^2 rays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rodin.camera import Camera, camera_at
from rodin.render.decoder import Decoder
from rodin.render.rays import Occupancy, Rays, camera_rays
from rodin.render.renderer import make_field, measure_occupancy, occupied_bins, render_rays

MOST_DRAWS = 20  # of a patch, before an empty one is taken as it is
CELL_PIXELS = 2  # size in the image of the cells that tell where matter is, roughly


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchConfig:
    """Where patches are taken, and how they are rendered.

    Args:
        size: S, side of a patch in pixels.
        image_size: side of the image that it is a part of.
        samples: bins a ray.
        elevation_deg: lowest and highest elevation of the cameras; their azimuth is any.
        least_matter: a patch whose mean alpha is below this is drawn again.
        focus: a point in the world that deserves more patches than others, such as the middle of a face.
        focus_radius: of the ball around it, in which those patches have their middle.
        focus_probability: how often a patch is drawn there; 0 = never.
        focus_spread_deg: largest difference between the camera's azimuth and the focus's own, for those patches.
    """

    size: int
    image_size: int
    samples: int = 64
    elevation_deg: tuple[float, float] = (-20.0, 50.0)
    least_matter: float = 0.3
    focus: tuple[float, float, float] = (0.0, 0.0, 0.0)
    focus_radius: float = 0.3
    focus_probability: float = 0.0
    focus_spread_deg: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.image_size:
            raise ValueError(f"patch size must lie in 1 to image_size = {self.image_size}, got {self.size}")
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        low, high = self.elevation_deg
        if not -90.0 <= low <= high <= 90.0:
            raise ValueError(f"elevation_deg must be two angles from -90 to 90, the lower first, got {(low, high)}")
        for name in ("least_matter", "focus_probability"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("focus_radius", "focus_spread_deg"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch: its rays, which bins of them meet the fitted planes' matter, and what these show there.

    Args:
        bins: [R, bins] bool.
        target: [3, S, S] over white.
    """

    rays: Rays
    bins: Tensor
    target: Tensor


@torch.no_grad()
def draw_patch(
    planes: Tensor, decoder: Decoder, config: PatchConfig, generator: torch.Generator, palette: Tensor | None = None
) -> Patch:
    """A random patch of an avatar that shows something of it.

    Args:
        planes: [3, C, H, W], the fitted ones.
        palette: [K, 3] where the decoder has materials.
    """
    occupancy = _matter(planes, decoder, config)
    for _ in range(MOST_DRAWS):
        rays = camera_rays(draw_window(config, generator)).to(planes.device)
        bins = occupied_bins(rays, config.samples, occupancy)
        image, alpha = render_patch(planes, decoder, rays, bins, palette=palette)
        if alpha.mean() >= config.least_matter:
            break
    return Patch(rays, bins, image)


def rendered_patches(
    predicted: Tensor,
    true: Tensor,
    decoder: Decoder,
    config: PatchConfig,
    *,
    seeds: Sequence[int],
    palettes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What one random patch a sample shows of predicted planes, differentiable, and of the true ones.

    In float32 whatever autocast says, which would round the rays. What the prediction puts where nothing is shows, too.

    Args:
        predicted, true: [B, 3, C, H, W] planes that the decoder reads.
        seeds: B, of the patches.
        palettes: [B, K, 3] where it has materials.

    Returns:
        two [B, 3, S, S] over white.
    """
    images, targets = [], []
    with torch.autocast(true.device.type, enabled=False):
        own = [None] * len(true) if palettes is None else palettes
        for planes, fitted, palette, seed in zip(predicted, true, own, seeds, strict=True):
            patch = draw_patch(fitted, decoder, config, torch.Generator().manual_seed(seed), palette=palette)
            occupancy = _matter(planes.detach(), decoder, config)
            bins = patch.bins | occupied_bins(patch.rays, config.samples, occupancy)
            images.append(render_patch(planes, decoder, patch.rays, bins, palette=palette)[0])
            targets.append(patch.target)
    return torch.stack(images), torch.stack(targets)


@torch.no_grad()
def _matter(planes: Tensor, decoder: Decoder, config: PatchConfig) -> Occupancy:
    """Where planes [3, C, H, W] hold matter, or nearly."""
    return measure_occupancy(make_field(planes, decoder), max(8, config.image_size // CELL_PIXELS)).grown(1)


def draw_window(config: PatchConfig, generator: torch.Generator) -> Camera:
    """The camera [] of one patch: a window of an image, anywhere in it or around the focus."""
    u = torch.rand(7, generator=generator, device=generator.device).tolist()
    focused = u[0] < config.focus_probability
    low, high = config.elevation_deg
    azimuth = 360.0 * u[1]
    if focused:
        azimuth = math.degrees(math.atan2(config.focus[0], config.focus[2])) + config.focus_spread_deg * (2 * u[1] - 1)
    camera = camera_at(azimuth, low + (high - low) * u[2], size=config.image_size)
    room = config.image_size - config.size
    corner = [u[3] * room, u[4] * room]
    if focused:
        # uniform in the disc that the ball is for the camera: its axes are the pose's first two columns
        distance, angle = config.focus_radius * math.sqrt(u[5]), 2 * math.pi * u[6]
        right, up = camera.cam_to_world[:3, 0], camera.cam_to_world[:3, 1]
        point = torch.tensor(config.focus) + distance * (math.cos(angle) * right + math.sin(angle) * up)
        corner = (camera.project(point[None])[0][0] - config.size / 2).clamp(0, room).tolist()
    offset = torch.tensor([round(side) for side in corner])
    return Camera(camera.cam_to_world, camera.focal, camera.centre - offset, config.size, height=config.size)


def render_patch(
    planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor, *, palette: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What the rays of a square patch see; differentiable.

    Args:
        planes: [3, C, H, W]
        bins: [R, bins] bool.
        palette: [K, 3] where the decoder has materials.

    Returns:
        image [3, S, S] over white, and alpha [S, S].
    """
    side = math.isqrt(len(rays))
    seen = render_rays(planes, decoder, rays, bins, palette)
    alpha = seen.alpha.unflatten(0, (side, side))
    return seen.premultiplied.mT.unflatten(1, (side, side)) + 1.0 - alpha, alpha
