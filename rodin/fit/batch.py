"""Many subjects per step on one device: what `rodin.fit.planes.fit_planes` does with one, at once with all.

A GPU is starved by the step of one subject. Here the samples that count, of all subjects, lie in one flat list; the
objective is the sum of the subjects' own, and all draws are the same for all. So no subject feels who is beside it, but
for the rounding of sums whose order a GPU does not fix.

Held to `rodin.fit.step.PlaneFit` on the CPU. It has NOT run on a GPU, and no speed of it is known; `benchmarks/gpu.py`
is to measure it.

Symbols: B subjects, S bins a ray, n rays and K points of each subject in a step, N samples of a step that count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin import triplane
from rodin.fit.losses import LossConfig, picture_loss, regularizers
from rodin.fit.planes import FitConfig, FittedPlanes, learning_rate_at, narrowing_steps, random_size
from rodin.fit.scene import Scene, empty_cells
from rodin.fit.step import LearnedPalette, Moments, rescaled
from rodin.render.decoder import Decoder
from rodin.render.materials import check_palette
from rodin.render.rays import Occupancy, Rays
from rodin.render.reference import alpha_weights


class Spans:
    """Where B lists lie that are laid end to end.

    Args:
        counts: their lengths.
    """

    def __init__(self, counts: Sequence[int], device: torch.device) -> None:
        ends = list(accumulate(counts))
        self.slices = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
        self.first = torch.tensor([own.start for own in self.slices], device=device)
        self.count = torch.tensor(counts, device=device)

    def choose(self, numbers: Tensor) -> Tensor:
        """Large random numbers [n] as indices [B, n] of entries of each list; where it is empty, of its place."""
        return self.first[:, None] + numbers % self.count.clamp_min(1)[:, None]


class Crowd:
    """B scenes on one device, their rays end to end.

    Args:
        scenes: all with as many bins a ray, and with occupancy grids of one size; with shares all, or none.
    """

    def __init__(self, scenes: Sequence[Scene], device: torch.device) -> None:
        parts = ("origins", "directions", "near", "far")
        self.rays = Rays(*(_joined([getattr(scene.rays, part) for scene in scenes], device) for part in parts))
        self.targets = _joined([scene.targets for scene in scenes], device)  # [R, 4]
        shares = [scene.shares for scene in scenes if scene.shares is not None]
        if 0 < len(shares) < len(scenes):
            raise ValueError("some captures have maps of their materials, others have none; fit them separately")
        self.shares = _joined(shares, device) if shares else None  # [R, K]
        self.bins = _joined([scene.bins for scene in scenes], device)  # [R, S]
        self.spans = Spans([len(scene.rays) for scene in scenes], device)
        self._mark([scene.occupancy.grid.to(device) for scene in scenes])

    def __len__(self) -> int:
        return len(self.spans.slices)

    def _mark(self, grids: list[Tensor]) -> None:
        """Take grids [G, G, G] as the subjects' occupancies."""
        self.grids = grids
        empty = [empty_cells(Occupancy(grid)) for grid in grids]
        self.empty = torch.cat(empty)  # [M, 3]
        self.empty_spans = Spans([len(one) for one in empty], self.empty.device)

    def narrow(self, planes: Tensor, decoder: Decoder) -> None:
        """See `Scene.narrowed`; planes [B, 3, C, H, W]. One subject after another: it happens three times a fit."""
        grids = []
        for own, grid, one in zip(self.spans.slices, self.grids, planes, strict=True):
            scene = Scene(self.rays[own], self.targets[own], self.bins[own], Occupancy(grid), empty=self.empty[:0])
            narrowed = scene.narrowed(one, decoder)
            self.bins[own] = narrowed.bins
            grids.append(narrowed.occupancy.grid)
        self._mark(grids)


def _joined(values: list[Tensor], device: torch.device) -> Tensor:
    return torch.cat([value.to(device) for value in values])


@dataclass(frozen=True, slots=True)
class Draws:
    """What one step looks at: a `rodin.fit.losses.Batch` of every subject."""

    ray: Tensor  # [B, n] indices of the crowd's rays, each row within one subject's
    jitter: Tensor  # [B, n] in [0, 1), where in its bins each ray is sampled
    outside: Tensor  # [B, K, 3] points in cells that are not occupied
    weight: Tensor  # [B] 1, or 0 for a subject without such cells, whose points are anything

    @staticmethod
    def draw(crowd: Crowd, rays: int, points: int, generator: torch.Generator) -> Draws:
        """One set of random numbers for all subjects, as their separate fits would draw from one seed.

        Args:
            generator: on the device of the crowd.
        """
        device = generator.device
        ray = crowd.spans.choose(torch.randint(2**62, (rays,), generator=generator, device=device))
        jitter = torch.rand(rays, generator=generator, device=device).expand(len(crowd), -1)
        cell = crowd.empty_spans.choose(torch.randint(2**62, (points,), generator=generator, device=device))
        place = torch.rand(points, 3, generator=generator, device=device)
        weight = (crowd.empty_spans.count > 0).to(place.dtype)
        if not len(crowd.empty):
            return Draws(ray, jitter, place.expand(len(crowd), -1, -1), weight)
        chosen = crowd.empty[cell.clamp_max(len(crowd.empty) - 1)]  # a last list that is empty has its place beyond
        return Draws(ray, jitter, (chosen + place) * (2 / len(crowd.grids[0])) - 1, weight)


