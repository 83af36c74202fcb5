"""Fitting a set of subjects: the shared decoder, then ranges of subjects by many processes, a shard each.

RUN/decoder/             the shared decoder, frozen
RUN/start.safetensors    the planes that every fit starts from
RUN/fitting.json         how the subjects are fitted
RUN/worlds.json          how they get into the unit box, where a flag says so
RUN/fits-HASH/           one file a subject, HASH that of the decoder: an interrupted run goes on where it was
RUN/planes/              the finished set: shards, index, statistics; without those whose fit has failed

Subjects and RUN may be folders of this machine or URLs. What is small of a run under a URL is copied here for as long
as it is needed.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from rodin import checksums
from rodin.data.captures import MultiView, load_subject
from rodin.data.shards import (
    FittedSubject,
    Written,
    begin_shards,
    finish_shards,
    index_of,
    read_shard,
    read_subject,
    write_shard,
    write_subject,
)
from rodin.data.subject_folders import list_subjects, subject_name
from rodin.data.worlds import Placement, Up
from rodin.errors import UserError
from rodin.fan_out import Engine, Pool, advance, ranges
from rodin.files import atomic_path, check_settings, plain, write_json
from rodin.fit.batch import fit_planes_batch
from rodin.fit.doubts import LEAST_PSNR, doubts, likely_cause
from rodin.fit.measure import judge, overlap
from rodin.fit.palette import material_presence, mean_colours, shares_of
from rodin.fit.planes import FitConfig, FittedPlanes, fit_planes
from rodin.fit.scene import HeldOut, Scene, prepare
from rodin.fit.shared import SharedConfig, learn_decoder
from rodin.fit.worlds import WORLDS_NAME, place_subjects, run_placements
from rodin.materials import MATERIALS
from rodin.models.statistics import (
    STATISTICS_NAME,
    PlaneStatistics,
    PlaneStatisticsConfig,
    measure_statistics,
    save_statistics,
)
from rodin.parts import load_component, module_hash, noted, read_tensors, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.storage import Place, at_hand, check_writable, names_in, put_folder, remove

DECODER_NAME = "decoder"
SETTINGS_NAME = "fitting.json"
START_NAME = "start.safetensors"
SIZE_NAME = "fitting.planes.image_size of the preset (rodin preset prints one to edit)"
RAYS_AT_ONCE = 2**16  # in a step on a GPU, of all subjects: about a million samples, which need some GB
LOOKED_AT = 8  # subjects that are looked at before any is fitted
LOADERS = 2  # threads of a task that fits on a GPU
EXPLAINED = 3  # failed ones of which a cause is named
CLIP = 5.0  # standard deviations: residuals beyond are outliers of single texels


@dataclass(frozen=True, kw_only=True, slots=True)
class FittingConfig:
    """Both stages of fitting.

    Args:
        per_shard: The most subjects in one shard, which one task fits.
    """

    decoder: DecoderConfig
    shared: SharedConfig
    planes: FitConfig
    per_shard: int = 8

    def __post_init__(self) -> None:
        if self.per_shard < 1:
            raise ValueError(f"per_shard must be 1 or more, got {self.per_shard}")
        if self.decoder.materials not in (0, len(MATERIALS)):
            raise ValueError(
                f"decoder.materials must be {len(MATERIALS)}, as many as rodin synth names, or 0, got "
                f"{self.decoder.materials}"
            )


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a fit meets held-out views; see `FittedSubject`."""

    name: str
    psnr: float
    ssim: float
    iou: torch.Tensor | None


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
    with _settled(run) as local:
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
    fits = run / f"fits-{decoder_hash[:12]}"
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


@contextmanager
def _settled(run: Place) -> Iterator[Path]:
    """A run's decoder and settings in a folder of this machine: its own, or, of one under a URL, copies, which go back
    there in the end."""
    with _run_at_hand(run) as local:
        if not isinstance(run, Path):
            check_writable(run)
        yield local
        if not isinstance(run, Path):
            put_folder(local, run, last=SETTINGS_NAME)


@contextmanager
def _run_at_hand(run: Place) -> Iterator[Path]:
    """A run's folder on this machine; of one under a URL, a copy of decoder and settings for as long as this runs."""
    if isinstance(run, Path):
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="rodin-") as scratch:
        local = Path(scratch) / run.name
        local.mkdir()
        names = names_in(run)
        for name in (DECODER_NAME, START_NAME, WORLDS_NAME, SETTINGS_NAME):
            if name in names and SETTINGS_NAME in names:  # which is put last: without it the others may be half
                with at_hand(run / name) as copy:
                    shutil.move(copy, local / name)
        yield local


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
            with _run_at_hand(run) as local:
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


