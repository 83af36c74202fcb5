"""From latents and noise to avatars: base diffusion, upsampler, planes, colours (Rodin, Fig. 2)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.avatars.drawing import Drawing, Sampling, check_count
from rodin.avatars.photo_colours import PalettePrior
from rodin.avatars.seeds import Stream, seeded
from rodin.avatars.slerp import slerp
from rodin.avatars.step import Callback, Step
from rodin.camera import camera_at
from rodin.diffusion.sampling import Scheduler, draw_noise, guided, sample
from rodin.errors import UserError
from rodin.models.folder import Model
from rodin.models.upsampler import takes_latent, upsample
from rodin.render.renderer import SAMPLES, Renderer

BATCH = 8  # avatars denoised together: bounds memory, never changes a result


class Drawer:
    """Draws latents, and avatars anew or between two. Where latents come from is the pipeline's.

    Args:
        model: whose parts draw.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.base, self.diffusion, self.scheduler = model.base, model.diffusion, model.scheduler
        self.upsampler, self.upsampler_diffusion = model.upsampler, model.upsampler_diffusion
        self.refiner, self.statistics, self.decoder = model.refiner, model.statistics, model.decoder
        self.palette = model.palette
        self.base_statistics = model.statistics.resized(model.base.config.size)

    @cached_property
    def model_hash(self) -> str:
        """Of all that shapes an avatar, see `Model.hash`."""
        return self.model.hash()

    @property
    def device(self) -> torch.device:
        """Where the parts lie."""
        return next(self.base.parameters()).device

    def _base_noise(self, seeds: list[int], temperature: float) -> Tensor:
        config = self.base.config
        shape = (3, config.in_channels, config.size, config.size)
        noise = temperature * draw_noise(shape, seeded(seeds, Stream.NOISE), self.device)
        return noise.half().float()  # as an avatar's file keeps it

    def _draw(
        self,
        latents: Tensor,
        noise: Tensor,
        drawings: list[Drawing],
        callback: Callback | None = None,
        palettes: list[Tensor | None] | None = None,
    ) -> list[Avatar]:
        """Avatars of latents [B, 512] and x_T [B, 3, C, h, w], drawn alike but for their seeds.

        Args:
            palettes: of each; None takes what the latents say.
        """
        avatars: list[Avatar] = []
        palettes = self._palettes(latents) if palettes is None else palettes
        for start in range(0, len(drawings), BATCH):
            part = slice(start, start + BATCH)
            low = self._sample_base(latents[part], noise[part], drawings[part], palettes[part], callback)
            planes = self._enlarge(low, latents[part], drawings[part], callback)
            avatars += self._avatars(planes, latents[part], noise[part], drawings[part], palettes=palettes[part])
        return avatars

    @torch.no_grad()
    def preview(self, step: Step, size: int = 128) -> list[Tensor]:
        """Frontal views [size, size, 4], straight RGBA in [0, 1], of the avatars that are being drawn, as far as the
        base model sees them; none at steps of others."""
        if step.clean is None:
            return []
        planes = self.base_statistics.denormalize(step.clean)
        camera = camera_at(size=size)
        return [
            Renderer.trimmed(one, self.decoder, palette).image(camera, SAMPLES)[0].cpu()
            for one, palette in zip(planes, step.palettes, strict=True)
        ]

    def _palettes(self, latents: Tensor, said: Sequence[Mapping[str, str]] = ()) -> list[Tensor | None]:
        """The colours [K, 3] that go with latents [B, 512], on the CPU; of planes that carry their own, none.

        Args:
            said: by attribute what words say of each, see `PaletteNetwork.palettes`.
        """
        if self.palette is None:
            return [None] * len(latents)
        return list(self.palette.palettes(latents.to(self.device), said).cpu())

    def _moved_palette(self, avatar: Avatar, latent: Tensor) -> Tensor | None:
        """An avatar's colours, changed as those of its latent change on the way to another [512]."""
        before, after = self._palettes(torch.stack([avatar.latent, latent]))
        if avatar.palette is None or before is None or after is None:
            return None
        return (avatar.palette + after - before).clamp(0, 1)

    def _sample_base(
        self,
        latents: Tensor,
        noise: Tensor,
        drawings: list[Drawing],
        palettes: list[Tensor | None],
        callback: Callback | None,
    ) -> Tensor:
        """The base model's residuals [B, 3, C, h, w]; the palettes are for previews."""
        one = drawings[0]
        z = self._condition_of(latents)
        scale = one.sampling.guidance_scale if z is not None else 1.0
        generators = seeded([drawing.seed for drawing in drawings], Stream.STEPS)

        def report(_index: int, _x: Tensor, clean: Tensor) -> None:
            if callback is not None:
                callback(Step("base", clean, palettes))

        return sample(
            guided(self.base, z, scale),
            Scheduler(self.diffusion, one.sampling.sampler or self.scheduler.kind),
            noise.to(self.device),
            generators,
            steps=one.sampling.steps,
            clip=self.statistics.config.clip,
            callback=report,
        )

    def _condition_of(self, latents: Tensor) -> Tensor | None:
        """What the base model is told: z [B, 512], or nothing if it was trained without."""
        return latents.to(self.device) if self.base.config.latent_dim else None

    def _enlarge(
        self, low: Tensor, latents: Tensor, drawings: list[Drawing], callback: Callback | None = None
    ) -> Tensor:
        """The base model's residuals [B, 3, C, h, w] for latents [B, 512] to planes [B, 3, C, H, W], on the CPU."""
        generators = seeded([drawing.seed for drawing in drawings], Stream.UPSAMPLER)
        residual = upsample(
            self.upsampler,
            self.upsampler_diffusion,
            low,
            self.upsampler.config.size,
            generators=generators,
            steps=drawings[0].sampling.upsampling_steps,
            clip=self.statistics.config.clip,
            z=latents if takes_latent(self.upsampler.config) else None,
            callback=None if callback is None else lambda: callback(Step("upsampling")),
        )
        return self.statistics.denormalize(residual).cpu()

    def _avatars(
        self,
        planes: Tensor,
        latents: Tensor,
        noise: Tensor,
        drawings: list[Drawing],
        *,
        palettes: list[Tensor | None],
    ) -> list[Avatar]:
        # An avatar stays as it was drawn, whatever becomes of the pipeline.
        decoder, refiner = copy.deepcopy(self.decoder).cpu(), copy.deepcopy(self.refiner).cpu()
        return [
            Avatar(
                one.cpu(),
                decoder,
                refiner,
                z,
                noise=x.cpu(),
                drawing=drawing,
                model_hash=self.model_hash,
                palette=palette,
            )
            for one, z, x, drawing, palette in zip(planes, latents, noise, drawings, palettes, strict=True)
        ]

    def _expected_colours(self, latent: Tensor) -> PalettePrior | None:
        """What the palette network says of a latent [512]; without materials nothing."""
        if self.palette is None:
            return None
        with torch.no_grad():
            mean, spread = self.palette(latent[None].to(self.device))
        return PalettePrior(mean[0].clamp(0, 1), spread[0])

    # ---- from avatars to avatars

    @torch.no_grad()
    def redraw(self, avatar: Avatar, sampling: Sampling, callback_on_step_end: Callback | None = None) -> Avatar:
        """The same latent and noise, drawn another way: what was sketched in a few steps in more of them.

        What an inversion or colours have made of it is kept.

        Raises:
            UserError: a number is out of range, or the avatar is another model's.
        """
        self._check_own(avatar)
        sampling = replace(sampling, sampler=sampling.sampler or self.scheduler.kind)
        self.check_numbers(1, avatar.drawing.seed, 0, sampling)
        # The noise has its temperature already.
        sampling = replace(sampling, temperature=avatar.drawing.sampling.temperature)
        drawing = replace(avatar.drawing, sampling=sampling)
        drawn = self._draw(avatar.latent[None], avatar.noise[None], [drawing], callback_on_step_end)[0]
        found = self._beyond(avatar, avatar.drawing, callback_on_step_end)
        return replace(drawn, planes=drawn.planes + found, palette=avatar.palette)

    def interpolate(
        self, first: Avatar, last: Avatar, steps: int = 8, *, callback_on_step_end: Callback | None = None
    ) -> list[Avatar]:
        """Avatars on the way between two, which stand at its ends; see `mix`.

        Args:
            steps: avatars, the two ends among them.
            callback_on_step_end: as of `__call__`.

        Raises:
            UserError: fewer than 2 steps, or an avatar is another model's.
        """
        if steps < 2:
            raise UserError(f"steps: {steps} avatars; choose 2 or more, the two ends are among them")
        return self.mix(first, last, [k / (steps - 1) for k in range(steps)], callback_on_step_end)

    @torch.no_grad()
    def mix(
        self, first: Avatar, last: Avatar, parts: Sequence[float], callback_on_step_end: Callback | None = None
    ) -> list[Avatar]:
        """Avatars between two, one at each part of the way: z and the noise go along great circles.

        All between are drawn as the first was. What that leaves of an end, such as what an inversion found or another
        guidance draws, fades along the way.

        Args:
            parts: in [0, 1]; 0 is the first itself, 1 the last.

        Raises:
            UserError: a part is out of range, or an avatar is another model's.
        """
        for avatar in (first, last):
            self._check_own(avatar)
        if wrong := [part for part in parts if not 0 <= part <= 1]:
            raise UserError(f"part: {wrong[0]} of the way between two avatars; choose 0 to 1")
        between = [part for part in parts if 0 < part < 1]
        if not between:
            return [last if part else first for part in parts]
        latents = torch.stack([slerp(first.latent, last.latent, part) for part in between])
        noise = torch.stack([slerp(first.noise, last.noise, part) for part in between])
        drawing = replace(first.drawing, refine=max(first.drawing.refine, last.drawing.refine))
        drawn = self._draw(latents, noise.half().float(), [drawing] * len(between), callback_on_step_end)
        left, right = (self._beyond(one, first.drawing, callback_on_step_end) for one in (first, last))
        mixed = iter(
            replace(
                one,
                planes=one.planes + torch.lerp(left, right, part),
                palette=None
                if first.palette is None or last.palette is None
                else torch.lerp(first.palette, last.palette, part),
            )
            for one, part in zip(drawn, between, strict=True)
        )
        return [next(mixed) if 0 < part < 1 else last if part else first for part in parts]

    def _beyond(self, avatar: Avatar, drawing: Drawing, callback: Callback | None) -> Tensor:
        """What an avatar's planes [3, C, H, W] have beyond what the model draws from its latent and noise: what an
        inversion found, or what another way of drawing makes."""
        if drawing == avatar.drawing and not drawing.refine:
            return torch.zeros_like(avatar.planes)

        def report(step: Step) -> None:
            if callback is not None:
                callback(Step(step.stage))  # it is no preview of what is asked for

        again = self._draw(avatar.latent[None], avatar.noise[None], [drawing], report)[0]
        return avatar.planes - again.planes

    def check_numbers(self, count: int, seed: int, refine: int, sampling: Sampling) -> None:
        """Raise UserError if a number of `__call__` is out of range."""
        sampling.check()
        check_count(count, seed)
        if refine < 0:
            raise UserError(f"refine: {refine} steps; choose 0 or more")
        for name, diffusion in (("steps", self.diffusion), ("upsampling_steps", self.upsampler_diffusion)):
            if getattr(sampling, name) > diffusion.train_steps:
                found, most = getattr(sampling, name), diffusion.train_steps
                raise UserError(f"{name}: {found}; this model was trained on {most}, choose 1 to {most}")

    def _check_own(self, avatar: Avatar) -> None:
        if avatar.model_hash != self.model_hash:
            raise UserError(
                f"avatar: it was drawn by another model ({avatar.model_hash[:12]}, this is {self.model_hash[:12]}); "
                "give that model, or an avatar of this one"
            )
