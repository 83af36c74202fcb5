"""Rendering of avatars: one face over what computes `rodin.render.reference`'s sums.

On the CPU those are the fused C++ kernels of `rodin.render.fused`, on a GPU for images the Triton kernel of
`rodin.render.cuda`, where there are none the reference itself; `rodin doctor` says which. Colours are sRGB values
throughout; composited colours are premultiplied by alpha.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rodin.camera import Camera
from rodin.images import straight
from rodin.render import cuda, fused, reference
from rodin.render.decoder import Decoder
from rodin.render.rays import RAYS_PER_CHUNK, Occupancy, Rays, camera_rays, grid_points, longest_bin

SAMPLES = 96  # bins a ray of a picture
CELLS = 64  # of an avatar's occupancy, along each edge of the box
SHOWS = 0.01  # opacity of a cell that can be seen
SURFACE_DENSITY = 15.0  # 1 / world units: where matter counts as solid


class Rendering(NamedTuple):
    """What rays see: `totals` are the sums C, A, D of `rodin.render.reference` over a ray's samples."""

    totals: Tensor  # [R, 5]

    @property
    def premultiplied(self) -> Tensor:
        """[R, 3] colour times alpha."""
        return self.totals[:, :3]

    @property
    def alpha(self) -> Tensor:
        """[R]"""
        return self.totals[:, 3]

    @property
    def depth(self) -> Tensor:
        """[R] expected distance along the ray times alpha, world units."""
        return self.totals[:, 4]


class Renderer:
    """An avatar made ready for rendering without gradients: set up once, then any number of views.

    Args:
        planes: [3, C, H, W]
        occupancy: skips empty space; None looks everywhere, in every bin.

    Raises:
        ValueError: the planes are of another shape, or not finite.
    """

    def __init__(self, planes: Tensor, decoder: Decoder, occupancy: Occupancy | None = None) -> None:
        self.field = make_field(planes, decoder)
        self.occupancy = occupancy

    @classmethod
    def culled(cls, planes: Tensor, decoder: Decoder) -> Renderer:
        """A renderer that skips what it finds empty."""
        renderer = cls(planes, decoder)
        renderer.occupancy = measure_occupancy(renderer.field)
        return renderer

    @classmethod
    def trimmed(cls, planes: Tensor, decoder: Decoder) -> Renderer:
        """A renderer that also leaves out haze: soft matter farther than a cell from anything solid.

        Drawn planes have some along their axes, where nothing ever was; the soft fringe of hair and cloth lies beside
        solid matter and stays. Of an avatar that is soft all through, all stays. Ours.
        """
        renderer = cls(planes, decoder)
        opacity = cell_opacity(renderer.field, CELLS)
        solid = Occupancy(opacity > 1 - math.exp(-SURFACE_DENSITY * 2 / CELLS))
        beside = solid.grown(1).grid if solid.grid.any() else torch.ones_like(solid.grid)
        renderer.occupancy = Occupancy((opacity > SHOWS) & beside)
        return renderer

    def totals(self, camera: Camera, samples: int, features: bool = False) -> Tensor:
        """What the pixels of a camera or a batch of cameras see.

        Args:
            samples: bins a ray.
            features: whether the feature image is wanted too.

        Returns:
            [..., H, W, 5 or 5 + C]: premultiplied colour, alpha, depth times alpha, features times alpha.
        """
        totals = self.field.totals(camera_rays(camera).to(self.field.planes.device), samples, self.occupancy, features)
        return totals.reshape(*camera.cam_to_world.shape[:-2], camera.height, camera.width, -1)

    def image(self, camera: Camera, samples: int) -> tuple[Tensor, Tensor]:
        """Images from a camera or a batch of cameras.

        Returns:
            image [..., H, W, 4], straight RGBA in [0, 1], and depth [..., H, W] (distance along the ray, 0 where
            empty).
        """
        totals = self.totals(camera, samples)
        alpha = totals[..., 3]
        image = torch.cat([straight(totals[..., :3], alpha), alpha[..., None]], dim=-1).clamp(0, 1)
        return image, torch.where(alpha > 1e-3, totals[..., 4] / alpha.clamp_min(1e-3), 0)


