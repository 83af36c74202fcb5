"""The command line. Nothing heavy is imported before a command runs, so that `rodin --help` answers at once."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

import rodin
from rodin.avatars.drawing import Sampling
from rodin.cli.avatars import AVATARS, DEFAULT_SAMPLING
from rodin.cli.completion import Shell, print_completion
from rodin.cli.console import console, flush
from rodin.cli.early import check_evaluation, check_folder, check_training
from rodin.cli.places import Somewhere, engine
from rodin.cli.plan import plan
from rodin.cli.training import TRAINING, Ablation, Data, Up
from rodin.data import named_files
from rodin.errors import UserError
from rodin.lock import locked
from rodin.signals import Terminated, no_more, orderly_end
from rodin.waiting import heartbeat


def synth(
    out: Somewhere,
    count: int = 16,
    views: int = 24,
    size: int = 128,
    seed: int = 0,
    workers: int = 1,
    heads: str = "sdf",
    samples: int = 16,
    ray: str | None = None,
) -> None:
    """Render synthetic avatars with Blender: subject folders with views, cameras and captions.

    An interrupted run goes on where it stopped. Needs Blender's module: pip install 'rodin-avatars[blender]'.

    On many machines: start Ray on each (ray start --head, then ray start --address HOST:6379), and add --ray auto. OUT
    is then a folder that all of them share, or a URL.

    Args:
        out: Folder for the set: one folder per subject, and overview.png. A URL, such as s3://bucket/set, will do.
        count: Number of subjects.
        views: Images per subject; the first is frontal.
        size: Edge of an image in pixels.
        seed: Seed of the set. Subject i depends only on (seed, i).
        workers: Number of Blender processes, one thread each.
        heads: sdf for the built-in procedural head, or an .npz file with a morphable head.
        samples: Rays per pixel. 8 take two thirds of the time of 16 and leave more noise in alpha.
        ray: Render on a Ray cluster instead of WORKERS processes: auto for the one that this machine is a node of, or
            HOST:PORT of its head. Needs pip install 'rodin-avatars[cluster]'.
    """
    from rodin.synth.generate import SynthConfig, generate

    config = SynthConfig(out=out, count=count, views=views, size=size, seed=seed, heads=heads, samples=samples)
    check_folder(out)
    who = engine(workers, ray)
    with locked(out):
        generate(config, who)


def synth_words(data: Data) -> None:
    """Write the captions of a set of rodin synth anew, without rendering. The recipe's version has to be the same.

    Args:
        data: Folder that rodin synth wrote.
    """
    from rodin.synth.rewrite import rewrite_words

    rewrite_words(data)


def describe(data: Data) -> None:
    """Print how often each value of each attribute occurs, and which attributes depend on each other.

    Args:
        data: Folder of subjects, each with a transforms.json that has attributes.
    """
    from rodin.data.subject_folders import list_subjects

    list_subjects(data)  # before torch is imported
    from rodin.data.describe import describe as text_of
    from rodin.data.describe import read_attributes

    print(text_of(read_attributes(data)))


def fit(
    data: Annotated[Somewhere, tyro.conf.Positional],
    run: Somewhere,
    preset: str = "smoke",
    workers: int = 2,
    seed: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
    start: Path | None = None,
    up: Up | None = None,
    scale: Literal["auto"] | None = None,
    ray: str | None = None,
    task_gpus: float = 0.25,
    allow_outside: bool = False,
) -> None:
    """Fit tri-planes to multi-view images: the shared decoder first, then every subject.

    What looks wrong with the captures is said before. A fit below 20 dB on held-out views has failed: it is named with
    the likely cause and left out; if all fail, so does the command.

    On many machines: start Ray on each (ray start --head, then ray start --address HOST:6379), and add --ray auto. DATA
    and RUN are then folders that all of them share, or URLs. A node that is lost costs what it was fitting.

    Args:
        data: Folder of subjects, each with a transforms.json. A URL, such as s3://bucket/set, will do.
        run: Run folder, or its URL. What it already holds is not made again.
        preset: smoke, mini, mini-gpu, paper, or a YAML file (see: rodin preset).
        workers: Processes of one thread each; with --device cuda, threads that load subjects while the GPU fits.
        seed: Seed of the fits.
        device: cuda fits many subjects at once, on a GPU.
        start: Use the decoder of this model folder, so that its networks can be trained further on the planes.
        up: The axis that points up in the captures, such as z for those of nerfstudio; auto asks the cameras.
            Otherwise +y, or what the captures say.
        scale: auto moves and scales each subject into the box by its silhouettes.
        ray: Fit on a Ray cluster instead of WORKERS processes: auto for the one that this machine is a node of, or
            HOST:PORT of its head. Needs pip install 'rodin-avatars[cluster]'.
        task_gpus: GPUs that a task takes with --ray and --device cuda; 0.25 lets four share one.
        allow_outside: Read files outside their folder that a transforms.json names. Only for sets that you trust.
    """
    if allow_outside:
        named_files.allow_outside()
    who = engine(workers, ray, task_gpus if device == "cuda" else 0.0)
    check_training(data, preset)
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.fit(data, run, load_preset(preset), who, seed=seed, device=device, start=start, up=up, scale=scale)


def ship(model: Data, out: Path, limit: float = 48.0) -> None:
    """Write a model the way it ships: half-precision weights, half the size. Commands compute in single precision.

    Args:
        model: Model folder.
        out: Folder to write. A model card in it, README.md, is kept.
        limit: Refuse a model larger than this, in megabytes.
    """
    from rodin.models.folder import ship_model

    print(f"{out}: {ship_model(model, out, limit):.1f} MB")


def evaluate(
    data: Path,
    train_data: Path,
    out: Path,
    model: Annotated[Path | None, tyro.conf.Positional] = None,
    preset: str | None = None,
    against: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    prompts: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    cache: Path | None = None,
    samples: int = 48,
    captions: int = 12,
    photos: int = 12,
    views: int = 4,
    fits: int = 3,
    refine: int = 40,
    image_size: int = 64,
    sentences: bool = False,
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = DEFAULT_SAMPLING,
    seed: int = 0,
    allow_outside: bool = False,
) -> None:
    """Measure a model on subjects it has never seen. Writes a report: OUT/index.html, report.md and results.json.

    Args:
        data: Held-out subjects: no part of the model was trained on them.
        train_data: The subjects it was trained on.
        out: Folder for the report.
        model: Model folder; by default the model that comes with Rodin.
        preset: The preset the model was trained with, by default as the model says; the fits use it.
        against: Another model to compare with, as NAME=MODEL. May be repeated.
        prompts: File of prompts to draw from. May be repeated. Without one, held-out captions are used.
        cache: Folder that keeps what is learned from the training data for the next evaluation; by default OUT-cache.
        samples: Avatars drawn from nothing.
        captions: Held-out captions to draw from where there are no prompts.
        photos: Held-out portraits to invert.
        views: Pictures per avatar.
        fits: Held-out subjects to fit planes to.
        refine: Steps of render-guided inversion.
        image_size: Edge of the compared pictures, in pixels.
        sentences: Draw prompts with unknown words a second time, with those words translated by a sentence encoder.
        sampling: How avatars are sampled.
        seed: Avatar k is drawn with seed + k.
        allow_outside: Read files outside their folder that a transforms.json names. Only for sets that you trust.
    """
    if allow_outside:
        named_files.allow_outside()
    check_evaluation(data, train_data, out, model, preset)
    from rodin.avatars.pipeline import RodinPipeline
    from rodin.evaluate.compared import load_models
    from rodin.evaluate.config import EvaluationConfig
    from rodin.evaluate.evaluation import evaluate as run_evaluation
    from rodin.parts import config_from_dict
    from rodin.train.presets import load_preset, preset_of

    values = {
        "samples": samples,
        "views": views,
        "image_size": image_size,
        "captions": captions,
        "photos": photos,
        "fits": fits,
        "refine_steps": refine,
        "sentences": sentences,
        "sampling": sampling,
        "seed": seed,
    }
    settings = config_from_dict(EvaluationConfig, values, "rodin eval")
    pipe, others = RodinPipeline.from_pretrained(model), load_models(against)
    fit = (preset_of(pipe.model) if preset is None else load_preset(preset)).fitting.planes
    place = out.resolve()  # "." has no name
    cache = cache or place.with_name(f"{place.name}-cache")
    run_evaluation(
        pipe, data, train_data, out, settings=settings, fit=fit, against=others, prompts=prompts, cache=cache
    )
    print(out / "index.html")


def preset(
    name: Annotated[Literal["smoke", "mini", "paper"], tyro.conf.Positional], ablation: Ablation | None = None
) -> None:
    """Print a preset as YAML, to edit and pass to --preset.

    Args:
        name: Which preset.
        ablation: Remove this part of the paper's method.
    """
    from rodin.train.ablations import ablated
    from rodin.train.presets import load_preset, preset_yaml

    settings = load_preset(name)
    print(preset_yaml(settings if ablation is None else ablated(settings, ablation)), end="")


def verify(folder: Data) -> None:
    """Check that nothing has been damaged: weights, planes, pictures, avatars and checkpoints, by their checksums.

    Files that were written without one, by an older version or another program, are counted and not checked.

    Args:
        folder: A run, a model, a data set, a folder of avatars, or any that holds some.
    """
    from rodin.cli.verification import verify as check

    check(folder)


def doctor() -> None:
    """Report what this installation can use: native kernels, instruction set, GPU, extras. Problems have a !"""
    from rodin.cli.doctor import report

    print(report())


def completion(shell: Annotated[Shell, tyro.conf.Positional]) -> None:
    """Print a script that completes commands and flags in a shell.

    For bash: rodin completion bash > ~/.local/share/bash-completion/completions/rodin

    Args:
        shell: Which shell.
    """
    print_completion(shell, COMMANDS, GROUPS)


def assets_makehuman(checkout: Data, out: Path) -> None:
    """Write the head file that rodin synth --heads takes, from a checkout of MakeHuman.

    Its base mesh and morph targets are CC0: https://github.com/makehumancommunity/makehuman

    Args:
        checkout: Folder that holds makehuman/data/3dobjs/base.obj.
        out: File to write (.npz).
    """
    from rodin.synth.body.makehuman import convert

    convert(checkout, out)


def assets() -> None:
    """Convert files of other projects for rodin synth; see: rodin assets --help."""


def train() -> None:
    """Train one stage or the whole chain; see: rodin train --help."""


COMMANDS: dict[str, Callable[..., None]] = {
    "assets": assets,  # for the list of commands, as train: main hands their own commands to GROUPS
    "synth": synth,
    "synth-words": synth_words,
    "describe": describe,
    "fit": fit,
    "train": train,
    **AVATARS,
    "eval": evaluate,
    "ship": ship,
    "plan": plan,
    "preset": preset,
    "verify": verify,
    "doctor": doctor,
    "completion": completion,
}
ASSETS: dict[str, Callable[..., None]] = {"makehuman": assets_makehuman}
#: What a machine may do to us where nothing nearer has put it into words: no room, no right, no such device.
SURROUNDINGS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG}
OUT_OF_MEMORY = "can't allocate memory"  # torch says so, in a RuntimeError
LONGEST = 1000  # characters of a message
GROUPS = {
    "assets": (ASSETS, "Convert files of other projects for rodin synth."),
    "train": (
        TRAINING,
        "Train one stage, or all of them in turn. What a run folder already holds is not made again.",
    ),
}
DESCRIPTION = """Rodin: 3D avatars by diffusion over tri-planes.

