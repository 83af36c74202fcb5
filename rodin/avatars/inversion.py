"""Render-guided inversion: from a photograph's latent to an avatar that looks like the photograph.

The latent knows what kind of person is shown, not each feature. So the photograph itself steers the sampling: at every
step the predicted clean planes are moved along the gradient of its rendering loss, and the upsampled planes are then
fitted to it for a few steps, with the diffusion model as a prior (SSDNeRF, Chen et al. 2023, image-guided sampling and
fine-tuning). One view says nothing about the sides and the back, and front and back share a plane, through which a face
in front prints itself on the back of the head. So what the photograph does not show is held, in both parts, to what the
latent draws without it.

Symbols: C channels, S side of the photograph in pixels, M points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin import triplane
from rodin.avatars.photo import SAMPLES, Photo, look, photo_loss
from rodin.avatars.photo_colours import PalettePrior
from rodin.camera import orbit
from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.diffusion.sampling import Scheduler, guided
from rodin.diffusion.schedule import Denoise
from rodin.models.perceptual import Features
from rodin.models.statistics import PlaneStatistics
from rodin.networks.unet import UNet
from rodin.render.decoder import Decoder
from rodin.render.rays import camera_rays
from rodin.render.renderer import Renderer, make_field

GUIDING_DETAIL = 2  # pixels a texel of the base model's planes, of the photograph that guides it; more brought nothing
FEWEST_GUIDED_STEPS = 5  # of sampling
MOVES = 10  # of x_0 at each of them; 5 steps of 10 moves come nearer to the photograph than 50 of one
OPACITY_STEP = 2 / SAMPLES  # world units
SURFACE_BAND = 0.15  # world units around the visible surface that a photograph may change
AROUND, AROUND_SIZE = 12, 48  # views, of which every surface point is to be held that the photograph does not show
POINTS_PER_STEP = 4096
PRIOR_NOISE = (0.02, 0.2)  # of the training steps, the noise levels at which the prior is asked
HIDDEN_WEIGHT = 5.0  # beside the photograph's loss
PRIOR_WEIGHT, STAY_WEIGHT = 0.01, 1e-3  # beside it in the fit


@dataclass(frozen=True, kw_only=True, slots=True)
class Inversion:
    """What guided sampling and fit know alike: the model, and what it draws of the person by itself.

    Args:
        base, config: the base model; its size is that at which the fit asks what is likely.
        decoder: reads the planes.
        z: [1, 512] latent, or None for a base model without.
        free: [3, C, h, w] planes that were drawn without the photograph.
        features: of the photograph's loss, see `photo_loss`.
        generator: of the CPU; draws points that are held to the free planes, and the noise at which the prior is asked.
        colours: that the palette network expects, where the decoder has materials. At every step they are the
            portrait's (`rodin.avatars.photo_colours`).
    """

    base: UNet
    config: DiffusionConfig
    decoder: Decoder
    z: Tensor | None
    free: Tensor
    features: Features | None
    generator: torch.Generator
    colours: PalettePrior | None = None

    def sample(
        self,
        statistics: PlaneStatistics,
        photo: Photo,
        noise: Tensor,
        *,
        steps: int,
        guidance_scale: float,
        strength: float = 0.15,
        progress: Callable[[int, float], None] | None = None,
    ) -> Tensor:
        """Sample the planes of the latent, steered by a photograph; DDIM (Song et al. 2021), so the noise decides the
        rest.

        At each step the predicted x_0 is moved MOVES times along the gradient of the photograph's loss, and the noise
        is computed anew from x_t and the moved x_0, so that both belong together. SSDNeRF takes the gradient through
        the network, once a step; moving x_0 itself is cheaper, so it is done more often.

        Args:
            statistics: at the base model's size.
            noise: [1, 3, C, h, w] x_T.
            steps: sampling steps; one costs MOVES renderings of the photograph's size and their gradients.
            guidance_scale: of the latent, see `rodin.diffusion.sampling.guided`.
            strength: length of the first move of a step, in standard deviations of the residual (root mean square over
                all texels); 0 is plain sampling.
            progress: called after each step with its index and the photograph's loss (nan if it was not computed).

        Returns:
            [3, C, h, w] residual, as the base model samples it.
        """
        photo = photo.to(noise.device)
        hidden = hidden_points(self, self.free, photo)
        denoise = guided(self.base, self.z, guidance_scale if self.z is not None else 1.0)
        scheduler = Scheduler(self.config, "ddim")
        scheduler.set_timesteps(steps)
        clip = statistics.config.clip

        def error(residual: Tensor) -> Tensor:
            planes = statistics.denormalize(residual)[0]
            changed = hidden.change(planes, self.decoder, self.generator)
            return self._miss(planes, photo) + HIDDEN_WEIGHT * changed

        x = clean = noise
        for index, time in enumerate(scheduler.timesteps):
            with torch.no_grad():
                clean = scheduler.clean(denoise(x, time.to(x.device)[None]).float(), index, x, clip)
            loss = math.nan
            if strength:
                clean, loss = descend(clean, error, MOVES, strength, clip=clip)
            x = scheduler.advance(clean, index, x, [])
            if progress is not None:
                progress(index, loss)
        return clean[0]

    def fit(
        self,
        planes: Tensor,
        statistics: PlaneStatistics,
        photo: Photo,
        *,
        steps: int,
        strength: float = 0.05,
        progress: Callable[[int, float], None] | None = None,
    ) -> Tensor:
        """Fit upsampled planes to a photograph, with the base model as a prior.

        Args:
            planes: [3, C, H, W], as the decoder reads them.
            statistics: at the planes' size.
            steps: of descent.
            strength: length of the first step, see `descend`.
            progress: called after each step with its index and the whole error.

        Returns:
            [3, C, H, W]
        """
        size, clip = self.base.config.size, statistics.config.clip
        photo = photo.to(planes.device)
        diffusion = Diffusion(self.config, planes.device)
        denoise = guided(self.base, self.z)
        hidden = hidden_points(self, planes, photo)
        start = statistics.normalize(planes)

        def error(residual: Tensor) -> Tensor:
            now = statistics.denormalize(residual)
            small = triplane.resize(residual, size, size)
            unlikely = (small - likely(denoise, diffusion, small.detach(), self.generator)).square().mean()
            changed = hidden.change(now, self.decoder, self.generator)
            held = HIDDEN_WEIGHT * changed + STAY_WEIGHT * (residual - start).square().mean()
            return self._miss(now, photo) + PRIOR_WEIGHT * unlikely + held

        return statistics.denormalize(descend(start, error, steps, strength, clip=clip, progress=progress)[0])

    def palette(self, planes: Tensor, photo: Photo) -> Tensor | None:
        """The photograph's colours [K, 3] on planes [3, C, H, W], on the CPU; None without materials."""
        if self.colours is None:
            return None
        with torch.no_grad():
            found = look(planes, self.decoder, photo.to(planes.device), self.colours).palette
        return None if found is None else found.cpu()

    def _miss(self, planes: Tensor, photo: Photo) -> Tensor:
        return photo_loss(planes, self.decoder, photo, self.features, colours=self.colours)


