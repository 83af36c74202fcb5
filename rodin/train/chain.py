"""What the training commands do: each stage by a preset, alone or one after another.

RUN/preset.yaml   the settings of the last `train all`
RUN/encoder/ decoder/ planes/ palette/ base/ words/ prior/ upsampler/ refiner/   their results
RUN/model/        the finished model folder
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from rodin.data.subject_folders import list_subjects
from rodin.data.worlds import Up
from rodin.errors import UserError
from rodin.fan_out import Engine, Pool
from rodin.files import write_text
from rodin.fit.subjects import fit_dataset, quality_table
from rodin.fit.worlds import place_subjects
from rodin.models.clip import Encoder
from rodin.models.folder import assemble, save_model
from rodin.models.index import PRESET_NAME
from rodin.storage import Place
from rodin.train.base import train_base
from rodin.train.clock import Paused
from rodin.train.encoder import train_encoder
from rodin.train.loop import LoopConfig
from rodin.train.pack import pack_run
from rodin.train.palette import train_palette
from rodin.train.presets import Preset, preset_yaml
from rodin.train.prior import train_prior
from rodin.train.processes import run_on_processes
from rodin.train.refiner import train_refiner
from rodin.train.upsampler import train_upsampler

# Several processes must take less than this share of one's time. On free cores they take little more than their part of
# it; where they take this much, the cores have other work, a trial of seconds tells no less for sure, and one process
# leaves the others to that work.
GAIN = 0.8
LEAST_LEFT = 120.0  # seconds of training: less is over before processes are started and have read the data
LAUNCH_SECONDS, SLOWEST = 60.0, 4.0  # how long their trial may take: to start them, and of the time on one process


def train_all(
    data: Path,
    run: Path,
    preset: Preset,
    workers: int,
    seed: int,
    clip: str | None,
    large: Path,
    vgg: Path | None,
    start: Path | None = None,
    up: Up | None = None,
    scale: Literal["auto"] | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    engine: Engine | None = None,
) -> None:
    """All stages and RUN/model; what the run holds is not made again.

    Args:
        workers: processes of one thread each, as many as gain by it where networks are trained; on a GPU, threads that
            load subjects for the fits.
        large: the subjects in pictures that suffice for the refiner; may be `data`.
        start: a model whose decoder is kept, and whose encoder, base model and upsampler are trained further.
        up, scale: see `rodin.fit.worlds.place_subjects`.
        device: where the planes are fitted. The networks train on a GPU wherever there is one.
        engine: who fits; by default so many workers.
    """
    fitters = engine or Pool(workers=workers)
    fitters.check()
    if clip is not None and start is not None:
        raise UserError(f"--clip {clip}: the networks of {start} know the latents of its own encoder; leave out one")
    processes = workers if device == "cpu" else 1
    place_subjects(list_subjects(data), run, up, scale)  # before the encoder, which looks from their front
    parts: dict[str, Callable[[], None]] = {
        "encoder": lambda: (
            encoder(data, run, preset, None, start=start) if clip is None else adopt_clip(clip, run, preset)
        ),
        "planes": lambda: fit(data, run, preset, fitters, seed=seed, device=device, start=start),
        "palette": lambda: palette(run, preset),
        "base": lambda: on_processes(base, run / "base", (run, preset, None, start), preset.base.loop, processes),
        "prior": lambda: prior(run, preset),
        "upsampler": lambda: on_processes(
            upsampler, run / "upsampler", (run, preset, vgg, None, start), preset.upsampler.loop, processes
        ),
        "refiner": lambda: on_processes(
            refiner, run / "refiner", (large, run, preset, vgg), preset.refiner.loop, processes
        ),
    }
    if preset.palette is None:
        del parts["palette"]
    for number, (name, train) in enumerate(parts.items(), 1):
        print(f"part {number} of {len(parts)}: {name}", flush=True)
        train()
        if name == "planes":  # which shows that the preset suits the data
            write_text(run / PRESET_NAME, preset_yaml(preset))
    model(run)


def check_hours(hours: float | None) -> None:
    """Raise UserError unless there is time to train."""
    if hours is not None and not 0 < hours < math.inf:
        raise UserError(f"--hours: {hours:g}; choose more than 0")


def on_processes(
    stage: Callable[..., None], output: Path, arguments: tuple[Any, ...], loop: LoopConfig, processes: int
) -> None:
    """Train a stage on several processes of this machine if they gain by it, which its first steps tell: some on one
    process, then some on all. A finished one is only checked, by this process."""
    shares = (count for count in range(processes, 0, -1) if not loop.batch_size % (count * loop.accumulate))
    count = next(shares, 1)
    if count == 1 or output.exists():
        stage(*arguments)
        return
    began = perf_counter()
    try:
        stage(*arguments, trial=True)
        return
    except Paused as pause:
        alone, left = pause.step_seconds, pause.left_seconds
    took = perf_counter() - began
    said = f"{output.name}: {alone:.3g} s a step on one process"
    if left < LEAST_LEFT:
        print(f"{said}, which ends in {left:.0f} s", flush=True)
        stage(*arguments)
        return
    together = run_on_processes(partial(stage, trial=True), arguments, count, patience=LAUNCH_SECONDS + SLOWEST * took)
    if together is None:  # they came to its end
        return
    gained = together < GAIN * alone
    found = f"{together:.3g} s on {count}" if math.isfinite(together) else f"no answer from {count} in time"
    print(f"{said}, {found}: {count if gained else 'one'} from here on", flush=True)
    if gained:
        run_on_processes(stage, arguments, count)
    else:
        stage(*arguments)


def encoder(data: Path, run: Path, preset: Preset, hours: float | None = None, start: Path | None = None) -> None:
    """RUN/encoder, trained on the subjects in `data`."""
    check_hours(hours)
    train_encoder(data, run, preset.encoder, hours, start=start)


def adopt_clip(clip: str, run: Path, preset: Preset) -> None:
    """RUN/encoder, copied from a CLIP folder or the hub. One that is there already stays, and that is said.

    Raises:
        UserError: the CLIP cannot be used, or is not what the preset's prior is made for.
    """
    target = run / "encoder"
    if target.exists():
        print(f"encoder: {target} is there already, {clip} is not read; delete it to take another")
        return
    encoder = Encoder.from_pretrained(clip)
    if not preset.prior.phrases and encoder.text_width != preset.prior.network.text_width:
        raise UserError(
            f"--clip {clip}: its text is {encoder.text_width} numbers wide, the prior is for "
            f"{preset.prior.network.text_width}; set text_width of encoder.network and prior.network in a preset file"
        )
    encoder.save_pretrained(target)


def fit(
    data: Place,
    run: Place,
    preset: Preset,
    engine: Engine,
    seed: int,
    device: str = "cpu",
    start: Path | None = None,
    up: Up | None = None,
    scale: Literal["auto"] | None = None,
) -> None:
    """RUN/decoder and RUN/planes, and how well held-out views are met."""
    fitting = preset.fitting
    fitted = fit_dataset(data, run, fitting, engine, seed=seed, device=device, start=start, up=up, scale=scale)
    print("\n".join(quality_table(fitted)))


def palette(run: Path, preset: Preset) -> None:
    """RUN/palette.

    Raises:
        UserError: the preset's planes carry their colours themselves, or the run is not ready.
    """
    if preset.palette is None:
        raise UserError("--preset: its decoder has no materials, and so no palettes; choose another, or leave this out")
    train_palette(run, preset.palette)


def base(
    run: Path,
    preset: Preset,
    hours: float | None = None,
    start: Path | None = None,
    planes: Place | None = None,
    trial: bool = False,
) -> None:
    """RUN/base."""
    check_hours(hours)
    train_base(run, preset.base, hours, start, planes, trial)


def prior(run: Path, preset: Preset, hours: float | None = None) -> None:
    """RUN/prior."""
    check_hours(hours)
    train_prior(run, preset.prior, hours)


def upsampler(
    run: Path,
    preset: Preset,
    vgg: Path | None,
    hours: float | None = None,
    start: Path | None = None,
    planes: Place | None = None,
    trial: bool = False,
) -> None:
    """RUN/upsampler."""
    check_hours(hours)
    train_upsampler(run, preset.upsampler, vgg, hours, start, planes=planes, trial=trial)


def refiner(
    data: Path, run: Path, preset: Preset, vgg: Path | None, hours: float | None = None, trial: bool = False
) -> None:
    """RUN/refiner, from subjects of the run in pictures of the refiner's size."""
    check_hours(hours)
    train_refiner(data, run, preset.refiner, vgg, hours=hours, trial=trial)


def pack(run: Path, out: Path, preset: Preset) -> None:
    """A run folder for the networks that learn from the base model's planes; see `rodin.train.pack`."""
    pack_run(run, out, preset.base.network.size)


def model(run: Path) -> None:
    """RUN/model, from the stages' results."""
    save_model(assemble(run), run / "model")
    print(f"model: {run / 'model'}")
