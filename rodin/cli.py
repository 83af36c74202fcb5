"""The command line. Nothing heavy is imported before a command runs, so that `rodin --help` answers at once."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

from rodin.errors import UserError

Data = Annotated[Path, tyro.conf.Positional]
Sampler = Literal["dpm++", "ddim", "ancestral"]

DEMO_MODEL = Path("out/demo/run/model")


def synth(
    out: Path,
    count: int = 16,
    views: int = 24,
    size: int = 128,
    seed: int = 0,
    workers: int = 1,
    heads: str = "sdf",
) -> None:
    """Render synthetic avatars with Blender: subject folders with views, cameras and captions.

    An interrupted run goes on where it stopped. Needs Blender's module: pip install 'rodin[blender]'.

    Args:
        out: Folder of the set; gets one folder a subject and overview.png.
        count: Number of subjects.
        views: Images of each subject; the first is frontal.
        size: Edge of an image in pixels.
        seed: Seed of the set; subject i depends on (seed, i) alone.
        workers: Blender processes, one thread each.
        heads: sdf for the built-in procedural head, or an .npz file with a morphable head.
    """
    from rodin.synth import SynthConfig, generate

    generate(SynthConfig(out=out, count=count, views=views, size=size, seed=seed, workers=workers, heads=heads))


def fit(data: Data, run: Path, preset: str = "smoke", workers: int = 2, seed: int = 0) -> None:
    """Fit tri-planes to multi-view images: the shared decoder first, then every subject.

    Args:
        data: Folder of subjects, each with a transforms.json.
        run: Run folder; what it already holds is not made again.
        preset: smoke, mini, paper, or a YAML file (see: rodin preset).
        workers: Processes, one thread each.
        seed: Seed of the fits.
    """
    from rodin import stages
    from rodin.presets import load_preset

    stages.fit(data, run, load_preset(preset), workers, seed)


def train_encoder(data: Data, run: Path, preset: str = "smoke") -> None:
    """Train the small CLIP that turns a portrait or a caption into the latent z.

    Args:
        data: Folder of subjects, each with a transforms.json.
        run: Run folder.
        preset: smoke, mini, paper, or a YAML file.
    """
    from rodin import stages
    from rodin.presets import load_preset

    stages.encoder(data, run, load_preset(preset))


def train_base(run: Path, preset: str = "smoke") -> None:
    """Train the base diffusion model on the planes of a run.

    On many processes or machines: torchrun OPTIONS -m -- rodin train base --run RUN --preset PRESET

    Args:
        run: Run folder with planes/ and encoder/.
        preset: smoke, mini, paper, or a YAML file.
    """
    from rodin import stages
    from rodin.presets import load_preset

    stages.base(run, load_preset(preset))


def train_all(
    data: Data, run: Path, preset: str = "smoke", workers: int = 2, seed: int = 0, clip: str | None = None
) -> None:
    """Train the whole chain: encoder, fitted planes, base model. The result is RUN/model.

    Args:
        data: Folder of subjects, each with a transforms.json.
        run: Run folder; an interrupted run goes on where it stopped.
        preset: smoke, mini, paper, or a YAML file (see: rodin preset).
        workers: Processes that fit subjects and train the base model, one thread each.
        seed: Seed of the fits.
        clip: Use this CLIP with 512 outputs (a folder or a hub name) instead of training one.
    """
    from rodin import stages
    from rodin.presets import load_preset

    settings = load_preset(preset)
    stages.check_workers(workers)
    if clip is None:
        stages.encoder(data, run, settings)
    else:
        stages.adopt_clip(clip, run)
    stages.fit(data, run, settings, workers, seed)
    stages.base_on_processes(run, settings, workers)
    stages.model(run)


def generate(
    out: Path,
    model: Path = DEMO_MODEL,
    image: Path | None = None,
    seed: int = 0,
    count: int = 1,
    guidance_scale: float = 1.5,
    steps: int = 20,
    sampler: Sampler = "dpm++",
) -> None:
    """Draw avatars from nothing or from a portrait.

    Each becomes avatar-000.rodin.safetensors, avatar-000.png, avatar-000.glb and avatar-000-turntable.gif; overview.png
    shows them all from three sides.

    Args:
        out: Folder for the avatars.
        model: Model folder; make demo leaves one in the default place.
        image: Portrait to follow; what its alpha hides is left out.
        seed: Avatar k is drawn with seed + k.
        count: Number of avatars.
        guidance_scale: Above 0; how strongly a portrait is followed, 1 = as trained.
        steps: Denoising steps.
        sampler: dpm++ and ddim are deterministic; ancestral is the paper's, with about 100 steps.
    """
    from rodin import stages

    stages.generate(model, out, image, seed, count, guidance_scale, steps, sampler)


def render(
    avatar: Data,
    out: Path,
    size: int = 256,
    azimuth: float = 0.0,
    elevation: float = 2.0,
    turntable: int = 0,
) -> None:
    """Render a picture of an avatar, or a turntable.

    Args:
        avatar: File that rodin generate wrote (.rodin.safetensors).
        out: Picture (.png, .webp), or for a turntable .gif, .webp or .mp4.
        size: Edge in pixels.
        azimuth: Degrees; 0 = front, positive towards the avatar's left.
        elevation: Degrees above the horizon.
        turntable: Number of views all around; 0 for one picture.
    """
    from rodin import stages

    stages.render(avatar, out, size, azimuth, elevation, turntable)


def export(
    avatar: Data,
    format: Literal["glb", "obj", "ply"] = "glb",
    out: Path | None = None,
    resolution: int = 128,
    threshold: float = 15.0,
) -> None:
    """Write an avatar's surface as a mesh with vertex colours.

    Args:
        avatar: File that rodin generate wrote (.rodin.safetensors).
        format: File format.
        out: File to write; beside the avatar if left out.
        resolution: Grid points along each side of the box.
        threshold: Density of the surface, in 1 / world units.
    """
    from rodin import stages

    stages.export(avatar, format, out, resolution, threshold)


def preset(name: Annotated[Literal["smoke", "mini", "paper"], tyro.conf.Positional]) -> None:
    """Print a preset as YAML, to be changed and given to --preset.

    Args:
        name: Which one.
    """
    from rodin.presets import load_preset, preset_yaml

    print(preset_yaml(load_preset(name)), end="")


def train() -> None:
    """Train a stage or the whole chain; see: rodin train --help."""


TRAINING: dict[str, Callable[..., None]] = {"all": train_all, "encoder": train_encoder, "base": train_base}
COMMANDS: dict[str, Callable[..., None]] = {
    "synth": synth,
    "fit": fit,
    "train": train,  # for the list of commands; main hands its own commands to TRAINING
    "generate": generate,
    "render": render,
    "export": export,
    "preset": preset,
}
DESCRIPTION = """Rodin: 3D avatars by diffusion over tri-planes.