From pictures to avatars: synth (or your own captures), train all, generate; then edit, recolour, vary, interpolate,
render and export, or all of it in a browser: studio. describe shows what a data set holds, plan what a run will cost,
eval measures a model, doctor reports what this installation can use.
Every command explains itself: rodin COMMAND --help. The version: rodin --version"""


def main(arguments: list[str] | None = None) -> None:
    """Run a command. A user's mistake is one line and exit code 2; a traceback is a defect of ours."""
    with console(), orderly_end():
        if arguments is not None:  # called as a function: by a program, which speaks for itself
            _run(arguments)
            return
        with heartbeat():
            _run(sys.argv[1:])
    no_more()


def _run(arguments: list[str]) -> None:
    # One thread a process: the tensors are small, and threads that wait for each other cost up to ten times what they
    # bring. Work is spread over processes instead: --workers, or torchrun. The environment may say otherwise.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault(
        "THP_MEM_ALLOC_ENABLE", "1"
    )  # large tensors in huge pages: a training step takes 0.8 the time
    commands, prog, description = COMMANDS, "rodin", DESCRIPTION
    if arguments and arguments[0] in GROUPS:
        prog = f"rodin {arguments[0]}"
        commands, description = GROUPS[arguments[0]]
        arguments = arguments[1:]
    try:
        try:
            if prog == "rodin" and arguments == ["--version"]:
                print(f"rodin {rodin.__version__}")
                return
            tyro.extras.subcommand_cli_from_dict(
                commands,
                prog=prog,
                description=description,
                args=arguments or ["--help"],
                config=(tyro.conf.FlagCreatePairsOff,),
            )
        finally:
            flush()
    except UserError as error:
        _stop(error, str(error), 2)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and OUT_OF_MEMORY not in str(error):
            raise
        _stop(
            error, "there is not enough memory; make pictures, batches or networks smaller, or use fewer --workers", 2
        )
    except OSError as error:
        if error.errno not in SURROUNDINGS:  # else it is a defect of ours
            raise
        _stop(error, f"{error}; free some space or check the place", 2)
    except KeyboardInterrupt as error:
        resumes = prog == "rodin train" or arguments[:1] in (["synth"], ["synth-words"], ["fit"])
        word, code = ("ended by SIGTERM", 143) if isinstance(error, Terminated) else ("interrupted", 130)
        _stop(error, word + "; the same command goes on where it stopped" * resumes, code)


def _stop(error: BaseException, message: str, code: int) -> NoReturn:
    """End with one line of its own: progress bars that the error cut short end theirs when their frames are cleared."""
    traceback.clear_frames(error.__traceback__)
    line = " ".join(message[: 2 * LONGEST].split())
    print(f"rodin: {line if len(line) <= LONGEST else line[:LONGEST] + ' ...'}", file=sys.stderr)
    sys.exit(code)
