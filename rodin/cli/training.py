"""The commands of `rodin train`, a function each; `rodin.cli.main` runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rodin.cli.early import check_training
from rodin.cli.places import engine
from rodin.data import named_files
from rodin.lock import locked

Data = Annotated[Path, tyro.conf.Positional]
Stage = Literal["encoder", "base", "prior", "upsampler", "refiner"]
Up = Literal["x", "-x", "y", "-y", "z", "-z", "auto"]
Ablation = Literal["no-aware", "no-latent", "no-rescaling", "autoencoder"]


def train_encoder(
    data: Data,
    run: Path,
    preset: str = "smoke",
    hours: float | None = None,
    start: Path | None = None,
    allow_outside: bool = False,
) -> None:
    """Train the small CLIP that maps a portrait or a caption to the latent z.

    Args:
        data: Folder of subjects, each with a transforms.json.
        run: Run folder.
        preset: smoke, mini, mini-gpu, paper, or a YAML file.
        hours: Train for this long, not counting interruptions, instead of the preset's number of steps.
        start: Start from this model folder's encoder instead of random weights. It must be of the same preset.
        allow_outside: Read files outside their folder that a transforms.json names. Only for sets that you trust.
    """
    if allow_outside:
        named_files.allow_outside()
    check_training(data, preset)
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.encoder(data, run, load_preset(preset), hours, start=start)


def train_prior(run: Path, preset: str = "smoke", hours: float | None = None) -> None:
    """Train the latent prior, which draws the latent z from a text or from nothing.

    Args:
        run: Run folder with planes/ and encoder/.
        preset: smoke, mini, mini-gpu, paper, or a YAML file.
        hours: Train for this long, not counting interruptions, instead of the preset's number of steps.
    """
    check_training(None, preset)
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.prior(run, load_preset(preset), hours)


def train_base(
    run: Path,
    preset: str = "smoke",
    hours: float | None = None,
    start: Path | None = None,
    planes: str | None = None,
) -> None:
    """Train the base diffusion model on the planes of a run.

    On several processes or machines: torchrun OPTIONS -m -- rodin train base --run RUN --preset PRESET

    Args:
        run: Run folder with planes/, encoder/ and decoder/.
        preset: smoke, mini, mini-gpu, paper, or a YAML file.
        hours: Train for this long, not counting interruptions, instead of the preset's number of steps.
        start: Start from this model folder's base model instead of random weights. It must be of the same preset.
        planes: Read the planes from this folder or URL (s3://, gs:// and what else fsspec opens) instead of RUN/planes.
    """
    check_training(None, preset)
    from rodin.storage import as_place
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.base(run, load_preset(preset), hours, start, as_place(planes) if planes else None)


def train_upsampler(
    run: Path,
    preset: str = "smoke",
    vgg: Path | None = None,
    hours: float | None = None,
    start: Path | None = None,
    planes: str | None = None,
) -> None:
    """Train the upsampler, which turns the base model's small planes into large ones.

    On several processes or machines: torchrun OPTIONS -m -- rodin train upsampler --run RUN --preset PRESET

    Args:
        run: Run folder with planes/, encoder/ and decoder/.
        preset: smoke, mini, mini-gpu, paper, or a YAML file.
        vgg: VGG-16 weights (torchvision's names; .safetensors or .pth) for the perceptual loss; else the encoder.
        hours: Train for this long, not counting interruptions, instead of the preset's number of steps.
        start: Start from this model folder's upsampler instead of random weights. It must be of the same preset.
        planes: Read the planes from this folder or URL (s3://, gs:// and what else fsspec opens) instead of RUN/planes.
    """
    check_training(None, preset)
    from rodin.storage import as_place
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.upsampler(run, load_preset(preset), vgg, hours, start=start, planes=as_place(planes) if planes else None)


def train_palette(run: Path, preset: str = "mini") -> None:
    """Train the palette network, which says what colour each material of an avatar has; in a minute or two.

    For decoders with materials, whose planes carry no colour.

    Args:
        run: Run folder with planes/ and encoder/.
        preset: mini, or a YAML file.
    """
    check_training(None, preset)
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.palette(run, load_preset(preset))


def train_refiner(
    data: Data,
    run: Path,
    preset: str = "smoke",
    vgg: Path | None = None,
    hours: float | None = None,
    allow_outside: bool = False,
) -> None:
    """Train the refiner, which enlarges and sharpens rendered pictures.

    On several processes or machines: torchrun OPTIONS -m -- rodin train refiner DATA --run RUN --preset PRESET

    Args:
        data: Folder with the run's subjects, in pictures at least as large as the refiner's output.
        run: Run folder with planes/, encoder/ and decoder/.
        preset: smoke, mini, mini-gpu, paper, or a YAML file.
        vgg: VGG-16 weights (torchvision's names; .safetensors or .pth) for the perceptual loss; else the encoder.
        hours: Train for this long, not counting interruptions, instead of the preset's number of steps.
        allow_outside: Read files outside their folder that a transforms.json names. Only for sets that you trust.
    """
    if allow_outside:
        named_files.allow_outside()
    check_training(data, preset)
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.refiner(data, run, load_preset(preset), vgg, hours=hours)


def train_all(
    data: Data,
    run: Path,
    preset: str = "smoke",
    workers: int = 2,
    seed: int = 0,
    clip: str | None = None,
    large: Path | None = None,
    vgg: Path | None = None,
    start: Path | None = None,
    up: Up | None = None,
    scale: Literal["auto"] | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    ray: str | None = None,
    task_gpus: float = 0.25,
    allow_outside: bool = False,
) -> None:
    """Train the whole chain: encoder, fitted planes, base model, prior, upsampler, refiner. The result is RUN/model.

    Args:
        data: Folder of subjects, each with a transforms.json.
        run: Run folder. An interrupted run continues where it stopped.
        preset: smoke, mini, mini-gpu, paper, or a YAML file (see: rodin preset).
        workers: Number of processes, one thread each, that fit subjects. Base, upsampler and refiner train on as many
            if their first steps show that this is clearly faster than one.
        seed: Seed of the fits.
        clip: Use this CLIP with 512 outputs (a folder or a hub name) instead of training one.
        large: Folder with the same subjects in larger pictures, for the refiner; by default it learns from DATA.
        vgg: VGG-16 weights (torchvision's names; .safetensors or .pth) for the perceptual losses; else the encoder.
        start: Train this model folder further, for example the one that ships, on your own heads. Same preset.
        up: The axis that points up in the captures, such as z for those of nerfstudio; auto asks the cameras.
            Otherwise +y, or what the captures say.
        scale: auto moves and scales each subject into the box by its silhouettes.
        device: cuda fits on a GPU too, and trains in one process; WORKERS threads then load subjects.
        ray: Fit the subjects on a Ray cluster: auto for the one that this machine is a node of, or HOST:PORT of its
            head. DATA and RUN are then folders that all nodes share.
        task_gpus: GPUs that a fitting task takes with --ray and --device cuda; 0.25 lets four share one.
        allow_outside: Read files outside their folder that a transforms.json names. Only for sets that you trust.
    """
    if allow_outside:
        named_files.allow_outside()
    who = engine(workers, ray, task_gpus if device == "cuda" else 0.0)
    check_training(data, preset)
    from rodin.train import chain
    from rodin.train.presets import load_preset

    with locked(run):
        chain.train_all(
            data,
            run,
            load_preset(preset),
            workers,
            seed=seed,
            clip=clip,
            large=large or data,
            vgg=vgg,
            start=start,
            up=up,
            scale=scale,
            device=device,
            engine=who,
        )


def train_pack(run: Path, out: Path, preset: str = "mini") -> None:
    """Write a small copy of a run, in which palette, prior and base train elsewhere: some 12 KB a subject.

    It is for a machine with a GPU that the fits would take long to reach. Copy RUN/palette, words, prior and base
    back to the run, where upsampler and refiner, which learn from the fits, are trained.

    Args:
        run: Run folder with planes/, encoder/ and decoder/.
        out: Run folder to write.
        preset: smoke, mini, mini-gpu, paper, or a YAML file: that of the run.
    """
    from rodin.train import chain
    from rodin.train.presets import load_preset

    chain.pack(run, out, load_preset(preset))


def train_ablations(
    data: Data,
    run: Path,
    preset: str = "smoke",
    only: tuple[Ablation, ...] = ("no-aware", "no-latent", "no-rescaling", "autoencoder"),
    workers: int = 2,
    seed: int = 0,
    large: Path | None = None,
    vgg: Path | None = None,
    allow_outside: bool = False,
) -> None:
    """Train the paper's ablations of a finished run, for rodin eval --against. Writes RUN/ablations/NAME/model.

    Args:
        data: The run's subjects.
        run: Finished run folder.
        preset: The preset of the run.
        only: Which ablations.
        workers: Processes, one thread each.
        seed: As for the run.
        large: As for the run.
        vgg: As for the run.
        allow_outside: Read files outside their folder that a transforms.json names. Only for sets that you trust.
    """
    if allow_outside:
        named_files.allow_outside()
    check_training(data, preset)
    from rodin.train.ablations import train_ablations as train
    from rodin.train.presets import load_preset

    with locked(run):
        train(data, run, load_preset(preset), only, workers=workers, seed=seed, large=large or data, vgg=vgg)


def train_curves(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    stage: Stage | None = None,
    column: str = "loss",
    out: Path = Path("curves.png"),
) -> None:
    """Plot learning curves of one or several runs over the samples seen, and print where they end.

    Args:
        runs: Run folders.
        stage: One stage; by default all that any of the runs has begun.
        column: Column of log.csv.
        out: Picture, such as .png or .svg.
    """
    from rodin.train.curves import draw_curves

    draw_curves(runs, stage, column, out)


TRAINING: dict[str, Callable[..., None]] = {
    "all": train_all,
    "encoder": train_encoder,
    "palette": train_palette,
    "prior": train_prior,
    "base": train_base,
    "upsampler": train_upsampler,
    "refiner": train_refiner,
    "pack": train_pack,
    "ablations": train_ablations,
    "curves": train_curves,
}
