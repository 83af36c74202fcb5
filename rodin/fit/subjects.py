"""Fitting a set of subjects: the shared decoder, then ranges of subjects by many processes, a shard each.

Subjects and run may be folders of this machine or URLs; what lies in a run is told by `rodin.fit.run_folder`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

from rodin import checksums
from rodin.data.shards import (
    FittedSubject,
    Written,
    begin_shards,
    finish_shards,
    index_of,
    read_shard,
)
from rodin.data.subject_folders import list_subjects, subject_name
from rodin.data.worlds import Up
from rodin.errors import UserError
from rodin.fan_out import Engine, Pool, ranges
from rodin.files import check_settings, plain, write_json
from rodin.fit.config import FittingConfig
from rodin.fit.decoder import adopt_decoder, shared_decoder
from rodin.fit.doubts import LEAST_PSNR, doubts, likely_cause
from rodin.fit.run_folder import SETTINGS_NAME, fit_name, fits_of, run_at_hand, settled
from rodin.fit.subject import load_for
from rodin.fit.task import Quality, RangeFit, ShardTask, fit_on_device
from rodin.fit.worlds import place_subjects, run_placements
from rodin.materials import MATERIALS
from rodin.models.statistics import (
    STATISTICS_NAME,
    measure_statistics,
    save_statistics,
)
from rodin.parts import module_hash, noted
from rodin.storage import Place, names_in, put_folder, remove

LOOKED_AT = 8  # subjects that are looked at before any is fitted
EXPLAINED = 3  # failed ones of which a cause is named
CLIP = 5.0  # standard deviations: residuals beyond are outliers of single texels


def fit_dataset(
    data: Place,
    run: Place,
    config: FittingConfig,
    engine: Engine,
    seed: int,
    device: str = "cpu",
    start: Path | None = None,
    up: Up | None = None,
    scale: Literal["auto"] | None = None,
) -> list[Quality]:
    """Fit all subjects in `data`; what `run` already holds is not fitted again. Fits that have failed are named, not
    kept, and no part of the finished set.

    Args:
        engine: who fits; the shared decoder is learned here.
        device: where subjects are fitted, "cpu" or "cuda". On a GPU of this machine its own process fits, while the
            pool's workers are threads that load subjects.
        start: a model whose decoder is kept; see `adopt_decoder`.
        up, scale: see `place_subjects`.

    Returns:
        of the fitted subjects, in the order of their names.

    Raises:
        UserError: data or run cannot be used, a worker process was killed, or every fit has failed.
    """
    if device != "cpu" and isinstance(engine, Pool) and not torch.cuda.is_available():
        raise UserError(f"--device: {device}, but PyTorch finds no such device; leave it out to fit on the CPU")
    engine.check()
    folders = list_subjects(data)
    with settled(run) as local:
        if start is not None:
            adopt_decoder(start, local)
        place_subjects(folders, local, up, scale)
        if not names_in(run / "planes"):
            _tell_doubts(data, folders, local, config)
        decoder_hash = module_hash(shared_decoder(folders, local, config, seed))
        settings = {**noted(config.planes), "seed": seed}  # all subjects of a run must be fitted alike
        check_settings(local / SETTINGS_NAME, settings, "the run fits with", "give the same or another --run")
        if not (local / SETTINGS_NAME).exists():
            write_json(local / SETTINGS_NAME, plain(settings))
    fits = fits_of(run, decoder_hash)
    begun = set(names_in(fits))
    missing = [(folder, fits / fit_name(folder)) for folder in folders if fit_name(folder) not in begun]
    begin_shards(run / "planes")
    if device != "cpu" and isinstance(engine, Pool):
        fit_on_device(missing, run, config.planes, engine.workers, seed=seed, device=torch.device(device))
        missing = []
    work = RangeFit(
        run=_absolute(run),
        decoder_hash=decoder_hash,
        config=config.planes,
        seed=seed,
        device=device,
        least_psnr=LEAST_PSNR,
    )
    tasks = [
        ShardTask(number, tuple(_absolute(folders[index]) for index in part))
        for number, part in enumerate(ranges(len(folders), config.per_shard))
    ]
    with tqdm(total=len(folders), desc="fitting", unit="subject") as bar:
        if missing or not isinstance(engine, Pool):
            results = engine.results(work, tasks, bar.update)
        else:
            results = [work(task) for task in tasks]  # shards alone: a pool takes longer to start
    qualities = [quality for found, _ in results for quality in found]
    good = _without_failed(qualities, folders, run, config, fits)
    _finish(run / "planes", [part for _, part in results if part is not None], decoder_hash)
    return good


def _absolute(place: Place) -> Place:
    """A place as processes that stand elsewhere find it."""
    return place.absolute() if isinstance(place, Path) else place


def _finish(planes: Place, parts: Sequence[Written], decoder_hash: str) -> None:
    """Write statistics and, last, the index of shards, which are read once for it, and so checked."""
    index = index_of(planes, parts, decoder_hash)
    read = (subject.planes for shard in index.shards for subject in read_shard(planes, index, shard))
    statistics = measure_statistics(
        tqdm(read, desc="statistics", total=index.count, unit="subject", leave=False), clip=CLIP
    )
    if isinstance(planes, Path):
        save_statistics(statistics, planes)
    else:
        with tempfile.TemporaryDirectory(prefix="rodin-") as scratch:
            save_statistics(statistics, Path(scratch))
            put_folder(Path(scratch) / STATISTICS_NAME, planes / STATISTICS_NAME, last=checksums.NAME)
    finish_shards(planes, index, parts)


def _tell_doubts(data: Place, folders: Sequence[Place], run: Path, config: FittingConfig) -> None:
    """Say what looks wrong with the captures, before hours are spent on them; some of many are looked at."""
    placed = run_placements(run)
    some = folders[:: math.ceil(len(folders) / LOOKED_AT)]
    found: dict[str, list[str]] = {}
    for folder in tqdm(some, desc="looking at captures", unit="subject", leave=False):
        subject = load_for(config.decoder, folder, config.planes.image_size, placed.get(subject_name(folder)))
        for doubt in doubts(subject):
            found.setdefault(doubt, []).append(subject.name)
    for doubt, names in found.items():
        print(f"{data}: {', '.join(names)}: {doubt}", flush=True)


def _without_failed(
    qualities: Sequence[Quality], folders: Sequence[Place], run: Place, config: FittingConfig, fits: Place
) -> list[Quality]:
    """The subjects whose fit meets held-out views. The files of the others go, so that they are fitted again once they
    are mended.

    Raises:
        UserError: no fit has succeeded.
    """
    failed = [index for index, quality in enumerate(qualities) if not quality.psnr >= LEAST_PSNR]
    said: list[str] = []
    for index in failed:
        name = qualities[index].name
        line = f"{name} {qualities[index].psnr:.1f} dB"
        if len(said) < EXPLAINED:
            with run_at_hand(run) as local:
                placed = run_placements(local).get(name)
            capture = load_for(config.decoder, folders[index], config.planes.image_size, placed)
            line += f" ({likely_cause(capture)})"
        said.append(line)
        remove(fits / fit_name(folders[index]))
    lines = f"below {LEAST_PSNR:g} dB on held-out views: {', '.join(said)}"
    if len(failed) == len(qualities):
        raise UserError(f"{run}: every fit has failed, {lines}; mend the captures, and give another --run")
    if failed:
        print(f"{len(failed)} of {len(qualities)} fits have failed and are left out, {lines}", flush=True)
    return [quality for index, quality in enumerate(qualities) if index not in set(failed)]


def quality_table(subjects: Sequence[Quality | FittedSubject]) -> Iterator[str]:
    """Lines that sum up held-out quality: mean and worst."""
    psnr = [subject.psnr for subject in subjects]
    worst = min(subjects, key=lambda subject: subject.psnr)
    ssim = sum(subject.ssim for subject in subjects) / len(subjects)
    yield f"held-out views of {len(subjects)} subjects, rendered without culling:"
    yield f"  PSNR {sum(psnr) / len(psnr):.2f} dB (worst {worst.psnr:.2f} dB: {worst.name}), SSIM {ssim:.3f}"
    overlaps = [subject.iou for subject in subjects if subject.iou is not None]
    if overlaps:
        means = torch.stack(overlaps).nanmean(dim=0).tolist()
        named = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(MATERIALS, means, strict=True) if mean == mean)
        yield f"  intersection over union of materials: {named}"
