"""Rendering of avatars: one face over what computes `rodin.render.reference`'s sums.

On the CPU those are the fused C++ kernels of `rodin.render.fused`, on a GPU for images the Triton kernel of
`rodin.render.cuda`, where there are none the reference itself; `rodin doctor` says which. Colours are sRGB values
throughout; composited colours are premultiplied by alpha. A decoder with materials wants the avatar's palette beside
its planes, see `rodin.render.materials`.
"""

from __future__ import annotations

import copy
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
from rodin.render.materials import check_palette, paint, split
from rodin.render.rays import RAYS_PER_CHUNK, Occupancy, Rays, camera_rays, grid_points, longest_bin

SAMPLES = 96  # bins a ray of a picture
CELLS = 64  # of an avatar's occupancy, along each edge of the box
SHOWS = 0.01  # opacity of a cell that can be seen
SURFACE_DENSITY = 15.0  # 1 / world units: where matter counts as solid


class Rendering(NamedTuple):
    """What rays, [R] or the pixels [..., H, W] of images, see."""

    totals: Tensor  # [..., E + 2 or E + 2 + C] the sums C, A, D (and F) of `rodin.render.reference`
    width: int = 3  # E, of what samples emit
    palette: Tensor | None = None  # [K, 3] with materials

    @property
    def emitted(self) -> Tensor:
        """[..., E] what samples emit, times alpha."""
        return self.totals[..., : self.width]

    @property
    def premultiplied(self) -> Tensor:
        """[..., 3] colour times alpha."""
        return self.totals[..., :3] if self.palette is None else paint(self.emitted, self.palette)

    @property
    def shares(self) -> Tensor:
        """[..., K] the materials' shares times alpha, which they add up to."""
        if self.palette is None:
            raise ValueError("shares are those of materials, which the decoder has none of")
        return split(self.emitted).shares

    @property
    def alpha(self) -> Tensor:
        """[...]"""
        return self.totals[..., self.width]

    @property
    def image(self) -> Tensor:
        """[..., 4] straight RGBA in [0, 1]."""
        return torch.cat([straight(self.premultiplied, self.alpha), self.alpha[..., None]], dim=-1).clamp(0, 1)

    @property
    def depth(self) -> Tensor:
        """[...] expected distance along the ray times alpha, world units."""
        return self.totals[..., self.width + 1]

    @property
    def features(self) -> Tensor:
        """[..., C] tri-plane features times alpha, where they were asked for."""
        return self.totals[..., self.width + 2 :]