def shared_decoder(folders: Sequence[Place], run: Path, config: FittingConfig, seed: int) -> Decoder:
    """The run's decoder, learned now if the run has none; RUN/start.safetensors is written beside it."""
    folder = run / DECODER_NAME
    if folder.exists():
        decoder = load_component(Decoder, DecoderConfig, folder)
        if decoder.config != config.decoder:
            raise UserError(f"{folder}: holds {decoder.config}, asked for {config.decoder}; choose another --run")
        return decoder
    order = torch.randperm(len(folders), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = sorted(order[: config.shared.subjects])
    fit = config.planes
    with tqdm(chosen, desc="decoder: loading views", leave=False) as loading:
        placed = run_placements(run)
        loaded = [
            load_for(config.decoder, folders[k], fit.image_size, placed.get(subject_name(folders[k]))) for k in loading
        ]
    scenes = [prepare(subject, fit.samples, fit.held_out)[0] for subject in loaded]
    palettes = torch.stack([mean_colours(scene) for scene in scenes]) if config.decoder.materials else None
    with tqdm(total=config.shared.common_steps + config.shared.steps, desc="decoder") as bar:

        def report(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update()

        learned = learn_decoder(scenes, config.decoder, config.shared, fit, seed=seed, report=report, palettes=palettes)
    with atomic_path(run / START_NAME) as temporary:
        save_file({"planes": learned.start}, temporary)
        checksums.seal(temporary)
    save_component(learned.decoder, folder)  # last: its presence says that this stage is finished
    return learned.decoder


def adopt_decoder(model: Path, run: Path) -> None:
    """A run's decoder and the planes that its fits start from, taken from a model: what is fitted, the model can read.

    Raises:
        UserError: a part of the model is missing or damaged, or the run has another decoder.
    """
    decoder = load_component(Decoder, DecoderConfig, model / "decoder")
    if (own := run / DECODER_NAME).exists():
        if module_hash(load_component(Decoder, DecoderConfig, own)) != module_hash(decoder):
            raise UserError(f"{own}: another decoder than that of {model}; choose another --run, or leave out --start")
        return
    statistics = load_component(PlaneStatistics, PlaneStatisticsConfig, model / "statistics")
    with atomic_path(run / START_NAME) as temporary:
        save_file({"planes": statistics.mean_planes}, temporary)
        checksums.seal(temporary)
    save_component(decoder, run / DECODER_NAME)


def read_start(run: Path) -> torch.Tensor:
    """The planes [3, C, H, W] that every fit of the run starts from.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = run / START_NAME
    tensors = read_tensors(path)
    if "planes" not in tensors:
        raise UserError(f"{path}: holds no planes; delete {run / 'decoder'} to learn both again")
    return tensors["planes"]


def fit_name(folder: Place) -> str:
    """The file of a subject's fit in RUN/fits-HASH."""
    return f"{subject_name(folder)}.safetensors"


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
        fits = self.run / f"fits-{self.decoder_hash[:12]}"
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


class RunParts(NamedTuple):
    """What every fit of a run needs."""

    decoder: Decoder
    start: torch.Tensor
    placed: dict[str, Placement]


@lru_cache(1)
def _parts(run: Place, decoder_hash: str) -> RunParts:
    """Read once in a process, whose tasks are of one run."""
    return run_parts(run)


def run_parts(run: Place) -> RunParts:
    """Read from a run.

    Raises:
        UserError: a part is missing or damaged.
    """
    with _run_at_hand(run) as local:
        decoder = load_component(Decoder, DecoderConfig, local / DECODER_NAME).requires_grad_(False)
        return RunParts(decoder, read_start(local), run_placements(local))


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


def load_for(decoder: DecoderConfig, folder: Place, size: int, placed: Placement | None = None) -> MultiView:
    """A subject as a decoder's fits need it: see `load_subject`; with its maps if the decoder has materials.

    Raises:
        UserError: as `load_subject`, or the capture has no maps, which such a decoder learns from.
    """
    with at_hand(folder) as local:
        subject = load_subject(local, size, maps=bool(decoder.materials), placed=placed, size_name=SIZE_NAME)
        if decoder.materials:
            shares_of(subject)
    return subject


def fit_subject(
    subject: MultiView, decoder: Decoder, start: torch.Tensor, config: FitConfig, seed: int
) -> FittedSubject:
    """Fit and judge one subject, which `load_for` has read."""
    scene, held_out = prepare(subject, config.samples, config.held_out)
    palette = mean_colours(scene) if decoder.config.materials else None
    fitted = fit_planes(scene, decoder, start, config, seed=seed, palette=palette)
    return judged(subject, fitted, decoder, held_out)


def judged(subject: MultiView, fitted: FittedPlanes, decoder: Decoder, held_out: HeldOut) -> FittedSubject:
    """What is kept of a subject and its fit."""
    psnr, ssim = judge(fitted.planes, decoder, held_out, fitted.palette)
    made_of: dict[str, torch.Tensor] = {}
    if fitted.palette is not None:
        presence = material_presence(subject)
        iou = overlap(fitted.planes, decoder, held_out, fitted.palette)
        made_of = {"palette": fitted.palette.cpu(), "presence": presence, "iou": iou}
    return FittedSubject(
        subject.name,
        fitted.planes.cpu(),
        subject.caption,
        subject.images[subject.frontal],
        psnr=psnr,
        ssim=ssim,
        captions=subject.captions,
        **made_of,
    )


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
