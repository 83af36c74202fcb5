"""The command line. Nothing heavy is imported before a command runs, so that `rodin --help` answers at once."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

from rodin.cli_training import TRAINING, Ablation, Data
from rodin.errors import UserError

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


def fit(
    data: Data,
    run: Path,
    preset: str = "smoke",
    workers: int = 2,
    seed: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Fit tri-planes to multi-view images: the shared decoder first, then every subject.

    Args:
        data: Folder of subjects, each with a transforms.json.
        run: Run folder; what it already holds is not made again.
        preset: smoke, mini, paper, or a YAML file (see: rodin preset).
        workers: Processes, one thread each; with --device cuda threads, which load subjects while the GPU fits.
        seed: Seed of the fits.
        device: cuda fits many subjects at once on a GPU.
    """
    from rodin import stages
    from rodin.presets import load_preset

    stages.fit(data, run, load_preset(preset), workers, seed, device)


def generate(
    out: Path,
    model: Path = DEMO_MODEL,
    text: str | None = None,
    image: Path | None = None,
    seed: int = 0,
    count: int = 1,
    guidance_scale: float = 1.5,
    steps: int = 10,
    sampler: Sampler = "dpm++",
    refine: int = 0,
    azimuth: float = 0.0,
    elevation: float = 2.0,
    search_pose: bool = False,
) -> None:
    """Draw avatars from a sentence, a portrait or nothing.

    Each becomes avatar-000.rodin.safetensors, avatar-000.png, avatar-000.glb and avatar-000-turntable.gif; overview.png
    shows them all from three sides.

    Args:
        out: Folder for the avatars.
        model: Model folder; make demo leaves one in the default place.
        text: What they shall look like, such as "an old man with a white beard".
        image: Portrait to follow: a photograph with a face, or a cut-out on transparency, framed head and shoulders.
        seed: Avatar k is drawn with seed + k.
        count: Number of avatars.
        guidance_scale: Above 0; how strongly text or portrait is followed, 1 = as trained.
        steps: Denoising steps.
        sampler: dpm++ and ddim are deterministic; ancestral is the paper's, with about 100 steps.
        refine: Steps of render-guided inversion towards the portrait, such as 50; 0 leaves it to the encoder.
        azimuth: For --refine: degrees from where the portrait was taken; 0 = front, positive towards its left.
        elevation: For --refine: degrees above the horizon.
        search_pose: For --refine: estimate azimuth and elevation instead.
    """
    from rodin import applications

    applications.generate(
        model, out, text, image, seed, count, guidance_scale, steps, sampler, refine, azimuth, elevation, search_pose
    )


def edit(
    avatar: Data,
    text: str,
    out: Path,
    model: Path = DEMO_MODEL,
    source_text: str | None = None,
    strength: float = 0.6,
) -> None:
    """Change an avatar by words; what they do not name stays. before-after.png shows both.

    Args:
        avatar: File that rodin generate wrote (.rodin.safetensors).
        text: What shall be there, such as "with red hair and glasses".
        out: Folder for the changed avatar.
        model: Model folder that drew the avatar.
        source_text: What is there instead, such as "with black hair"; makes the change more exact.
        strength: How far; 0 changes nothing, 1 is all that the words mean, which changes more besides.
    """
    from rodin import applications

    applications.edit(model, avatar, text, source_text, strength, out)


def vary(avatar: Data, out: Path, model: Path = DEMO_MODEL, count: int = 4, seed: int = 1) -> None:
    """Draw an avatar's kin: the same latent, new noise.

    Args:
        avatar: File that rodin generate wrote (.rodin.safetensors).
        out: Folder for the avatars.
        model: Model folder that drew the avatar.
        count: Number of avatars.
        seed: Avatar k is drawn with seed + k.
    """
    from rodin import applications

    applications.vary(model, avatar, count, seed, out)


def interpolate(first: Data, last: Data, out: Path, model: Path = DEMO_MODEL, steps: int = 8) -> None:
    """Draw the avatars between two, as files, a strip and a video.

    Args:
        first: File that rodin generate wrote (.rodin.safetensors).
        last: Another, drawn by the same model.
        out: Folder for the avatars.
        model: Model folder that drew them.
        steps: Number of avatars, both ends included.
    """
    from rodin import applications

    applications.interpolate(model, first, last, steps, out)


