"""How an avatar is drawn: the choices of the samplers, and what an avatar remembers of them. Without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rodin.diffusion.config import Sampler
from rodin.errors import UserError

LARGEST_SEED = 2**30  # all below it differ: a generator of the CPU looks at 32 bits, which four streams share


def check_count(count: int, seed: int) -> None:
    """Raise UserError unless so many avatars can be drawn with `seed` and those that follow it."""
    if count < 1:
        raise UserError(f"count: {count} avatars; choose 1 or more")
    if not 0 <= seed <= LARGEST_SEED - count:
        raise UserError(f"seed: {seed}, for {count} avatars; choose 0 to {LARGEST_SEED - count}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the networks are sampled.

    Args:
        steps: Denoising steps of the base model.
        sampler: Of the base model: dpm++ and ddim are deterministic, ancestral is the paper's, with about 100 steps;
            None is the model's own.
        guidance_scale: Above 0; how strongly the base model follows the latent, 1 = as trained (Rodin, Sec. 3.2).
        prior_guidance_scale: Above 0; how strongly the latent that is drawn for a text follows it, 1 = as trained.
        temperature: Above 0; length of the base model's first noise, 1 = as trained; less is calmer and less various.
        upsampling_steps: Denoising steps of the upsampler.
        candidates: Latents that the prior draws for a text, of which the best match is taken.
        emphasis: At least 0; how much further the latent of a prompt goes towards its sex, age and beard, which the
            base model draws fainter than the latent has them; 0 = as the prior draws it.
    """

    steps: int = 10
    sampler: Sampler | None = None
    guidance_scale: float = 1.3
    prior_guidance_scale: float = 4.0
    temperature: float = 0.6
    upsampling_steps: int = 3
    candidates: int = 4
    emphasis: float = 0.5

    def check(self) -> None:
        """Refuse numbers out of range. Not when it is made: a command line's parser would bury the line.

        Raises:
            UserError: names the first of them.
        """
        for name in ("steps", "upsampling_steps", "candidates"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)}; choose 1 or more")
        for name in ("guidance_scale", "prior_guidance_scale", "temperature"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name}: {getattr(self, name)}; choose a number above 0 (1 = as trained)")
        if not (math.isfinite(self.emphasis) and self.emphasis >= 0):
            raise UserError(f"emphasis: {self.emphasis}; choose 0 (none) or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """How an avatar was drawn: with its latent and its noise, all that the model needs to draw it again.

    Args:
        seed: of all that is random but the base model's first noise, which the avatar keeps.
        prompt: the words that it was drawn for; "" = none.
        literal: they were read as they stand, and not understood; see `RodinPipeline`.
        sampling: of the networks; a portrait's `refine` has its own sampler. The noise that the avatar keeps has the
            temperature already.
        refine: steps of render-guided inversion towards a portrait, whose findings the planes alone hold.
    """

    seed: int
    prompt: str = ""
    literal: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    refine: int = 0