class BatchGradients(NamedTuple):
    """The loss of a step and its gradients."""

    loss: Tensor  # [] the sum of the subjects'
    planes: Tensor  # [B, 3, C, H, W], each subject's own
    palettes: Tensor | None  # [B, K, 3]; None without materials


class BatchFit:
    """The planes of B subjects while they are fitted; see `rodin.fit.step.PlaneFit`, of one.

    Args:
        start: [B, 3, C, H, W] where they begin.
        decoder: frozen, on the same device.
        palettes: [B, K, 3] where those of the subjects begin, if the decoder has materials.
    """

    def __init__(self, start: Tensor, decoder: Decoder, loss: LossConfig, palettes: Tensor | None = None) -> None:
        check_palette(None if palettes is None else palettes[0], decoder.config.materials)
        self.learned_palettes = None if palettes is None else LearnedPalette(palettes)
        self.planes = start.clone(memory_format=torch.contiguous_format)
        self.moments = Moments(self.planes)
        self.decoder, self.loss = decoder, loss
        self.objective = compiled(objective, start.device)

    @property
    def palettes(self) -> Tensor | None:
        """[B, K, 3] as they are now; None without materials."""
        return None if self.learned_palettes is None else self.learned_palettes.values

    def step(
        self, crowd: Crowd, draws: Draws, size: int, learning_rate: float, *, palette_learning_rate: float = 0.0
    ) -> None:
        """Move all planes and palettes once; planes are rendered at `size` x `size`, all of them, as fits from one seed
        would be."""
        found = self.gradients(crowd, draws, size)
        self.moments.move(self.planes, found.planes, learning_rate)
        if self.learned_palettes is not None and found.palettes is not None:
            self.learned_palettes.move(found.palettes, palette_learning_rate)

    def gradients(self, crowd: Crowd, draws: Draws, size: int) -> BatchGradients:
        """The loss and its gradients, nothing moved."""
        chosen = draws.ray.flatten()
        bins = crowd.bins[chosen]  # [B n, S]
        ray, position = bins.nonzero(as_tuple=True)  # the one place of a step where the host waits for the device
        with torch.enable_grad():
            planes = self.planes.clone().requires_grad_()
            palettes = None if self.palettes is None else self.palettes.clone().requires_grad_()
            shares = None if palettes is None or crowd.shares is None else crowd.shares[chosen]
            loss = self.objective(
                planes,
                rescaled(planes, size),
                self.decoder,
                origins=crowd.rays.origins[chosen],
                directions=crowd.rays.directions[chosen],
                near=crowd.rays.near[chosen],
                far=crowd.rays.far[chosen],
                jitter=draws.jitter.flatten(),
                targets=crowd.targets[chosen],
                shares=shares,
                palettes=palettes,
                samples=bins.shape[1],
                ray=ray,
                position=position,
                outside=draws.outside,
                weight=draws.weight,
                config=self.loss,
            )
            of_planes, *others = torch.autograd.grad(loss, [planes] if palettes is None else [planes, palettes])
        return BatchGradients(loss.detach(), of_planes, others[0] if others else None)


