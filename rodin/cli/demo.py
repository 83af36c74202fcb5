"""What a model can do, on one page: an avatar from words, an edit of it, one from a portrait, one from nothing."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rodin import framing
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.html_file import write_html
from rodin.avatars.mesh import BUST_HEIGHT, standing
from rodin.avatars.mesh_files import write_mesh
from rodin.avatars.pipeline import RodinPipeline
from rodin.avatars.portrait import Portrait, read_portrait
from rodin.avatars.video import write_video
from rodin.camera import orbit
from rodin.cli.demo_page import Entry, Figure, page
from rodin.cli.early import check_folder
from rodin.cli.gallery import FRAMES_PER_SECOND
from rodin.errors import UserError
from rodin.files import write_text
from rodin.images import write_picture

REFINED_SIZE = 512
VIEW_SIZE = 256
VIEWS = {"front": 0.0, "side": 90.0, "back": 180.0}  # degrees
TURNTABLE_SIZE, TURNTABLE_FRAMES = 256, 30
REFINE = 40  # steps towards the portrait


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """An avatar, the name that its files begin with, and what the page says of it.

    Args:
        caption: of its large picture.
        beside: a picture to compare that with.
    """

    name: str
    avatar: Avatar
    kind: str
    title: str
    command: str
    caption: str = "refined, 512 pixels"
    beside: Figure | None = None


def demo(out: Path, *, model_folder: Path | None, text: str, edit: str, image: Path | None, seed: int) -> None:
    """Draw the avatars, and write their files and index.html to `out`.

    Args:
        model_folder: None takes the model that comes with the package.
        text: words for the first avatar.
        edit: words that change it.
        image: a portrait; without one the page has none.

    Raises:
        UserError: the portrait, the words or the model cannot be used, or an avatar has no surface.
    """
    check_folder(out)
    portrait = None if image is None else read_portrait(image)
    began = time.perf_counter()
    pipe = RodinPipeline.from_pretrained(model_folder)
    model = "" if model_folder is None else f" --model {shlex.quote(str(model_folder))}"
    entries = []
    asked = time.perf_counter()
    for drawn in _draw(pipe, out, text, edit, portrait=portrait, seed=seed, flags=f"{model} --out drawn", image=image):
        seconds = time.perf_counter() - asked
        print(f"{drawn.kind}: {drawn.title} ({seconds:.1f} s)", flush=True)
        entries.append(_write(drawn, out, seconds))
        asked = time.perf_counter()
    seconds = time.perf_counter() - began
    whose = "the model that comes with the package" if model_folder is None else f"the model in {model_folder}"
    summary = f"{len(entries)} avatars by {whose}, drawn, rendered and written in {seconds:.0f} seconds."
    write_text(out / "index.html", page("Rodin", summary, entries))
    print(f"{out / 'index.html'} ({seconds:.0f} s)")


def _draw(
    pipe: RodinPipeline,
    out: Path,
    text: str,
    edit: str,
    portrait: Portrait | None,
    seed: int,
    flags: str,
    image: Path | None,
) -> Iterator[Drawn]:
    """One after another, each by what its command does."""
    generate = f"rodin generate --seed {seed}"
    first = pipe(text, seed=seed)[0]
    yield Drawn(
        name="text",
        avatar=first,
        kind="From words",
        title=f"“{text}”",
        command=f"{generate} --text {shlex.quote(text)}{flags}",
    )
    yield Drawn(
        name="edit",
        avatar=pipe.edit(first, edit),
        kind="An edit by words",
        title=f"“… {edit}”",
        command=f"rodin edit text{SUFFIX} --text {shlex.quote(edit)}{flags}",
        caption="after",
        beside=Figure(file="text-refined.png", caption="before"),
    )
    if portrait is not None and image is not None:
        write_picture(out / "portrait-given.png", portrait.pixels)
        yield Drawn(
            name="portrait",
            avatar=pipe(image=portrait, refine=REFINE, seed=seed)[0],
            kind="From a portrait",
            title=image.name,
            command=f"{generate} --image {shlex.quote(str(image))} --refine {REFINE}{flags}",
            caption="the avatar",
            beside=Figure(file="portrait-given.png", caption="the portrait"),
        )
    yield Drawn(
        name="nothing",
        avatar=pipe(seed=seed)[0],
        kind="From nothing",
        title=f"seed {seed}",
        command=f"{generate}{flags}",
    )


def _write(drawn: Drawn, out: Path, seconds: float) -> Entry:
    """All files of an avatar, and its place on the page."""
    avatar, name = drawn.avatar, drawn.name
    avatar.save(out / f"{name}{SUFFIX}")
    try:
        write_mesh(out / f"{name}.glb", standing(avatar.mesh(), BUST_HEIGHT))
    except UserError as error:
        raise UserError(f"{drawn.kind}, {drawn.title!r}: no mesh ({error}); train the model longer") from error
    write_picture(out / f"{name}-refined.png", avatar.portrait(REFINED_SIZE, refine=True))
    views = avatar.render(orbit(list(VIEWS.values()), [framing.ELEVATION_DEG] * len(VIEWS), size=VIEW_SIZE))
    for view, pixels in zip(VIEWS, views, strict=True):
        write_picture(out / f"{name}-{view}.png", pixels)
    write_html(out / f"{name}.html", avatar, drawn.title)
    write_video(out / f"{name}-turntable.gif", avatar.turntable(TURNTABLE_FRAMES, TURNTABLE_SIZE), FRAMES_PER_SECOND)
    refined = Figure(file=f"{name}-refined.png", caption=drawn.caption)
    return Entry(
        kind=drawn.kind,
        title=drawn.title,
        large=[refined] if drawn.beside is None else [drawn.beside, refined],
        viewer=f"{name}.html",
        recolours=avatar.palette is not None,
        small=[Figure(file=f"{name}-{view}.png", caption=view) for view in VIEWS],
        files=[
            ("page (HTML)", f"{name}.html"),
            ("mesh (GLB)", f"{name}.glb"),
            ("avatar", f"{name}{SUFFIX}"),
            ("turntable (GIF)", f"{name}-turntable.gif"),
            ("picture", f"{name}-refined.png"),
        ],
        command=drawn.command,
        note=f"Drawn in {seconds:.1f} seconds.",
    )
