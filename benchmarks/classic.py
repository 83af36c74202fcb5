"""The renderer that tri-planes come with today, written in PyTorch: what the fused one is measured against.

Two passes over every ray (EG3D, Sec. 3 and its supplement; NeRF, Sec. 5.2): a coarse one at evenly spread distances, a
fine one drawn from the coarse weights, both decoded and sorted into one sequence, which is composited with the means of
neighbouring samples over the intervals between them (mip-NeRF).

Twice: `Published` in the order of EG3D's own code, a whole image at once, every ray, all colours sorted. And `Classic`
with care: only rays that meet the box, in chunks of the size that is fastest, and colours are never sorted, since the
sorted weights can be brought back into the order of the samples. Neither looks up the coarse samples twice.

Symbols: R rays, S coarse and T fine samples a ray, K channels of colour.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from rodin import triplane
from rodin.camera import Camera
from rodin.render.decoder import Decoder
from rodin.render.rays import Rays, camera_rays

COARSE = FINE = 48  # EG3D's, for heads
CHUNKS = (128, 256, 512, 1024, 2048, 4096)
FLOOR = 1e-2  # added to the coarse weights, so that every stretch of a ray may get fine samples


class Classic:
    """An avatar rendered the classic way, with care.

    Args:
        planes: [3, C, H, W]
        chunk: rays at a time.
    """

    def __init__(self, planes: Tensor, decoder: Decoder, chunk: int = 1024) -> None:
        triplane.check_planes(planes, leading=0)
        self.planes, self.decoder, self.chunk = planes, decoder, chunk

    @torch.inference_mode()
    def totals(self, camera: Camera, coarse: int = COARSE, fine: int = FINE) -> Tensor:
        """What the pixels of one camera see, [H, W, K + 2]: colour, alpha, depth, each times alpha."""
        rays = camera_rays(camera)
        pieces = (rays[start : start + self.chunk] for start in range(0, len(rays), self.chunk))
        seen = [two_pass(self.planes, self.decoder, piece, coarse, fine, None) for piece in pieces]
        return torch.cat(seen).reshape(camera.height, camera.width, -1)


class Published:
    """An avatar rendered as EG3D's own code does it.

    Args:
        planes: [3, C, H, W]
    """

    def __init__(self, planes: Tensor, decoder: Decoder) -> None:
        triplane.check_planes(planes, leading=0)
        self.planes, self.decoder = planes, decoder

    @torch.inference_mode()
    def totals(self, camera: Camera) -> Tensor:
        """What the pixels of one camera see, [H, W, K + 2]: colour, alpha, depth, each times alpha."""
        rays = camera_rays(camera)
        length = (rays.far - rays.near)[:, None]
        place = strata(rays.near, COARSE, None)
        density, colour = decode(self.planes, self.decoder, rays, rays.near[:, None] + length * place)
        more = draw_places(place, compositing_weights(place, density, length), strata(rays.near, FINE, None))
        more_density, more_colour = decode(self.planes, self.decoder, rays, rays.near[:, None] + length * more)
        place, order = torch.cat([place, more], dim=1).sort(dim=1)
        density = torch.cat([density, more_density], dim=1).gather(1, order)
        colour = torch.cat([colour, more_colour], dim=1)
        colour = colour.gather(1, order[..., None].expand_as(colour))
        distance = (rays.near[:, None] + length * place)[..., None]
        what = torch.cat([colour, torch.ones_like(distance), distance], dim=-1)
        weights = compositing_weights(place, density, length)
        totals = (weights[..., None] * 0.5 * (what[:, 1:] + what[:, :-1])).sum(dim=1)
        return totals.reshape(camera.height, camera.width, -1)


def fastest_chunk(planes: Tensor, decoder: Decoder, camera: Camera) -> int:
    """The size of CHUNKS with which this avatar renders fastest, by processor time."""
    seconds = {}
    for chunk in CHUNKS:
        began = time.process_time()
        Classic(planes, decoder, chunk).totals(camera)
        seconds[chunk] = time.process_time() - began
    return min(seconds, key=seconds.__getitem__)


def two_pass(
    planes: Tensor, decoder: Decoder, rays: Rays, coarse: int, fine: int, generator: torch.Generator | None
) -> Tensor:
    """Render rays; differentiable with respect to planes and decoder.

    Args:
        planes: [3, C, H, W]
        generator: jitters the samples within their strata; None takes the middles.

    Returns:
        totals [R, K + 2]: colour, alpha and depth, each times alpha.
    """
    meets = rays.far > rays.near
    hit = rays[meets]
    length = (hit.far - hit.near)[:, None]
    place = strata(hit.near, coarse, generator)  # [R, S] along the ray, in [0, 1]
    density, colour = decode(planes, decoder, hit, hit.near[:, None] + length * place)
    with torch.no_grad():
        weights = compositing_weights(place, density, length)
        more = draw_places(place, weights, strata(hit.near, fine, generator))  # [R, T]
    more_density, more_colour = decode(planes, decoder, hit, hit.near[:, None] + length * more)
    place, order = torch.cat([place, more], dim=1).sort(dim=1)
    density = torch.cat([density, more_density], dim=1).gather(1, order)
    interval = compositing_weights(place, density, length)  # [R, S + T - 1]
    weight = 0.5 * (torch.nn.functional.pad(interval, (1, 0)) + torch.nn.functional.pad(interval, (0, 1)))
    depth = (weight * (hit.near[:, None] + length * place)).sum(dim=1, keepdim=True)
    alpha = interval.sum(dim=1, keepdim=True)
    weight = torch.empty_like(weight).scatter(1, order, weight)  # as the samples were decoded
    seen = (weight[:, None, :coarse] @ colour + weight[:, None, coarse:] @ more_colour)[:, 0]
    totals = planes.new_zeros(len(rays), seen.shape[1] + 2)
    return totals.index_copy(0, meets.nonzero()[:, 0], torch.cat([seen, alpha, depth], dim=1))


def decode(planes: Tensor, decoder: Decoder, rays: Rays, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Density [R, S] and colour [R, S, K] at distances [R, S] along rays."""
    points = torch.addcmul(rays.origins[:, None], distance[..., None], rays.directions[:, None])
    directions = rays.directions[:, None].expand_as(points)
    density, colour = decoder(triplane.sample(planes, points.reshape(-1, 3)), directions.reshape(-1, 3))
    return density.unflatten(0, distance.shape), colour.unflatten(0, distance.shape)


