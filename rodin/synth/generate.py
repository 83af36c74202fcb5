"""Make a set of synthetic subjects: share the work among Blender processes, resume what is unfinished, show it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from tqdm import tqdm

from rodin.errors import UserError
from rodin.files import read_json, write_json
from rodin.synth.recipe import VERSION
from rodin.synth.subject import is_finished, subject_folder
from rodin.synth.worker import Job, Worker

_RANGES = (("count", 1, 100_000), ("views", 1, 1000), ("size", 16, 4096), ("workers", 1, 256), ("samples", 1, 4096))


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthConfig:
    """A set of synthetic subjects.

    Args:
        out: Folder of the set; an existing set of the same settings is resumed or extended.
        count: Number of subjects.
        views: Images of each subject; the first is frontal.
        size: Edge of an image in pixels.
        seed: Seed of the set; subject i depends on (seed, i) alone.
        workers: Blender processes at work at the same time, one thread each.
        heads: `sdf` for the built-in procedural head, or an .npz file with a morphable head.
        samples: Rays a pixel before the denoiser, which cleans colour but not alpha.
    """

    out: Path
    count: int
    views: int
    size: int
    seed: int
    workers: int
    heads: str = "sdf"
    samples: int = 16

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name}: {value} is out of range; choose {low} to {high}")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed} is negative; choose 0 or more")


def generate(config: SynthConfig) -> None:
    """Render every subject of the set that is not finished yet, then draw the overview.

    Raises:
        UserError: Blender is missing, the folder holds another set, the head file is unusable, or the disk is full.
    """
    # Only drawing needs fonts and images: the package itself stays cheap to import.
    from rodin.synth.overview import write_overview

    _claim_folder(config)
    folders = {index: subject_folder(config.out, index) for index in range(config.count)}
    missing = [index for index, folder in folders.items() if not is_finished(folder)]
    for index in missing:
        for leftover in folders[index].glob(".writing-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    if missing:
        _render(config, missing)
    if missing or not (config.out / "overview.png").is_file():
        write_overview(list(folders.values()), config.out / "overview.png")


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
    if config.out.exists() and not config.out.is_dir():
        raise UserError(f"{config.out}: is a file; choose a folder")
    marker = config.out / "synth.json"
    if marker.is_file():
        found = read_json(marker)
        for name, value in settings.items():
            if not isinstance(found, dict) or found.get(name) != value:
                old = found.get(name) if isinstance(found, dict) else found
                raise UserError(
                    f"{name}: {config.out} was made with {old!r}, not {value!r}; use the same {name} or another folder"
                )
        return
    if any(config.out.glob("[0-9]*/transforms.json")):
        raise UserError(f"{marker}: missing although the folder holds subjects; choose another folder")
    write_json(marker, settings)


def _heads_identity(heads: str) -> str:
    """`sdf`, or a digest of the morph model, so that a set never mixes two head models."""
    if heads == "sdf":
        return heads
    from rodin.synth.body.morph_head import load_morph_model

    return "npz " + load_morph_model(Path(heads)).digest()


def _render(config: SynthConfig, missing: list[int]) -> None:
    """Let the workers take subjects from one queue until it is empty or one of them fails."""
    heads = config.heads if config.heads == "sdf" else str(Path(config.heads).resolve())
    job = Job(
        out=str(config.out.resolve()), views=config.views, size=config.size, seed=config.seed, heads=heads,
        samples=config.samples,
    )  # fmt: skip
    logs = config.out / ".logs"
    logs.mkdir(exist_ok=True)
    queue: SimpleQueue[int] = SimpleQueue()
    for index in missing:
        queue.put(index)
    count = min(config.workers, len(missing))
    workers = [Worker(job, logs / f"worker-{number}.log") for number in range(count)]

    def serve(worker: Worker) -> None:
        worker.start()
        while True:
            try:
                index = queue.get_nowait()
            except Empty:
                return
            worker.render(index, progress.update)

    with (
        tqdm(total=len(missing) * config.views, unit="frame", desc="synth") as progress,
        ThreadPoolExecutor(count) as pool,
    ):
        try:
            for future in [pool.submit(serve, worker) for worker in workers]:
                future.result()
        finally:
            # On a failure or an interrupt nothing must wait for the subjects that are still queued.
            for worker in workers:
                worker.stop()
