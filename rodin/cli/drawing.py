"""What the commands do with a finished model: draw avatars and change them.

Where they take a model's folder, None is the model that comes with the package.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.contact_sheet import contact_sheet, strip
from rodin.avatars.drawing import LARGEST_SEED, Sampling
from rodin.avatars.pipeline import FRONTAL_POSE, RodinPipeline
from rodin.avatars.portrait import Portrait, read_portrait
from rodin.avatars.step import Callback, Step
from rodin.avatars.video import write_video
from rodin.cli.early import check_folder
from rodin.cli.gallery import (
    FRAMES_PER_SECOND,
    PICTURE_SIZE,
    beside,
    first_number,
    how_read,
    name_of,
    write_avatar,
    write_overview,
)
from rodin.cli.prompt_file import draw_prompts, read_prompt_file
from rodin.errors import UserError, named
from rodin.images import parse_colour, write_picture
from rodin.materials import MATERIALS
from rodin.waiting import waiting

TEXTURE_SIZE = 1024  # pixels, where a format has no colours without a texture and no size is given
TEXTURED_FACES = 20_000  # of a mesh with a texture, where no number is given
DOUBTFUL_MARGIN = 0.1  # of a pose that was searched


def generate(
    *,
    out: Path,
    model_folder: Path | None,
    text: str | None,
    image: Path | None,
    seed: int | None,
    count: int,
    sampling: Sampling,
    refine: int,
    pose: tuple[float, float] | None,
    literal: bool,
    sentences: bool,
    prompts: Path | None,
    overwrite: bool,
) -> None:
    """Draw avatars from words, a portrait or nothing, and write each as file, picture, mesh and turntable.

    Args:
        seed: None chooses one, and says which.
        prompts: a file with a prompt a line, instead of words.
        pose: azimuth and elevation in degrees from where the portrait was taken; None searches them.
    """
    check_folder(out)
    if not refine and pose is None:
        raise UserError("--search-pose: the pose is used by --refine alone; give steps such as --refine 50")
    if not refine and pose != FRONTAL_POSE:
        raise UserError("--azimuth, --elevation: they are used by --refine alone; give steps such as --refine 50")
    if prompts is not None and (text is not None or image is not None):
        raise UserError("--prompts: the file has the words; leave out --text and --image")
    if prompts is not None and refine:
        raise UserError("--prompts: words have no portrait to refine towards; leave out --refine")
    if prompts is not None:
        read_prompt_file(prompts)  # what is wrong with it is said before a model is read
    if seed is None:
        seed = secrets.randbelow(LARGEST_SEED // 2)
        print(f"seed: {seed}", flush=True)
    portrait = None if image is None else read_portrait(image)
    if portrait is not None:
        print(f"{image}: {portrait.how}")
    pipe = RodinPipeline.from_pretrained(model_folder, sentences=sentences)
    _say_what_is_read(pipe, text, range(seed, seed + count), literal=literal)
    if prompts is not None:
        draw_prompts(
            pipe,
            prompts,
            out,
            count=count,
            seed=seed,
            sampling=sampling,
            literal=literal,
            overwrite=overwrite,
        )
        return
    if pose is None:
        pose = _found_pose(pipe, portrait, seed)
    with _sampling() as advance:
        avatars = pipe(
            text,
            portrait,
            count=count,
            seed=seed,
            sampling=sampling,
            refine=refine,
            pose=pose,
            literal=literal,
            callback_on_step_end=advance,
        )
    shown: dict[str, Any] = {} if portrait is None else {"image": str(image), "pose": list(pose)}
    facts = [{**how_read(pipe, avatar.drawing), **shown} for avatar in avatars]
    write_avatars(avatars, out, None if portrait is None else portrait.pixels, overwrite=overwrite, facts=facts)


def _say_what_is_read(pipe: RodinPipeline, text: str | None, seeds: Sequence[int], *, literal: bool = False) -> None:
    """Say what was understood of a prompt, what is drawn beside it for each seed, and what was not read."""
    if text is None:
        return
    if pipe.understands and not literal:
        drawn = [pipe.understand(text, seed) for seed in seeds]
        if len(drawn) == 1:
            print(drawn[0].line())
            return
        print(drawn[0].understanding.line())
        for seed, one in zip(seeds, drawn, strict=True):
            print(f"seed {seed}, drawn: {one.drawn_line()}")
    elif pipe.words is not None and (unknown := pipe.words.unknown_words(text)):
        print(f"words that no caption has: {', '.join(unknown)} ({'translated' if pipe.sentences else 'not read'})")


def _found_pose(pipe: RodinPipeline, portrait: Portrait | None, seed: int) -> tuple[float, float]:
    """Where the portrait was taken from, in degrees, by a search that is reported."""
    if portrait is None:
        raise UserError("--search-pose: there is no portrait whose pose could be searched; give --image")
    with waiting("searching the pose"):
        azimuth, elevation, margin = pipe.search_pose(portrait, seed)
    doubt = "; another side fits nearly as well" if margin < DOUBTFUL_MARGIN else ""
    print(f"pose found: azimuth {azimuth:.0f}, elevation {elevation:.0f} degrees (margin {margin:.2f}{doubt})")
    return azimuth, elevation


def edit(
    avatar: Path,
    text: str,
    out: Path,
    *,
    model_folder: Path | None,
    source_text: str | None,
    strength: float | None,
    sentences: bool,
) -> None:
    """Change an avatar by words; before-after.png shows both."""
    check_folder(out)
    before = Avatar.load(avatar)
    pipe = RodinPipeline.from_pretrained(model_folder, sentences=sentences)
    for words in filter(None, (text, source_text)):
        if pipe.understands:
            print(pipe.understand(words).understanding.line())
        else:
            _say_what_is_read(pipe, words, ())
    with _sampling() as advance:
        after = pipe.edit(before, text, source_prompt=source_text, strength=strength, callback_on_step_end=advance)
    first = write_avatars([after], out, facts=[{"edit": text, "edited": str(avatar)}])
    write_picture(beside(out, "before-after.png", first), contact_sheet([before, after], columns=1))


def recolour(avatar: Path, colours: Mapping[str, str], out: Path) -> None:
    """The avatar with other colours of some materials, as a file, and a picture of it beside.

    Args:
        colours: CSS colours by the names of materials.
    """
    if not colours:
        raise UserError(f'no colour is given; name a material, such as --hair "#a03020", of {_flags(MATERIALS)}')
    if not out.name.endswith(SUFFIX):
        raise UserError(f"--out: {out} does not end in {SUFFIX}; change it")
    parsed = {}
    for name, colour in colours.items():
        with named(_flags([name])):
            parsed[name] = parse_colour(colour)
    loaded = Avatar.load(avatar)
    with named(avatar):
        changed = loaded.recoloured(parsed)
    changed.save(out)
    write_picture(out.with_name(out.name.removesuffix(SUFFIX) + ".png"), changed.portrait(PICTURE_SIZE))
    print(out)


def _flags(names: Sequence[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


def vary(avatar: Path, out: Path, *, model_folder: Path | None, count: int, seed: int) -> None:
    """Avatars of the same latent and new noise, sampled as the first was."""
    check_folder(out)
    loaded = Avatar.load(avatar)
    pipe = RodinPipeline.from_pretrained(model_folder)
    with _sampling() as advance:
        avatars = pipe(
            vary=loaded, count=count, seed=seed, sampling=loaded.drawing.sampling, callback_on_step_end=advance
        )
    write_avatars(avatars, out)


def interpolate(first: Path, last: Path, out: Path, *, model_folder: Path | None, steps: int) -> None:
    """Avatars on the way between two, as a strip and a video, and each as a file."""
    check_folder(out)
    ends = Avatar.load(first), Avatar.load(last)
    pipe = RodinPipeline.from_pretrained(model_folder)
    with _sampling() as advance:
        avatars = pipe.interpolate(*ends, steps, callback_on_step_end=advance)
    frames = []
    start = first_number(out, overwrite=False)
    for number, avatar in enumerate(tqdm(avatars, desc="writing", unit="avatar"), start):
        avatar.save(out / f"{name_of(number)}{SUFFIX}")
        frames.append(avatar.portrait(PICTURE_SIZE))
    write_picture(beside(out, "strip.png", start), strip(frames, PICTURE_SIZE))
    there_and_back = frames + frames[-2:0:-1]
    write_video(beside(out, "interpolation.gif", start), torch.stack(there_and_back), FRAMES_PER_SECOND)
    print(f"{len(avatars)} avatars, strip.png and interpolation.gif in {out}")


# ---- writing


def write_avatars(
    avatars: list[Avatar],
    out: Path,
    portrait: Tensor | None = None,
    *,
    overwrite: bool = False,
    facts: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Each avatar as file, picture, turntable, mesh and JSON; overview.png shows all, after the portrait if there is
    one.

    Args:
        overwrite: begin with number 0, whatever is there; else numbers go on.
        facts: what else the JSON of each says.

    Returns:
        the first one's number.

    Raises:
        UserError: nothing can be written there; or, when all else is written, an avatar has no surface.
    """
    first = first_number(out, overwrite)
    bar = tqdm(avatars, desc="writing", unit="avatar")
    said = facts or [{}] * len(avatars)
    problems = [write_avatar(avatar, out, first + k, said[k]) for k, avatar in enumerate(bar)]
    write_overview(avatars, out, first, portrait)
    without_mesh = [problem for problem in problems if problem]
    if without_mesh:
        raise UserError(f"{out}: all is written but the meshes of {', '.join(without_mesh)}; train longer, or export")
    names = name_of(first) if len(avatars) == 1 else f"{name_of(first)} to {name_of(first + len(avatars) - 1)}"
    print(f"{len(avatars)} avatar{'s' * (len(avatars) != 1)} in {out}" + f": {names}" * bool(first))
    return first


@contextmanager
def _sampling() -> Iterator[Callback]:
    """A progress bar, and what advances it at every step."""
    with tqdm(desc="sampling", unit="step", delay=0.5) as bar:  # none where the arguments are refused

        def advance(_step: Step) -> None:
            bar.update()

        yield advance
