"""What the model draws, as pictures of docs/images: text.png, inversion.png, edit.png and interpolation.png.

    python scripts/pictures.py [NAME ...] [--model MODEL] [--out FOLDER]

Without a model folder the model that comes with the package draws. Each avatar is what `rodin generate`, `rodin edit`
and `rodin interpolate` draw for the same words and seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the commands do

import torch
from named_pictures import draw_named
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.avatars.contact_sheet import captioned
from rodin.avatars.pipeline import RodinPipeline
from rodin.avatars.portrait import read_portrait
from rodin.camera import orbit
from rodin.files import atomic_path

AROUND = (0.0, 50.0, 90.0, 180.0)  # degrees
ELEVATION = 4.0
RENDERED, BORDER = 512, 28  # pixels of a view before it is made smaller, and of its empty border
PROMPTS = (  # and their seeds
    ("a young woman with long wavy red hair, pale skin, freckles, wearing a green turtleneck, smiling", 0),
    ("an elderly man with a bald head, light skin, a white full beard, wearing a blue collared shirt", 0),
    ("a young man with dark skin, a black afro, gold round glasses, wearing an orange hoodie, grinning broadly", 0),
    ("an elderly woman with tan skin, white hair in a bun, black square glasses, wearing a purple sweater", 0),
    ("a boy with light skin, short blond hair, big ears, wearing a red T-shirt, looking surprised", 0),
    ("a girl with brown skin, black hair in two braids, wearing a yellow T-shirt, smiling", 0),
    ("a young woman with pale skin, a pink-dyed bob with a fringe, black sunglasses, wearing a grey hoodie", 0),
    ("a young man with tan skin, a green-dyed mohawk, a moustache, wearing a black T-shirt, frowning", 0),
    ("an elderly man with brown skin, a grey chin beard, wearing a white collared shirt and a brown fedora", 0),
    ("a young woman with dark skin, a black buzz cut, earrings, wearing a pink V-neck sweater", 0),
)
PORTRAIT = Path("examples/portrait.webp")
REFINE = 50
EDITED = PROMPTS[3]
EDITS = ("with red hair", "with sunglasses", "wearing a yellow hoodie", "with dark skin")
STRENGTH = 1.0
ENDS = (PROMPTS[0], PROMPTS[2])
STEPS = 7


def views(avatar: Avatar, azimuths: tuple[float, ...]) -> list[Tensor]:
    """Refined views [S, S, 4] of an avatar."""
    camera = orbit(list(azimuths), [ELEVATION] * len(azimuths), size=RENDERED)
    return list(avatar.render(camera, refine=True)[:, BORDER:-BORDER, BORDER:-BORDER])


def text(pipe: RodinPipeline) -> Tensor:
    """Ten sentences and their avatars."""
    cards = [(views(pipe(prompt, seed=seed)[0], AROUND), prompt) for prompt, seed in PROMPTS]
    return captioned(cards, 176, columns=2)


def inversion(pipe: RodinPipeline) -> Tensor:
    """A held-out render and a photograph, each beside what the encoder makes of it, and beside its inversion."""
    photo = torch.from_numpy(astronaut().copy()).float() / 255
    cards = []
    for portrait in (read_portrait(PORTRAIT), read_portrait(photo)):
        for refine, caption in ((0, "what the encoder alone makes of it"), (REFINE, "moved towards it")):
            avatar = pipe(image=portrait, refine=refine)[0]
            cards.append(([portrait.pixels, *views(avatar, AROUND)], caption))
    return captioned(cards, 144, columns=2)


def edit(pipe: RodinPipeline) -> Tensor:
    """An avatar, and what words make of it."""
    prompt, seed = EDITED
    first = pipe(prompt, seed=seed)[0]
    avatars = [(first, prompt), *((pipe.edit(first, words, strength=STRENGTH), words) for words in EDITS)]
    return captioned([(views(avatar, (0.0, 50.0)), words) for avatar, words in avatars], 136, columns=len(avatars))


def interpolation(pipe: RodinPipeline) -> Tensor:
    """The way between two avatars, from the front and from the side."""
    first, last = (pipe(prompt, seed=seed)[0] for prompt, seed in ENDS)
    between = [views(avatar, (0.0, 50.0)) for avatar in pipe.interpolate(first, last, STEPS)]
    captions = (f"from “{ENDS[0][0]}” to “{ENDS[1][0]}”", "the same, turned")
    cards = [([pair[side] for pair in between], caption) for side, caption in enumerate(captions)]
    return captioned(cards, 200, columns=1)


PICTURES: dict[str, Callable[[RodinPipeline], Tensor]] = {
    "text": text,
    "inversion": inversion,
    "edit": edit,
    "interpolation": interpolation,
}


def write_small(path: Path, picture: Tensor) -> None:
    """A PNG of 256 colours: a third of the bytes, for a picture that is kept with the code."""
    pixels = (picture * 255).round().to(torch.uint8).numpy()
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).quantize(256).save(temporary, optimize=True)


if __name__ == "__main__":
    draw_named(__doc__, PICTURES, Path("docs/images"), ".png", write_small)