class Renderer:
    """An avatar made ready for rendering without gradients: set up once, then any number of views.

    Args:
        planes: [3, C, H, W]
        occupancy: skips empty space; None looks everywhere, in every bin.
        palette: [K, 3] where the decoder has materials.

    Raises:
        ValueError: the planes are of another shape, or not finite, or palette and decoder do not fit.
    """

    def __init__(
        self, planes: Tensor, decoder: Decoder, occupancy: Occupancy | None = None, palette: Tensor | None = None
    ) -> None:
        check_palette(palette, materials_of(decoder))
        self.field = make_field(planes, decoder)
        self.occupancy, self.palette = occupancy, palette

    @classmethod
    def culled(cls, planes: Tensor, decoder: Decoder, palette: Tensor | None = None) -> Renderer:
        """A renderer that skips what it finds empty."""
        renderer = cls(planes, decoder, palette=palette)
        renderer.occupancy = measure_occupancy(renderer.field)
        return renderer

    @classmethod
    def trimmed(cls, planes: Tensor, decoder: Decoder, palette: Tensor | None = None) -> Renderer:
        """A renderer that also leaves out haze: soft matter farther than a cell from anything solid.

        Drawn planes have some along their axes, where nothing ever was; the soft fringe of hair and cloth lies beside
        solid matter and stays. Of an avatar that is soft all through, all stays. Ours.
        """
        renderer = cls(planes, decoder, palette=palette)
        opacity = cell_opacity(renderer.field, CELLS)
        solid = Occupancy(opacity > 1 - math.exp(-SURFACE_DENSITY * 2 / CELLS))
        beside = solid.grown(1).grid if solid.grid.any() else torch.ones_like(solid.grid)
        renderer.occupancy = Occupancy((opacity > SHOWS) & beside)
        return renderer

    def repainted(self, palette: Tensor) -> Renderer:
        """The same renderer with another palette [K, 3]; nothing is set up again."""
        check_palette(palette, 0 if self.palette is None else len(self.palette))
        other = copy.copy(self)
        other.palette = palette
        return other

    def totals(self, camera: Camera, samples: int, features: bool = False) -> Tensor:
        """The sums [..., H, W, E + 2 or E + 2 + C] of `render`, whose pieces that one names."""
        rays = camera_rays(camera).to(self.field.planes.device)
        totals = self.field.totals(rays, samples, self.occupancy, features)
        return totals.reshape(*camera.cam_to_world.shape[:-2], camera.height, camera.width, -1)

    def render(self, camera: Camera, samples: int, features: bool = False) -> Rendering:
        """What the pixels [..., H, W] of a camera or a batch of cameras see.

        Args:
            samples: bins a ray.
            features: whether the feature image is wanted too.
        """
        totals = self.totals(camera, samples, features)
        others = 2 + (self.field.planes.shape[1] if features else 0)
        return Rendering(totals, totals.shape[-1] - others, self.palette)

    def image(self, camera: Camera, samples: int) -> tuple[Tensor, Tensor]:
        """Images from a camera or a batch of cameras.

        Returns:
            image [..., H, W, 4], straight RGBA in [0, 1], and depth [..., H, W] (distance along the ray, 0 where
            empty).
        """
        seen = self.render(camera, samples)
        alpha = seen.alpha
        return seen.image, torch.where(alpha > 1e-3, seen.depth / alpha.clamp_min(1e-3), 0)


Field = reference.Field | fused.Field


def materials_of(decoder: Decoder) -> int:
    """How many materials a decoder has; none where it is another module than ours."""
    return decoder.config.materials if isinstance(decoder, Decoder) else 0


def make_field(planes: Tensor, decoder: Decoder) -> Field:
    """Density and colour everywhere of planes [3, C, H, W], by the fastest way at hand."""
    if fused.at_hand(planes, decoder):
        return fused.Field(planes, decoder)
    if cuda.at_hand(planes, decoder):
        return cuda.Field(planes, decoder)
    return reference.Field(planes, decoder)


def render_image(
    planes: Tensor,
    decoder: Decoder,
    camera: Camera,
    samples: int = SAMPLES,
    *,
    occupancy: Occupancy | None = None,
    palette: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Image and depth of planes that are rendered once, see `Renderer.image`."""
    return Renderer(planes, decoder, occupancy, palette).image(camera, samples)


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


def render_rays(planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor, palette: Tensor | None = None) -> Rendering:
    """Render rays; differentiable with respect to planes, decoder and palette.

    Many rays are rendered again in the backward pass, chunk by chunk, rather than kept.

    Args:
        planes: [3, C, H, W]
        bins: [R, S] bool from `occupied_bins`.
        palette: [K, 3] where the decoder has materials.

    Raises:
        ValueError: palette and decoder do not fit.
    """
    check_palette(palette, materials_of(decoder))
    totals = _totals(planes, decoder, rays, bins)
    return Rendering(totals, totals.shape[-1] - 2, palette)


def _totals(planes: Tensor, decoder: Decoder, rays: Rays, bins: Tensor) -> Tensor:
    """[R, E + 2] of `render_rays`."""
    if fused.at_hand(planes, decoder) and not any(parameter.requires_grad for parameter in decoder.parameters()):
        return fused.Trace.apply(planes, decoder, rays, bins)

    def traced(some: Rays, of_them: Tensor) -> Tensor:
        return reference.trace(planes, decoder, some, of_them)[0]

    if len(rays) <= RAYS_PER_CHUNK:
        return traced(rays, bins)
    chunks = [slice(start, start + RAYS_PER_CHUNK) for start in range(0, len(rays), RAYS_PER_CHUNK)]
    return torch.cat([checkpoint(traced, rays[c], bins[c], use_reentrant=False) for c in chunks])


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