def compiled(function: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """The function as `torch.compile` makes it where that means fused kernels: on a GPU. Its sizes vary by the step."""
    return torch.compile(function, dynamic=True) if device.type == "cuda" else function


def objective(
    planes: Tensor,
    rendered: Tensor,
    decoder: Decoder,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    jitter: Tensor,
    targets: Tensor,
    shares: Tensor | None,
    palettes: Tensor | None,
    samples: int,
    ray: Tensor,
    position: Tensor,
    outside: Tensor,
    weight: Tensor,
    config: LossConfig,
) -> Tensor:
    """The sum of what `rodin.fit.losses.fitting_loss` gives of each subject, [].

    Args:
        planes: [B, 3, C, H, W], what is regularized.
        rendered: [B, 3, C, h, w], the planes as rendered in this step.
        origins, directions, near, far, jitter, targets, shares: [B n, ...] of this step's rays, subject by subject.
        palettes: [B, K, 3] where the decoder has materials.
        samples: bins S a ray.
        ray, position: [N] ray and bin of the samples that count.
        outside: [B, K, 3] and weight [B], see `Draws`.
    """
    subjects, count = len(planes), len(near)
    step = (far - near) / samples
    distance = near[ray] + (position + jitter[ray]) * step[ray]
    points = torch.addcmul(origins[ray], distance[:, None], directions[ray])
    looked_up = look_up(rendered, points, ray // (count // subjects))
    density, emitted = decoder(looked_up, directions[ray])
    optical = density.new_zeros(count, samples).index_put((ray, position), density * step[ray])
    weights = alpha_weights(optical)
    seen = torch.cat([emitted, torch.ones_like(emitted[:, :1])], dim=1) * weights[ray, position][:, None]
    totals = seen.new_zeros(count, seen.shape[1]).index_add(0, ray, seen)
    totals, targets = totals.unflatten(0, (subjects, -1)), targets.unflatten(0, (subjects, -1))
    shares = None if shares is None else shares.unflatten(0, (subjects, -1))
    # All subjects have as many rays, texels and points: the mean over everything is the mean of the subjects' means.
    loss = picture_loss(totals[..., :-1], totals[..., -1], targets, config, palette=palettes, shares=shares)
    loss = loss + regularizers(planes, weights, config)
    if config.empty:
        owner = torch.arange(subjects, device=ray.device).repeat_interleave(outside.shape[1])
        fog = decoder.density_of(look_up(rendered, outside.flatten(0, 1), owner)).reshape(subjects, -1)
        loss = loss + config.empty * (weight * -torch.expm1(-fog * (2 / samples)).mean(dim=1)).mean()
    return subjects * loss


def look_up(planes: Tensor, points: Tensor, subject: Tensor) -> Tensor:
    """`rodin.triplane.sample` of points [N, 3], each in the planes of its own subject.

    Args:
        planes: [B, 3, C, H, W]
        subject: [N] whose planes.

    Returns:
        [N, C]
    """
    _, _, channels, height, width = planes.shape
    row = ((points[:, triplane.ROW_AXES] + 1) * (height / 2) - 0.5).clamp(0, height - 1)  # [N, 3]
    column = ((points[:, triplane.COLUMN_AXES] + 1) * (width / 2) - 0.5).clamp(0, width - 1)
    top, left = row.int(), column.int()  # 32 bits: the backward pass sorts them
    bottom, right = (top + 1).clamp_max(height - 1), (left + 1).clamp_max(width - 1)
    down, across = row - top, column - left
    plane = subject[:, None].int() * triplane.PLANES + torch.arange(triplane.PLANES, device=points.device).int()
    top, bottom = (plane * height + top) * width, (plane * height + bottom) * width
    corners = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=-1)  # [N, 3, 4]
    shares = [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across]
    texels = planes.permute(0, 1, 3, 4, 2).reshape(-1, channels)  # a texel's channels side by side
    return F.embedding_bag(
        corners.flatten(1), texels, mode="sum", per_sample_weights=torch.stack(shares, dim=-1).flatten(1)
    )


def fit_planes_batch(
    scenes: Sequence[Scene],
    decoder: Decoder,
    start: Tensor,
    config: FitConfig,
    seed: int,
    device: torch.device,
    palettes: Tensor | None = None,
) -> list[FittedPlanes]:
    """Fit the planes of B subjects, the decoder frozen.

    Args:
        decoder: on `device`.
        start: [3, C, H, W] where all begin, see `rodin.fit.planes.fit_planes`.
        palettes: [B, K, 3] where those of the subjects begin, if the decoder has materials.

    Returns:
        the subjects' own, on `device`.
    """
    sizes, draws = torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed)
    crowd = Crowd(scenes, device)
    palettes = None if palettes is None else palettes.to(device)
    fit = BatchFit(start.to(device).expand(len(crowd), *start.shape), decoder, config.loss, palettes)
    for step in range(config.steps):
        if step in narrowing_steps(config):
            crowd.narrow(fit.planes, decoder)
        looked_at = Draws.draw(crowd, config.rays, config.loss.empty_points, draws)
        factor = learning_rate_at(step / config.steps)
        fit.step(
            crowd,
            looked_at,
            random_size(config, sizes),
            config.learning_rate * factor,
            palette_learning_rate=config.palette_learning_rate * factor,
        )
    found = [None] * len(crowd) if fit.palettes is None else fit.palettes
    return [FittedPlanes(planes, palette) for planes, palette in zip(fit.planes, found, strict=True)]
