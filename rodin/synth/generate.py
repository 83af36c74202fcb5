"""Make a set of synthetic subjects: share it among Blender processes, resume what is unfinished, show it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from rodin.errors import UserError, shown
from rodin.fan_out import Engine, advance, ranges
from rodin.storage import Place, Url, names_in, put_folder, read_json, write_json
from rodin.synth.recipe import VERSION
from rodin.synth.subject import FINISHED_NAME, folder_name, is_finished
from rodin.synth.worker import Job, Worker
from rodin.writer import own_name

LOGS_NAME = ".logs"
MOST_TOGETHER = 8  # subjects that one task renders
_RANGES = (("count", 1, 100_000), ("views", 1, 1000), ("size", 16, 4096), ("samples", 1, 4096))


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthConfig:
    """A set of synthetic subjects.

    Args:
        out: Folder of the set, or its URL; an existing set of the same settings is resumed or extended.
        count: Number of subjects.
        views: Images of each subject; the first is frontal.
        size: Edge of an image in pixels.
        seed: Seed of the set; subject i depends on (seed, i) alone.
        heads: `sdf` for the built-in procedural head, or an .npz file with a morphable head.
        samples: Rays a pixel before the denoiser, which cleans colour but not alpha.
    """

    out: Place
    count: int
    views: int
    size: int
    seed: int
    heads: str = "sdf"
    samples: int = 16

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name}: {value} is out of range; choose {low} to {high}")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed} is negative; choose 0 or more")


def generate(config: SynthConfig, engine: Engine) -> None:
    """Render every subject of the set that is not finished yet, then draw the overview.

    Raises:
        UserError: Blender is missing, the folder holds another set, the head file is unusable, or the disk is full.
    """
    # Only drawing needs fonts and images: the package itself stays cheap to import.
    from rodin.synth.overview import write_overview

    engine.check()
    _claim_folder(config)
    folders = [config.out / folder_name(index) for index in range(config.count)]
    tasks = ranges(config.count, MOST_TOGETHER)
    if isinstance(config.out, Path):  # under a URL each task looks itself, which takes its time
        missing = {index for index, folder in enumerate(folders) if not is_finished(folder)}
        for index in missing:
            for leftover in (config.out / folder_name(index)).glob(".writing-*"):
                shutil.rmtree(leftover, ignore_errors=True)
        tasks = [task for task in tasks if not missing.isdisjoint(task)]
    if tasks:
        with tqdm(total=config.views * sum(map(len, tasks)), unit="frame", desc="synth") as progress:
            engine.results(_work(config), tasks, progress.update)
        _forget_logs(config.out)
    if tasks or "overview.png" not in names_in(config.out):
        write_overview(folders, config.out / "overview.png")


def _claim_folder(config: SynthConfig) -> None:
    """Write or check `synth.json`, which holds the settings that every subject of a folder shares."""
    settings = {
        "generator": f"rodin-synth {VERSION}",
        "seed": config.seed,
        "size": config.size,
        "views": config.views,
        "samples": config.samples,
        "heads": _heads_identity(config.heads),
    }
    if isinstance(config.out, Path) and config.out.exists() and not config.out.is_dir():
        raise UserError(f"{config.out}: is a file; choose a folder")
    marker = config.out / "synth.json"
    if marker.is_file():
        found = read_json(marker)
        for name, value in settings.items():
            if not isinstance(found, dict) or found.get(name) != value:
                old = found.get(name) if isinstance(found, dict) else found
                raise UserError(
                    f"{name}: {config.out} was made with {shown(old)}, not {shown(value)}; use the same {name} or "
                    "another folder"
                )
        return
    if any(name[0].isdigit() and is_finished(config.out / name) for name in names_in(config.out)):
        raise UserError(f"{marker}: missing although the folder holds subjects; choose another folder")
    write_json(marker, settings)


def _heads_identity(heads: str) -> str:
    """`sdf`, or a digest of the morph model, so that a set never mixes two head models."""
    if heads == "sdf":
        return heads
    from rodin.synth.body.morph_head import load_morph_model

    return "npz " + load_morph_model(Path(heads)).digest()


def _work(config: SynthConfig) -> RenderRange:
    """What a task of the set does."""
    heads = config.heads if config.heads == "sdf" else str(Path(config.heads).resolve())
    out = config.out.resolve() if isinstance(config.out, Path) else config.out
    return RenderRange(
        out=out, views=config.views, size=config.size, seed=config.seed, heads=heads, samples=config.samples
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderRange:
    """What a task does, wherever it runs: render those of its subjects that are not finished. See `SynthConfig`."""

    out: Place
    views: int
    size: int
    seed: int
    heads: str
    samples: int

    def __call__(self, task: range) -> None:
        """Render subjects by their indices.

        Raises:
            UserError: Blender cannot be imported or fails, or the place cannot be written.
        """
        for index in task:
            folder = self.out / folder_name(index)
            if is_finished(folder):
                advance(self.views)
                continue
            worker, local = _blender(self)
            worker.render(index, advance)
            if isinstance(folder, Url):
                put_folder(local / folder_name(index), folder, last=FINISHED_NAME)
                shutil.rmtree(local / folder_name(index))


@lru_cache(1)
def _blender(work: RenderRange) -> tuple[Worker, Path]:
    """The Blender of this process, which ends with it, and the folder that it renders into."""
    out = work.out if isinstance(work.out, Path) else Path(tempfile.mkdtemp(prefix="rodin-synth-"))
    job = Job(out=str(out), views=work.views, size=work.size, seed=work.seed, heads=work.heads, samples=work.samples)
    worker = Worker(job, out / LOGS_NAME / f"{own_name()}.log")
    atexit.register(worker.stop)
    worker.start()
    return worker, out


def _forget_logs(out: Place) -> None:
    """Remove the logs of a set that is finished; they are empty."""
    if isinstance(out, Path):
        shutil.rmtree(out / LOGS_NAME, ignore_errors=True)
