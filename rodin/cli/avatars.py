"""The commands that draw avatars, change them and take them away, a function each; `rodin.cli.main` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rodin import framing
from rodin.avatars.drawing import Sampling
from rodin.cli.colours import Colours

AvatarFile = Annotated[Path, tyro.conf.Positional]
DEFAULT_SAMPLING = Sampling()
KEPT_COLOURS = Colours()
RENDERED_SIZE = 256
MESH_RESOLUTION = 128
MESH_THRESHOLD = 15.0


def generate(
    out: Path,
    model: Path | None = None,
    text: str | None = None,
    image: Path | None = None,
    seed: int = 0,
    count: int = 1,
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = DEFAULT_SAMPLING,
    refine: int = 0,
    azimuth: float = framing.AZIMUTH_DEG,
    elevation: float = framing.ELEVATION_DEG,
    search_pose: bool = False,
    sentences: bool = False,
) -> None:
    """Draw avatars from a sentence, a portrait or nothing.

    Writes avatar-000.rodin.safetensors, avatar-000.png, avatar-000.glb and avatar-000-turntable.gif for each, and
    overview.png, which shows them all from three sides.

    Args:
        out: Folder for the avatars.
        model: Model folder; by default the model that comes with Rodin.
        text: A description in English, such as "an old man with a white beard".
        image: Portrait to follow: a photograph with a face, or a cut-out of head and shoulders on transparency.
        seed: Avatar k is drawn with seed + k.
        count: Number of avatars.
        sampling: How the networks are sampled.
        refine: Steps of refinement towards the portrait, such as 50. With 0 the encoder alone decides.
        azimuth: With --refine: where the portrait was taken from, in degrees; 0 is the front, positive their left.
        elevation: With --refine: degrees above the horizon.
        search_pose: With --refine: estimate azimuth and elevation.
        sentences: Translate words that the model does not know, with a sentence encoder. Needs: pip install
            'rodin[words]'.
    """
    from rodin.cli import drawing

    drawing.generate(
        out=out,
        model_folder=model,
        text=text,
        image=image,
        seed=seed,
        count=count,
        sampling=sampling,
        refine=refine,
        pose=None if search_pose else (azimuth, elevation),
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
        text: What the avatar should have, such as "with red hair and glasses".
        out: Folder for the changed avatar.
        model: Model folder that drew the avatar; by default the model that comes with Rodin.
        source_text: What it has now, such as "with black hair". Makes the change more precise.
        strength: How far to go. 0 changes nothing; 1 goes all the way, and changes more besides. Left out: 1 where
            the words are colours alone, such as "red hair", which change nothing else; 0.6 for all other words.
        sentences: Translate words that the model does not know, with a sentence encoder. Needs: pip install
            'rodin[words]'.
    """
    from rodin.cli import drawing

    drawing.edit(avatar, text, out, model_folder=model, source_text=source_text, strength=strength, sentences=sentences)


def recolour(avatar: AvatarFile, out: Path, colours: tyro.conf.OmitArgPrefixes[Colours] = KEPT_COLOURS) -> None:
    """Give materials of an avatar other colours, such as: --hair "#a03020" --top navy

    Shade and light stay: a colour is what the material shows on average, lit as the avatar is. Pixels that show other
    materials stay too. No model is needed. A picture of the new avatar is written beside it.

    Args:
        avatar: Avatar file (.rodin.safetensors) that has materials.
        out: Avatar file to write (.rodin.safetensors).
        colours: What materials become: a CSS name such as navy, or #rgb, or #rrggbb. Those not named stay.
    """
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
    from rodin.cli import drawing

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
    from rodin.cli import drawing

    drawing.interpolate(first, last, out, model_folder=model, steps=steps)


def render(
    avatar: AvatarFile,
    out: Path,
    size: int = RENDERED_SIZE,
    azimuth: float = framing.AZIMUTH_DEG,
    elevation: float = framing.ELEVATION_DEG,
    turntable: int = 0,
    refine: bool = False,
    materials: bool = False,
    planes: bool = False,
) -> None:
    """Render a picture of an avatar, a turntable, a map of its materials, or a picture of its tri-planes.

    Args:
        avatar: Avatar file (.rodin.safetensors), as rodin generate writes it.
        out: Picture to write (.png or .webp); for a turntable .gif, .webp or .mp4.
        size: Edge in pixels.
        azimuth: In degrees; 0 is the front, positive the avatar's left.
        elevation: Degrees above the horizon.
        turntable: Number of views around the avatar; 0 renders one picture.
        refine: Render smaller and let the refiner enlarge it. Sharper, but views agree less with each other.
        materials: Show what the avatar is made of, each material in a colour of its own, over white.
        planes: Show the three feature planes side by side, in false colours, instead of the avatar.
    """
    from rodin.cli import drawing

    if planes:
        others = {
            "--size": size != RENDERED_SIZE,
            "--azimuth": azimuth != framing.AZIMUTH_DEG,
            "--elevation": elevation != framing.ELEVATION_DEG,
            "--turntable": turntable != 0,
            "--refine": refine,
            "--materials": materials,
        }
        drawing.show_planes(avatar, out, others=[flag for flag, given in others.items() if given])
        return
    pose = (azimuth, elevation)
    drawing.render(avatar, out, size=size, pose=pose, turntable=turntable, refine=refine, materials=materials)


def export(
    avatar: AvatarFile,
    format: Literal["glb", "obj", "ply", "html"] = "glb",
    out: Path | None = None,
    resolution: int = MESH_RESOLUTION,
    threshold: float = MESH_THRESHOLD,
    faces: int | None = None,
) -> None:
    """Write an avatar's surface as a mesh with vertex colours, or the avatar as an HTML page.

    The page is one file that turns in any browser, without a server or a network. Of an avatar with materials it has a
    colour wheel for hair, skin, clothes and so on.

    Of an avatar with materials, the parts of a GLB or OBJ are named after them (an OBJ has an .mtl beside it). In a GLB
    each has a base colour, by which hair or clothes are recoloured in any program.

    Args:
        avatar: Avatar file (.rodin.safetensors), as rodin generate writes it.
        format: File format; html is also what an --out that ends in .html asks for.
        out: File to write; by default beside the avatar.
        resolution: Grid points along each edge of the box.
        threshold: Density at the surface, in 1 / world units.
        faces: Reduce the mesh to about this many triangles. Needs: pip install 'rodin[mesh]'.
    """
    from rodin.cli import drawing

    if format == "html" or (format == "glb" and out is not None and out.suffix.lower() == ".html"):
        others = {
            "--resolution": resolution != MESH_RESOLUTION,
            "--threshold": threshold != MESH_THRESHOLD,
            "--faces": faces is not None,
        }
        drawing.export_page(avatar, out, others=[flag for flag, given in others.items() if given])
        return
    drawing.export(avatar, format, out, resolution=resolution, threshold=threshold, faces=faces)


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
    from rodin.cli.demo import demo as draw

    draw(out, model_folder=model, text=text, edit=edit, image=image, seed=seed)


AVATARS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "edit": edit,
    "recolour": recolour,
    "vary": vary,
    "interpolate": interpolate,
    "render": render,
    "export": export,
    "demo": demo,
}