def guided_steps(moves: int, config: DiffusionConfig) -> int:
    """Sampling steps for so many moves of x_0 in all."""
    return min(max(FEWEST_GUIDED_STEPS, moves // MOVES), config.train_steps)


def descend(
    residual: Tensor,
    error: Callable[[Tensor], Tensor],
    steps: int,
    strength: float,
    clip: float,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Tensor, float]:
    """Steepest descent of a residual's error by steps of given lengths, falling linearly from `strength` to 0.

    A step's length is the root mean square over all texels together: what the photograph does not see hardly moves. It
    would if each texel's gradient were scaled by itself, as Adam does.

    Returns:
        the residual, and the error before the last step.
    """
    loss = math.nan
    for step in range(steps):
        with torch.enable_grad():
            residual = residual.detach().requires_grad_()
            value = error(residual)
            (gradient,) = torch.autograd.grad(value, residual)
        length = gradient.square().mean().sqrt().clamp_min(1e-12)
        residual = (residual.detach() - strength * (1 - step / steps) / length * gradient).clamp(-clip, clip)
        loss = float(value.detach())
        if progress is not None:
            progress(step, loss)
    return residual, loss


@dataclass(frozen=True, slots=True)
class Hidden:
    """Points that a photograph says nothing about, and what is there."""

    points: Tensor  # [M, 3]
    directions: Tensor  # [M, 3] unit, that they are looked at along
    opacity: Tensor  # [M] over OPACITY_STEP
    emitted: Tensor  # [M, E] colours, or what gives them

    def change(self, planes: Tensor, decoder: Decoder, generator: torch.Generator) -> Tensor:
        """How much planes [3, C, H, W] differ at some of the points: squared, of opacity and of what shows."""
        chosen = torch.randint(len(self.points), (POINTS_PER_STEP,), generator=generator).to(self.points.device)
        density, emitted = decoder(triplane.sample(planes, self.points[chosen]), self.directions[chosen])
        before = self.opacity[chosen]
        recoloured = before * (emitted - self.emitted[chosen]).square().sum(dim=-1) / 3
        return ((opacity(density) - before).square() + recoloured).mean()


def opacity(density: Tensor) -> Tensor:
    """Of matter of this density over OPACITY_STEP."""
    return -torch.expm1(-density * OPACITY_STEP)


@torch.no_grad()
def hidden_points(inversion: Inversion, planes: Tensor, photo: Photo) -> Hidden:
    """Points that must stay: of the surface as seen from all around, and from anywhere in the box, where all must stay
    empty that is.

    Args:
        inversion: whose free planes, enlarged to H x W, have the colours that they are to have.
        planes: [3, C, H, W], whose shape they are to keep.

    Left out are those near the surface that the photograph shows, and those on rays where photograph and avatar
    disagree whether there is anything.
    """
    decoder, generator = inversion.decoder, inversion.generator
    renderer = Renderer.culled(planes, decoder, None if inversion.colours is None else inversion.colours.mean)
    azimuths = [360.0 * k / AROUND for k in range(AROUND)]
    around = orbit(azimuths, [0.0, 30.0] * (AROUND // 2), size=AROUND_SIZE).to(planes.device)
    rays = camera_rays(around)
    image, depth = renderer.image(around, SAMPLES)
    opaque = image[..., 3].flatten() > 0.5
    surface = (rays.origins + depth.flatten()[:, None] * rays.directions)[opaque]
    anywhere = torch.rand(len(surface) + 1, 3, generator=generator).to(planes) * 2 - 1
    looked = F.normalize(torch.randn(anywhere.shape, generator=generator).to(planes), dim=-1)
    points, directions = torch.cat([surface, anywhere]), torch.cat([rays.directions[opaque], looked])

    image, depth = renderer.image(photo.camera, SAMPLES)
    pixels, in_front = photo.camera.project(points)
    side = photo.camera.width
    column, row = pixels.floor().long().unbind(dim=-1)
    in_image = (in_front > 0) & (column >= 0) & (column < side) & (row >= 0) & (row < side)
    column, row = column.clamp(0, side - 1), row.clamp(0, side - 1)
    distance = (points - photo.camera.position).norm(dim=-1)
    shown = (distance - depth[row, column]).abs() < SURFACE_BAND
    disagree = (image[row, column, 3] - photo.pixels[row, column, 3]).abs() > 0.5
    held = ~(in_image & (shown | disagree))
    points, directions = points[held], directions[held]
    density = renderer.field.density(points)
    free = triplane.resize(inversion.free, *planes.shape[-2:])
    return Hidden(points, directions, opacity(density), make_field(free, decoder).emitted(points, directions))


@torch.no_grad()
def likely(denoise: Denoise, diffusion: Diffusion, residual: Tensor, generator: torch.Generator) -> Tensor:
    """What the base model takes a residual [3, C, h, w] for after some noise: the x_0 nearby that is more likely."""
    low, high = (round(share * diffusion.config.train_steps) for share in PRIOR_NOISE)
    t = torch.randint(low, high + 1, (1,), generator=generator).to(residual.device)
    noise = torch.randn(residual.shape, generator=generator).to(residual)[None]
    x = diffusion.add_noise(residual[None], noise, t)
    return diffusion.clean(denoise(x, t).float()[:, :, : x.shape[2]], x, t)[0]