def strata(like: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
    """One place in each of `samples` equal parts of [0, 1], [R, samples], of the kind of `like` [R]."""
    offset = like.new_full((len(like), samples), 0.5)
    if generator is not None:
        offset.uniform_(generator=generator)
    return (torch.arange(samples) + offset) / samples


def compositing_weights(place: Tensor, density: Tensor, length: Tensor) -> Tensor:
    """Weights [R, S - 1] of the intervals between sorted samples [R, S], each with the mean of its ends' densities."""
    optical = 0.5 * (density[:, 1:] + density[:, :-1]) * (place[:, 1:] - place[:, :-1]) * length
    before = optical.cumsum(dim=1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def draw_places(place: Tensor, weights: Tensor, uniform: Tensor) -> Tensor:
    """Places [R, T] along rays, drawn by inverting the distribution that coarse weights stand for.

    Args:
        place: [R, S] the coarse samples, sorted.
        weights: [R, S - 1] of the intervals between them.
        uniform: [R, T] in [0, 1).
    """
    # An interval takes the larger weight of its neighbours and itself, blurred: a surface between two coarse samples
    # must not be missed because its weight lies one interval off.
    widened = torch.nn.functional.max_pool1d(weights[:, None], 2, stride=1, padding=1)
    blurred = torch.nn.functional.avg_pool1d(widened, 2, stride=1)[:, 0] + FLOOR
    cumulative = blurred.cumsum(dim=1)
    cumulative = torch.nn.functional.pad(cumulative / cumulative[:, -1:], (1, 0))  # [R, S] at the coarse samples
    above = torch.searchsorted(cumulative, uniform, right=True).clamp_(1, place.shape[1] - 1)
    low, high = cumulative.gather(1, above - 1), cumulative.gather(1, above)
    start, end = place.gather(1, above - 1), place.gather(1, above)
    return torch.lerp(start, end, (uniform - low) / (high - low).clamp_min(1e-8))
