"""A portrait with the camera that it is taken to be made with, and how far an avatar is from it.

Symbols: C channels, H W rows and columns of planes, S side of the photograph in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rodin import framing
from rodin.avatars.photo_colours import PalettePrior, likeliest_palette
from rodin.camera import Camera, camera_at
from rodin.images import area_resize, over, premultiplied, resized, straight
from rodin.models.perceptual import Features, perceptual_distance
from rodin.render.decoder import Decoder
from rodin.render.rays import camera_rays
from rodin.render.renderer import Rendering, make_field, measure_occupancy, occupied_bins, render_rays

SAMPLES = 48  # bins a ray
CELLS = 24  # of the occupancy, a side: coarse, since it is measured again at every step
PERCEPTUAL_WEIGHT = 0.1  # beside the mean squared error of the pixels


@dataclass(frozen=True, slots=True)
class Photo:
    """A portrait and the camera that it is taken to be made with.

    Args:
        pixels: [S, S, 4] straight RGBA.
        camera: one camera with images of S x S pixels.
    """

    pixels: Tensor
    camera: Camera

    def to(self, device: torch.device | str) -> Photo:
        """The same photograph, its pixels and its camera on a device."""
        return Photo(self.pixels.to(device), self.camera.to(device))


def frame_photo(
    pixels: Tensor,
    size: int,
    azimuth_deg: float = framing.AZIMUTH_DEG,
    elevation_deg: float = framing.ELEVATION_DEG,
) -> Photo:
    """A portrait [S, S, 4] at `size` pixels, framed as renders are, seen from a direction."""
    camera = camera_at(azimuth_deg, elevation_deg, size=size)
    if pixels.shape[0] > size:
        pixels = area_resize(pixels, size, size)
    elif pixels.shape[0] < size:
        larger = resized(premultiplied(pixels), size, size)
        pixels = torch.cat([straight(larger[..., :3], larger[..., 3]), larger[..., 3:]], dim=-1).clamp(0, 1)
    return Photo(pixels, camera)


def look(planes: Tensor, decoder: Decoder, photo: Photo, colours: PalettePrior | None = None) -> Rendering:
    """What the photograph's camera sees of an avatar, with materials in the likeliest colours; differentiable.

    Args:
        planes: [3, C, H, W]; gradients reach them.
        colours: where the decoder has materials.
    """
    rays = camera_rays(photo.camera)
    found = measure_occupancy(make_field(planes, decoder), CELLS).grown(1)
    bins = occupied_bins(rays, SAMPLES, found)
    if colours is None:
        return render_rays(planes, decoder, rays, bins)
    seen = render_rays(planes, decoder, rays, bins, colours.mean)
    return seen._replace(palette=likeliest_palette(seen.emitted, photo.pixels.reshape(-1, 4), colours))


def photo_loss(
    planes: Tensor,
    decoder: Decoder,
    photo: Photo,
    features: Features | None = None,
    *,
    colours: PalettePrior | None = None,
) -> Tensor:
    """How far the avatar is from the photograph, 0 = not at all: colour where the photograph shows the person, alpha
    everywhere, and how different both look on white.

    Args:
        planes: [3, C, H, W]; gradients reach them.
        features: None leaves the perceptual part out.
        colours: see `look`.
    """
    seen = look(planes, decoder, photo, colours)
    target = photo.pixels.reshape(-1, 4)
    mask = target[:, 3:]
    colour = (mask * (seen.premultiplied - target[:, :3] * mask).square()).sum() / (3 * mask.sum().clamp_min(1))
    loss = colour + (seen.alpha - mask[:, 0]).square().mean()
    if features is not None:
        side = photo.pixels.shape[0]
        on_white = seen.premultiplied + (1 - seen.alpha)[:, None]
        a, b = (value.reshape(1, side, side, 3).permute(0, 3, 1, 2) for value in (on_white, over(target, 1.0)))
        loss = loss + PERCEPTUAL_WEIGHT * perceptual_distance(features, a, b)[0]
    return loss
