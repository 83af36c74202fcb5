"""The figures of docs/concepts that the model draws, as pictures of docs/images/concepts:

    python scripts/concepts.py [NAME ...] [--model MODEL] [--out FOLDER]

denoising, guidance, prior, upsampler, refiner and planes. Without a model folder the model that comes with the package
draws.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the commands do


from named_pictures import draw_named
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.avatars.contact_sheet import captioned
from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.avatars.step import Step
from rodin.camera import camera_at
from rodin.images import write_picture
from rodin.triplane import resize

PROMPT = "an elderly woman with tan skin, white hair in a bun, black square glasses, wearing a purple sweater"
SEED = 0
SIDE = 384  # pixels of a view before it is made smaller
AZIMUTH, ELEVATION = 25.0, 4.0


def view(avatar: Avatar, azimuth: float = AZIMUTH, *, refine: bool = False) -> Tensor:
    """A picture [S, S, 4] of an avatar, a little from the side."""
    return avatar.render(camera_at(azimuth, ELEVATION, size=SIDE), refine=refine)


def drawn(pipe: RodinPipeline) -> tuple[Avatar, list[Tensor]]:
    """The avatar, and [1, 3, C, h, w] the base model's x_0 after each of its steps."""
    seen: list[Tensor] = []

    def note(step: Step) -> None:
        if step.clean is not None:
            seen.append(step.clean.clone())

    return pipe(PROMPT, seed=SEED, callback_on_step_end=note)[0], seen


def denoising(pipe: RodinPipeline) -> Tensor:
    """Renders of x_0 as the base model takes it to be, after some of its steps."""
    avatar, seen = drawn(pipe)
    last = len(seen) - 1
    cards = []
    for step in [*range(0, last, 2), last]:
        planes = pipe.base_statistics.denormalize(seen[step])[0].cpu()
        cards.append(([view(dataclasses.replace(avatar, planes=planes))], f"after step {step + 1}"))
    return captioned(cards, 168, columns=len(cards))


def guidance(pipe: RodinPipeline) -> Tensor:
    """One latent and one noise under several strengths of guidance."""
    cards = []
    for scale in (1.0, 1.3, 2.0, 4.0, 8.0):
        (avatar,) = pipe(PROMPT, seed=SEED, sampling=Sampling(guidance_scale=scale))
        cards.append(([view(avatar)], f"guidance {scale:g}"))
    return captioned(cards, 168, columns=len(cards))


def prior(pipe: RodinPipeline) -> Tensor:
    """Six seeds of one sentence, and six of nothing."""
    cards = []
    for prompt in ("a man with a black beard", None):
        avatars = pipe(prompt, seed=SEED, count=6)
        cards.append(
            ([view(avatar) for avatar in avatars], f"“{prompt}”, six seeds" if prompt else "nothing, six seeds")
        )
    return captioned(cards, 150, columns=1)


def upsampler(pipe: RodinPipeline) -> Tensor:
    """Small planes enlarged by interpolation, and by the upsampler."""
    avatar, small = drawn(pipe)
    planes = pipe.base_statistics.denormalize(small[-1])[0].cpu()
    side = avatar.planes.shape[-1]
    plain = dataclasses.replace(avatar, planes=resize(planes, side, side))
    pairs = ((plain, f"{planes.shape[-1]} texels a side, interpolated"), (avatar, f"{side} texels, upsampled"))
    return captioned([([view(one, a) for a in (0.0, 60.0)], words) for one, words in pairs], 240, columns=2)


def refiner(pipe: RodinPipeline) -> Tensor:
    """A render, and a refined one of the same size."""
    (avatar,) = pipe(PROMPT, seed=SEED)
    cards = [
        ([view(avatar, a, refine=fine) for a in (0.0, 60.0)], words)
        for fine, words in ((False, "rendered"), (True, "rendered smaller, then refined"))
    ]
    return captioned(cards, 240, columns=2)


def planes(pipe: RodinPipeline) -> Tensor:
    """The three planes of an avatar in false colours."""
    (avatar,) = pipe(PROMPT, seed=SEED)
    return avatar.plane_picture()


FIGURES: dict[str, Callable[[RodinPipeline], Tensor]] = {
    "denoising": denoising,
    "guidance": guidance,
    "prior": prior,
    "upsampler": upsampler,
    "refiner": refiner,
    "planes": planes,
}


if __name__ == "__main__":
    draw_named(__doc__, FIGURES, Path("docs/images/concepts"), ".webp", write_picture)