def render(
    avatar: Data,
    out: Path,
    size: int = 256,
    azimuth: float = 0.0,
    elevation: float = 2.0,
    turntable: int = 0,
    refine: bool = False,
) -> None:
    """Render a picture of an avatar, or a turntable.

    Args:
        avatar: File that rodin generate wrote (.rodin.safetensors).
        out: Picture (.png, .webp), or for a turntable .gif, .webp or .mp4.
        size: Edge in pixels.
        azimuth: Degrees; 0 = front, positive towards the avatar's left.
        elevation: Degrees above the horizon.
        turntable: Number of views all around; 0 for one picture.
        refine: Render smaller and let the refiner enlarge it: sharper, but views agree less with each other.
    """
    from rodin import applications

    applications.render(avatar, out, size, azimuth, elevation, turntable, refine)


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
    from rodin import applications

    applications.export(avatar, format, out, resolution, threshold)


def evaluate(
    model: Data,
    data: Path,
    train_data: Path,
    out: Path,
    preset: str = "smoke",
    against: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    samples: int = 48,
    prompts: int = 12,
    photos: int = 12,
    views: int = 4,
    fits: int = 3,
    refine: int = 40,
    image_size: int = 64,
    guidance_scale: float = 1.5,
    steps: int = 10,
    seed: int = 0,
) -> None:
    """Measure a model on subjects it never saw, and write a report: OUT/index.html, report.md and figures.json.

    Args:
        model: Model folder.
        data: Held-out subjects, which no part of the model was trained on.
        train_data: The subjects that it was trained on.
        out: Folder of the report.
        preset: The preset that the model was trained with, for the fits.
        against: Another model to measure beside it, as NAME=MODEL; may be given again.
        samples: Avatars drawn from nothing.
        prompts: Held-out captions that avatars are drawn from.
        photos: Held-out portraits that are inverted.
        views: Pictures of each avatar.
        fits: Held-out subjects that planes are fitted to.
        refine: Steps of render-guided inversion.
        image_size: Edge of the pictures that are compared.
        guidance_scale: Of everything that is drawn.
        steps: Denoising steps.
        seed: Avatar k is drawn with seed + k.
    """
    from rodin.component import config_from_dict
    from rodin.evaluate.against import load_models
    from rodin.evaluate.config import EvaluationConfig
    from rodin.evaluate.run import evaluate as run_evaluation
    from rodin.pipeline import RodinPipeline
    from rodin.presets import load_preset

    values = {
        "samples": samples,
        "views": views,
        "image_size": image_size,
        "prompts": prompts,
        "photos": photos,
        "fits": fits,
        "refine_steps": refine,
        "guidance_scale": guidance_scale,
        "steps": steps,
        "seed": seed,
    }
    settings = config_from_dict(EvaluationConfig, values, "rodin eval")
    fit = load_preset(preset).fitting.planes
    pipe, others = RodinPipeline.from_pretrained(model), load_models(against)
    run_evaluation(pipe, data, train_data, out, settings, fit, others)
    print(out / "index.html")


def preset(
    name: Annotated[Literal["smoke", "mini", "paper"], tyro.conf.Positional], ablation: Ablation | None = None
) -> None:
    """Print a preset as YAML, to be changed and given to --preset.

    Args:
        name: Which one.
        ablation: Take this part of the paper's method away.
    """
    from rodin.ablations import ablated
    from rodin.presets import load_preset, preset_yaml

    settings = load_preset(name)
    print(preset_yaml(settings if ablation is None else ablated(settings, ablation)), end="")


def doctor() -> None:
    """Say what this installation can use: native kernels, instruction level, GPU, optional parts. Problems have a !"""
    from rodin.doctor import report

    print(report())


def train() -> None:
    """Train a stage or the whole chain; see: rodin train --help."""


COMMANDS: dict[str, Callable[..., None]] = {
    "synth": synth,
    "fit": fit,
    "train": train,  # for the list of commands; main hands its own commands to TRAINING
    "generate": generate,
    "edit": edit,
    "vary": vary,
    "interpolate": interpolate,
    "render": render,
    "export": export,
    "eval": evaluate,
    "preset": preset,
    "doctor": doctor,
}
DESCRIPTION = """Rodin: 3D avatars by diffusion over tri-planes.

The way from pictures to avatars: synth (or your own captures), train all, generate; then edit, vary, interpolate,
render and export. eval measures a model, doctor says what this installation can use.
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
        tyro.extras.subcommand_cli_from_dict(
            commands,
            prog=prog,
            description=description,
            args=arguments or ["--help"],
            config=(tyro.conf.FlagCreatePairsOff,),
        )
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
