"""What a task of fitting does, wherever it runs: the fits of a range of subjects, and their shard."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from tqdm import tqdm

from rodin.data.captures import MultiView
from rodin.data.shards import (
    Written,
    read_subject,
    write_shard,
    write_subject,
)
from rodin.data.subject_folders import subject_name
from rodin.fan_out import advance
from rodin.fit.batch import fit_planes_batch
from rodin.fit.palette import mean_colours
from rodin.fit.planes import FitConfig
from rodin.fit.run_folder import RunParts, fit_name, fits_of, run_parts
from rodin.fit.scene import HeldOut, Scene, prepare
from rodin.fit.subject import fit_subject, judged, load_for
from rodin.storage import Place

RAYS_AT_ONCE = 2**16  # in a step on a GPU, of all subjects: about a million samples, which need some GB
LOADERS = 2  # threads of a task that fits on a GPU


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a fit meets held-out views; see `FittedSubject`."""

    name: str
    psnr: float
    ssim: float
    iou: torch.Tensor | None


class ShardTask(NamedTuple):
    """A range of subjects that makes a shard: the shard's number, and their folders."""

    number: int
    folders: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeFit:
    """What a task does, wherever it runs: fit those of its subjects that have no fit yet, and write its shard.

    Args:
        run: where decoder, start and settings are, and fits and planes go.
        decoder_hash: of the run's decoder.
        device: "cpu" or "cuda".
        least_psnr: on held-out views, in dB, below which a subject is no part of the shard.
    """

    run: Place
    decoder_hash: str
    config: FitConfig
    seed: int
    device: str
    least_psnr: float

    def __call__(self, task: ShardTask) -> tuple[list[Quality], Written | None]:
        """The quality of all fits of the range, and its shard, if any is good enough.

        Raises:
            UserError: a subject cannot be read, or a place cannot be written.
        """
        fits = fits_of(self.run, self.decoder_hash)
        paths = [fits / fit_name(folder) for folder in task.folders]
        todo = [(folder, path) for folder, path in zip(task.folders, paths, strict=True) if not path.is_file()]
        advance(len(paths) - len(todo))
        if todo and self.device != "cpu":
            fit_on_device(todo, self.run, self.config, LOADERS, seed=self.seed, device=torch.device(self.device))
        elif todo:
            torch.set_num_threads(1)  # small operations on several threads fight each other
            parts = _parts(self.run, self.decoder_hash)
            for folder, path in todo:
                placed = parts.placed.get(subject_name(folder))
                subject = load_for(parts.decoder.config, folder, self.config.image_size, placed)
                write_subject(path, fit_subject(subject, parts.decoder, parts.start, self.config, seed=self.seed))
                advance()
        fitted = [read_subject(path) for path in paths]
        good = [subject for subject in fitted if subject.psnr >= self.least_psnr]
        qualities = [Quality(one.name, one.psnr, one.ssim, one.iou) for one in fitted]
        return qualities, write_shard(self.run / "planes", task.number, good) if good else None


@lru_cache(1)
def _parts(run: Place, decoder_hash: str) -> RunParts:
    """Read once in a process, whose tasks are of one run."""
    return run_parts(run)


def fit_on_device(
    todo: Sequence[tuple[Place, Place]], run: Place, config: FitConfig, workers: int, seed: int, device: torch.device
) -> None:
    """Fit (subject folder, result file) pairs, RAYS_AT_ONCE in a batch, while `workers` threads load the next.

    Results that are written stay, whatever happens to the others.
    """
    count = max(1, RAYS_AT_ONCE // config.rays)
    decoder, start, placed = run_parts(run)
    decoder = decoder.to(device)

    def load(folder: Place) -> tuple[MultiView, Scene, HeldOut]:
        subject = load_for(decoder.config, folder, config.image_size, placed.get(subject_name(folder)))
        return subject, *prepare(subject, config.samples, config.held_out)

    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(todo), desc="fitting", unit="subject") as bar:
        upcoming = [pool.submit(load, folder) for folder, _ in todo[:count]]
        for first in range(0, len(todo), count):
            batch, others = todo[first : first + count], todo[first + count :]
            loaded = [job.result() for job in upcoming]
            upcoming = [pool.submit(load, folder) for folder, _ in others[:count]]
            begun = [mean_colours(scene) for _, scene, _ in loaded] if decoder.config.materials else None
            found = fit_planes_batch(
                [scene for _, scene, _ in loaded],
                decoder,
                start,
                config,
                seed=seed,
                device=device,
                palettes=None if begun is None else torch.stack(begun),
            )
            for (subject, _, held_out), (_, path), one in zip(loaded, batch, found, strict=True):
                fitted = judged(subject, one, decoder, held_out.to(device))
                write_subject(path, fitted)
                bar.set_postfix(psnr=f"{fitted.psnr:.1f} dB", refresh=False)
                bar.update()