The way from pictures to avatars: synth (or your own captures), train all, generate, then render and export.
Each command explains itself: rodin COMMAND --help"""


def main(arguments: list[str] | None = None) -> None:
    """Run a command. A user's mistake is one line and exit code 2; a traceback is a defect of ours."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # One thread a process: the tensors are small, and threads that wait for each other cost up to ten times what they
    # bring. Work is spread over processes instead: --workers, or torchrun. The environment may say otherwise.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    commands, prog, description = COMMANDS, "rodin", DESCRIPTION
    if arguments[:1] == ["train"]:
        arguments, commands, prog = arguments[1:], TRAINING, "rodin train"
        description = "Train a stage, or all of them one after another. What a run folder holds is not made again."
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=description, args=arguments or ["--help"])
    except UserError as error:
        _stop(error, str(error), 2)
    except OSError as error:  # a full disk or a closed door where nothing nearer has put it into words
        _stop(error, f"{error}; free some space or check the place", 2)
    except KeyboardInterrupt as error:
        _stop(error, "interrupted; the same command goes on where it stopped", 130)


def _stop(error: BaseException, message: str, code: int) -> NoReturn:
    """End with one line of its own: progress bars that the error cut short end theirs when their frames are cleared."""
    traceback.clear_frames(error.__traceback__)
    print(f"rodin: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
