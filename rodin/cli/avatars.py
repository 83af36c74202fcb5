"""The commands that draw avatars, change them and take them away, a function each; `rodin.cli.main` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rodin import framing
from rodin.avatars.avatar_file import check_is_there
from rodin.avatars.drawing import Sampling, check_count
from rodin.cli.colours import Colours
from rodin.cli.early import check_drawing
from rodin.errors import UserError
from rodin.lock import locked

AvatarFile = Annotated[Path, tyro.conf.Positional]
DEFAULT_SAMPLING = Sampling()
KEPT_COLOURS = Colours()
RENDERED_SIZE = 256
DATASET_VIEWS = 100
MESH_RESOLUTION = 128
MESH_THRESHOLD = 8.0
MESH_HEIGHT = 0.3  # metres


def generate(
    out: Path,
    model: Path | None = None,
    text: str | None = None,
    image: Path | None = None,
    seed: int | Literal["random"] = 0,
    count: int = 1,
    prompts: Path | None = None,
    overwrite: bool = False,
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = DEFAULT_SAMPLING,
    refine: int = 0,
    azimuth: float = framing.AZIMUTH_DEG,
    elevation: float = framing.ELEVATION_DEG,
    search_pose: bool = False,
    literal: bool = False,
    sentences: bool = False,
) -> None:
    """Draw avatars from a sentence, a portrait or nothing.

    Writes avatar-000.rodin.safetensors, avatar-000.png, avatar-000.glb, avatar-000-turntable.gif and avatar-000.json
    (how it was drawn) for each, and overview.png, which shows them all from three sides. Where the folder has avatars,
    numbers go on.

    Args:
        out: Folder for the avatars.
        model: Model folder; by default the model that comes with Rodin.
        text: A description in English, such as "an old man with a white beard".
        image: Portrait to follow: a photograph or a cut-out on transparency in which a face looks at the camera,
            whichever way up and however framed; a line says what was made of it. HEIC needs: pip install
            'rodin-avatars[heic]'.
        seed: Avatar k is drawn with seed + k; random chooses a seed and prints it.
        count: Number of avatars; with --prompts, of each prompt.
        prompts: Text file with a prompt a line, instead of --text; lines that begin with # are skipped. The same
            command goes on where it was stopped, and draws what has been added.
        overwrite: Begin with avatar-000, whatever the folder has.
        sampling: How the networks are sampled.
        refine: Steps of refinement towards the portrait, such as 50. With 0 the encoder alone decides.
        azimuth: With --refine: where the portrait was taken from, in degrees; 0 is the front, positive their left.
        elevation: With --refine: degrees above the horizon.
        search_pose: With --refine: estimate azimuth and elevation.
        literal: Give the model the words as they stand. Otherwise they are understood ("no glasses" too), and what
            they leave open is drawn by the seed; a line says both.
        sentences: Translate words that the model does not know, with a sentence encoder. Needs: pip install
            'rodin-avatars[words]'.
    """
    sampling.check()
    check_count(count, 0 if seed == "random" else seed)
    check_drawing(out, model)
    from rodin.cli import drawing

    with locked(out):
        drawing.generate(
            out=out,
            model_folder=model,
            text=text,
            image=image,
            seed=None if seed == "random" else seed,
            count=count,
            prompts=prompts,
            overwrite=overwrite,
            sampling=sampling,
            refine=refine,
            pose=None if search_pose else (azimuth, elevation),
            literal=literal,
            sentences=sentences,
        )


def edit(
    avatar: AvatarFile,
    text: str,
    out: Path,
    model: Path | None = None,
    source_text: str | None = None,
    strength: float | None = None,
    sentences: bool = False,
) -> None:
    """Change an avatar by words. What they do not name stays. before-after.png shows both.

    Args:
        avatar: Avatar file (.rodin.safetensors), as rodin generate writes it.
        text: What the avatar should have or lose, such as "red hair and glasses" or "no beard".
        out: Folder for the changed avatar.
        model: Model folder that drew the avatar; by default the model that comes with Rodin.
        source_text: What it has now, such as "a man with glasses". What text does not name again of that goes.
        strength: How far to go. 0 changes nothing; more than the default exaggerates. Left out: 1 where the words are
            colours alone, such as "red hair", of an avatar with materials, which change nothing else; 1.25 else.
        sentences: Translate words that the model does not know, with a sentence encoder. Needs: pip install
            'rodin-avatars[words]'.
    """
    check_drawing(out, model, avatar)
    from rodin.cli import drawing

    with locked(out):
        drawing.edit(
            avatar, text, out, model_folder=model, source_text=source_text, strength=strength, sentences=sentences
        )


def recolour(avatar: AvatarFile, out: Path, colours: tyro.conf.OmitArgPrefixes[Colours] = KEPT_COLOURS) -> None:
    """Give materials of an avatar other colours, such as: --hair "#a03020" --top navy

    Shade and light stay: a colour is what the material shows on average, lit as the avatar is. Pixels that show other
    materials stay too. No model is needed. A picture of the new avatar is written beside it.

    Args:
        avatar: Avatar file (.rodin.safetensors) that has materials.
        out: Avatar file to write (.rodin.safetensors).
        colours: What materials become: a CSS name such as navy, or #rgb, or #rrggbb. Those not named stay.
    """
    check_is_there(avatar)
    from rodin.cli import drawing

    drawing.recolour(avatar, {name: colour for name, colour in asdict(colours).items() if colour is not None}, out)


def vary(avatar: AvatarFile, out: Path, model: Path | None = None, count: int = 4, seed: int = 1) -> None:
    """Draw variations of an avatar: the same latent, new noise.

    Args:
        avatar: Avatar file (.rodin.safetensors), as rodin generate writes it.
        out: Folder for the avatars.
        model: Model folder that drew the avatar; by default the model that comes with Rodin.
        count: Number of avatars.
        seed: Avatar k is drawn with seed + k.
    """
    check_count(count, seed)
    check_drawing(out, model, avatar)
    from rodin.cli import drawing

    with locked(out):
        drawing.vary(avatar, out, model_folder=model, count=count, seed=seed)


def interpolate(first: AvatarFile, last: AvatarFile, out: Path, model: Path | None = None, steps: int = 8) -> None:
    """Draw the avatars between two others: files, a strip and a video.

    Args:
        first: Avatar file (.rodin.safetensors).
        last: Another, drawn by the same model.
        out: Folder for the avatars.
        model: Model folder that drew them; by default the model that comes with Rodin.
        steps: Number of avatars, including both ends.
    """
    check_drawing(out, model, first, last)
    from rodin.cli import drawing

    with locked(out):
        drawing.interpolate(first, last, out, model_folder=model, steps=steps)


def render(
    avatar: AvatarFile,
    out: Path | None = None,
    size: int = RENDERED_SIZE,
    azimuth: float = framing.AZIMUTH_DEG,
    elevation: float = framing.ELEVATION_DEG,
    turntable: int = 0,
    sheet: int = 0,
    background: str | None = None,
    refine: bool = False,
    materials: bool = False,
    planes: bool = False,
    dataset: Path | None = None,
    views: int = DATASET_VIEWS,
) -> None:
    """Render a picture of an avatar, a turntable, a contact sheet, a map of its materials, a picture of its tri-planes,
    or a data set for other radiance fields.

    Args:
        avatar: Avatar file (.rodin.safetensors), as rodin generate writes it.
        out: Picture to write (.png or .webp); for a turntable .gif, .webp or .mp4.
        size: Edge of a view in pixels.
        azimuth: In degrees; 0 is the front, positive the avatar's left. Turntables and sheets begin there.
        elevation: Degrees above the horizon.
        turntable: Number of views around the avatar, as a video; 0 renders one picture.
        sheet: Number of views around the avatar, side by side in one picture.
        background: transparent, or a colour: a CSS name such as navy, or #rrggbb. By default pictures are transparent,
            and turntables and maps of materials lie on white. An MP4 cannot be transparent; a GIF's pixels are there
            or not.
        refine: Render smaller and let the refiner enlarge it. Sharper, but views agree less with each other.
        materials: Show what the avatar is made of, each material in a colour of its own.
        planes: Show the three feature planes side by side, in false colours, instead of the avatar.
        dataset: New folder to write, in place of --out: views from all around with their cameras, as NeRF-synthetic
            has them (transforms_train.json, transforms_val.json, transforms_test.json).
        views: With --dataset: training views. The other two splits have a fifth as many each.
    """
    check_is_there(avatar)
    from rodin.cli import rendering

    given = {
        "--out": out is not None,
        "--size": size != RENDERED_SIZE,
        "--azimuth": azimuth != framing.AZIMUTH_DEG,
        "--elevation": elevation != framing.ELEVATION_DEG,
        "--turntable": turntable != 0,
        "--sheet": sheet != 0,
        "--background": background is not None,
        "--refine": refine,
        "--materials": materials,
        "--planes": planes,
        "--views": views != DATASET_VIEWS,
    }
    if dataset is not None:
        others = [flag for flag, there in given.items() if there and flag not in ("--size", "--views")]
        rendering.write_dataset(avatar, dataset, size=size, views=views, others=others)
        return
    if out is None:
        raise UserError("--out: nothing says where to write; give a picture such as --out a.png, or --dataset FOLDER")
    if planes:
        others = [flag for flag, there in given.items() if there and flag not in ("--out", "--planes")]
        rendering.show_planes(avatar, out, others=others)
        return
    if given["--views"]:
        raise UserError(f"--views: {views}; it is used by --dataset alone; choose --turntable or --sheet")
    rendering.render(
        avatar,
        out,
        size=size,
        pose=(azimuth, elevation),
        turntable=turntable,
        sheet=sheet,
        background=background,
        refine=refine,
        materials=materials,
    )


def export(
    avatar: AvatarFile,
    out: Path | None = None,
    format: Literal["glb", "usdz", "obj", "ply", "stl", "html", "gaussians"] | None = None,
    resolution: int = MESH_RESOLUTION,
    threshold: float = MESH_THRESHOLD,
    faces: int | None = None,
    height: float = MESH_HEIGHT,
    texture: int | None = None,
    lit: bool = False,
) -> None:
    """Write an avatar's surface as a mesh (one closed body, +y up, in metres, the neck at the origin), or the avatar as
    an HTML page or as Gaussians.

    The page is one file that turns in any browser, without a server or a network. Of an avatar with materials it has a
    colour wheel for hair, skin, clothes and so on.

    With --format gaussians it is a PLY of 3D Gaussians, for viewers of Gaussian splatting: soft as the avatar is.

    Colours are those of the avatar's pictures, with their light. So that a GLB or USDZ looks like them in any program,
    its materials are unlit (KHR_materials_unlit). With --lit they are matt, and the program's lamps light them as well.

    Vertices have the colours, or with --texture a picture; a USDZ always has one, an STL no colours. Of an avatar with
    materials, the parts of a GLB, USDZ or OBJ are named after them (an OBJ has an .mtl beside it). In a GLB each has a
    base colour, by which hair or clothes are recoloured in any program.

    Args:
        avatar: Avatar file (.rodin.safetensors), as rodin generate writes it.
        out: File to write, .glb, .usdz, .obj, .ply, .stl or .html; by default a .glb beside the avatar.
        format: File format, where --out does not say it. A .ply is a mesh unless this is gaussians.
        resolution: Grid points along each edge of the box.
        threshold: Density at the surface, in 1 / world units.
        faces: Reduce the mesh to this many triangles. It stays closed.
        height: Height of the bust in metres. For a slicer, which reads millimetres: 300
        texture: Bake the colours into a picture of this many pixels a side, such as 1024, for .glb, .usdz or .obj;
            reduces to 20000 triangles where --faces does not say. A .usdz has 1024 by default. Needs: pip install
            'rodin-avatars[mesh]'.
        lit: Let lamps light a .glb or .usdz, for scenes that have some; light and shade of the colours stay.
    """
    check_is_there(avatar)
    from rodin.cli import exporting

    if format == "html" or (format is None and out is not None and out.suffix.lower() == ".html"):
        others = {
            "--resolution": resolution != MESH_RESOLUTION,
            "--threshold": threshold != MESH_THRESHOLD,
            "--faces": faces is not None,
            "--height": height != MESH_HEIGHT,
            "--texture": texture is not None,
            "--lit": lit,
        }
        exporting.export_page(avatar, out, others=[flag for flag, given in others.items() if given])
        return
    if format == "gaussians":
        others = {
            "--threshold": threshold != MESH_THRESHOLD,
            "--faces": faces is not None,
            "--texture": texture is not None,
            "--lit": lit,
        }
        given_too = [flag for flag, given in others.items() if given]
        exporting.export_gaussians(avatar, out, resolution=resolution, height=height, others=given_too)
        return
    exporting.export(
        avatar,
        format,
        out,
        resolution=resolution,
        threshold=threshold,
        faces=faces,
        height=height,
        texture=texture,
        lit=lit,
    )


def demo(
    out: Path,
    model: Path | None = None,
    text: str = "an elderly woman with tan skin, white hair in a bun, black square glasses, wearing a purple sweater",
    edit: str = "with red hair",
    image: Path | None = None,
    seed: int = 0,
) -> None:
    """Draw avatars from words, an edit, a portrait and nothing, and show them in OUT/index.html.

    Writes an avatar file, a page that turns (.html), a mesh (.glb), a turntable and pictures for each, one picture
    refined.

    Args:
        out: Folder for the page and the avatars.
        model: Model folder; by default the model that comes with Rodin.
        text: Description of the first avatar.
        edit: What the second has instead.
        image: Portrait that the third follows. Without one there is no third.
        seed: Seed of all of them.
    """
    check_drawing(out, model)
    from rodin.cli.demo import demo as draw

    with locked(out):
        draw(out, model_folder=model, text=text, edit=edit, image=image, seed=seed)


def studio(
    model: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    folder: Path | None = None,
    no_browser: bool = False,
) -> None:
    """Open the studio in a browser: describe avatars, change them, take them away. It is an HTTP API too (/docs).

    Needs: pip install 'rodin-avatars[studio]'. See docs/studio.md.

    Args:
        model: Model folder; by default the model that comes with Rodin.
        host: Address to listen at. Any beyond this machine, such as 0.0.0.0, wants a token.
        port: 0 takes a free one.
        token: What people have to show, 16 letters and digits or more. Where one is wanted and not given, it is made
            and printed.
        folder: Where the history is kept; by default ~/.local/share/rodin/studio.
        no_browser: Open no browser.
    """
    import os

    from rodin.errors import UserError

    try:
        from rodin.studio.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette", "uvicorn", "pydantic"):
            raise
        raise UserError(f"studio: {error.name} is not installed; pip install 'rodin-avatars[studio]'") from error
    if folder is None:
        folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rodin" / "studio"
    serve(
        folder,
        model=model,
        host=host,
        port=port,
        token=token,
        browser=not no_browser,
        say=lambda line: print(line, flush=True),
    )


AVATARS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "edit": edit,
    "recolour": recolour,
    "vary": vary,
    "interpolate": interpolate,
    "render": render,
    "export": export,
    "demo": demo,
    "studio": studio,
}