Field = reference.Field | fused.Field


def make_field(planes: Tensor, decoder: Decoder) -> Field:
    """Density and colour everywhere of planes [3, C, H, W], by the fastest way at hand."""
    if fused.at_hand(planes, decoder):
        return fused.Field(planes, decoder)
    if cuda.at_hand(planes, decoder):
        return cuda.Field(planes, decoder)
    return reference.Field(planes, decoder)


def render_image(
    planes: Tensor, decoder: Decoder, camera: Camera, samples: int = SAMPLES, occupancy: Occupancy | None = None
) -> tuple[Tensor, Tensor]:
    """Image and depth of planes that are rendered once, see `Renderer.image`."""
    return Renderer(planes, decoder, occupancy).image(camera, samples)


def measure_occupancy(field: Field, cells: int = CELLS, threshold: float = SHOWS) -> Occupancy:
    """Mark the cells whose matter would show."""
    return Occupancy(cell_opacity(field, cells) > threshold)


def cell_opacity(field: Field, cells: int) -> Tensor:
    """[G, G, G] 1 - exp(-sigma edge) of each of G = `cells` cells along an edge of the box, at its densest corner."""
    density = field.density(grid_points(cells + 1, field.planes).reshape(-1, 3))
    opacity = 1 - torch.exp(-density * (2 / cells))
    return F.max_pool3d(opacity.reshape(1, 1, *(cells + 1,) * 3), kernel_size=2, stride=1)[0, 0]


def occupied_bins(rays: Rays, samples: int, occupancy: Occupancy | None) -> Tensor:
    """Which of the S bins of each ray to look up, [R, S] bool: those inside the box that touch a marked cell."""
    if occupancy is None:
        return reference.bins_in_box(rays, samples)
    if fused.at_hand_for(rays):
        return fused.occupied_bins(rays, samples, occupancy)
    reached = occupancy.reached_by_bins(longest_bin(samples))
    chunks = [rays[start : start + RAYS_PER_CHUNK] for start in range(0, len(rays), RAYS_PER_CHUNK)]
    return torch.cat([reference.bins_with_middle_in(chunk, samples, reached) for chunk in chunks])


def render_rays(planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor) -> Rendering:
    """Render rays; differentiable with respect to planes and decoder.

    Many rays are rendered again in the backward pass, chunk by chunk, rather than kept.

    Args:
        planes: [3, C, H, W]
        bins: [R, S] bool from `occupied_bins`.
    """
    if fused.at_hand(planes, decoder) and not any(parameter.requires_grad for parameter in decoder.parameters()):
        return Rendering(fused.Trace.apply(planes, decoder, rays, bins))

    def totals(some: Rays, of_them: Tensor) -> Tensor:
        return reference.trace(planes, decoder, some, of_them)[0]

    if len(rays) <= RAYS_PER_CHUNK:
        return Rendering(totals(rays, bins))
    chunks = [slice(start, start + RAYS_PER_CHUNK) for start in range(0, len(rays), RAYS_PER_CHUNK)]
    return Rendering(torch.cat([checkpoint(totals, rays[c], bins[c], use_reentrant=False) for c in chunks]))


@torch.no_grad()
def ray_weights(planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor, opaque: float = 0.0) -> Tensor:
    """Compositing weights of the bins, [R, S], zero in those that `bins` [R, S] leaves out.

    Args:
        opaque: where less than this part of its light passes, a ray need not be followed: weights may be zero there.
    """
    if fused.at_hand(planes, decoder):
        return fused.ray_weights(planes, decoder, rays, bins, opaque=opaque)
    starts = range(0, len(rays), RAYS_PER_CHUNK)
    chunks = [slice(start, start + RAYS_PER_CHUNK) for start in starts]
    return torch.cat([reference.trace(planes, decoder, rays[chunk], bins[chunk])[1] for chunk in chunks])
