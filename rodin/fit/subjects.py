"""Fitting a folder of subjects: the shared decoder, then every subject in parallel processes, then shards.

RUN/decoder/             the shared decoder, frozen
RUN/start.safetensors    the planes that every fit starts from
RUN/fitting.json         how the subjects are fitted
RUN/worlds.json          how they get into the unit box, where a flag says so
RUN/fits-HASH/           one file a subject, HASH that of the decoder: an interrupted run goes on where it was
RUN/planes/              the finished set: shards, index, statistics; without those whose fit has failed
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from rodin import checksums
from rodin.data.captures import MultiView, load_subject
from rodin.data.shards import FittedSubject, read_subject, write_shards, write_subject
from rodin.data.subject_folders import list_subjects
from rodin.data.worlds import Placement, Up
from rodin.errors import UserError
from rodin.files import atomic_path, check_settings, plain, write_json
from rodin.fit.batch import fit_planes_batch
from rodin.fit.doubts import LEAST_PSNR, doubts, likely_cause
from rodin.fit.measure import judge, overlap
from rodin.fit.palette import material_presence, mean_colours, shares_of
from rodin.fit.planes import FitConfig, FittedPlanes, fit_planes
from rodin.fit.scene import HeldOut, Scene, prepare
from rodin.fit.shared import SharedConfig, learn_decoder
from rodin.fit.worlds import place_subjects, run_placements
from rodin.materials import MATERIALS
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig, measure_statistics, save_statistics
from rodin.parts import load_component, module_hash, noted, read_tensors, save_component
from rodin.render.decoder import Decoder, DecoderConfig

SETTINGS_NAME = "fitting.json"
START_NAME = "start.safetensors"
SIZE_NAME = "fitting.planes.image_size of the preset (rodin preset prints one to edit)"
RAYS_AT_ONCE = 2**16  # in a step on a GPU, of all subjects: about a million samples, which need some GB
LOOKED_AT = 8  # subjects that are looked at before any is fitted
EXPLAINED = 3  # failed ones of which a cause is named
CLIP = 5.0  # standard deviations: residuals beyond are outliers of single texels


@dataclass(frozen=True, kw_only=True, slots=True)
class FittingConfig:
    """Both stages of fitting.

    Args:
        per_shard: Subjects in one shard.
    """

    decoder: DecoderConfig
    shared: SharedConfig
    planes: FitConfig
    per_shard: int = 1024

    def __post_init__(self) -> None:
        if self.decoder.materials not in (0, len(MATERIALS)):
            raise ValueError(
                f"decoder.materials must be {len(MATERIALS)}, as many as rodin synth names, or 0, got "
                f"{self.decoder.materials}"
            )


def fit_dataset(
    data: Path,
    run: Path,
    config: FittingConfig,
    workers: int,
    seed: int,
    device: str = "cpu",
    up: Up | None = None,
    scale: Literal["auto"] | None = None,
) -> list[FittedSubject]:
    """Fit all subjects in `data`; what `run` already holds is not fitted again. Fits that have failed are named, not
    kept, and no part of the finished set.

    Args:
        workers: processes of one thread each; on a GPU threads, which load subjects while it fits.
        device: where subjects are fitted, "cpu" or "cuda"; the shared decoder is learned on the CPU.
        up, scale: see `place_subjects`.

    Returns:
        the fitted subjects, in the order of their names.

    Raises:
        UserError: data or run cannot be used, a worker process was killed, or every fit has failed.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"--device: {device}, but PyTorch finds no such device; leave it out to fit on the CPU")
    folders = list_subjects(data)
    place_subjects(folders, run, up, scale)
    if not (run / "planes").exists():
        _tell_doubts(data, folders, run, config)
    decoder = shared_decoder(folders, run, config, seed)
    decoder_hash = module_hash(decoder)
    fits = run / f"fits-{decoder_hash[:12]}"
    paths = [fits / f"{folder.resolve().name}.safetensors" for folder in folders]  # "." has no name
    todo = [(folder, path) for folder, path in zip(folders, paths, strict=True) if not path.exists()]
    settings = {**noted(config.planes), "seed": seed}  # all subjects of a run must be fitted alike
    check_settings(run / SETTINGS_NAME, settings, "the run fits with", "give the same or another --run")
    if not (run / SETTINGS_NAME).exists():
        write_json(run / SETTINGS_NAME, plain(settings))
    if todo and device == "cpu":
        fit_in_parallel(todo, run, config.planes, workers, seed=seed)
    elif todo:
        fit_on_device(todo, run, config.planes, workers, seed=seed, device=torch.device(device))
    subjects = _without_failed([read_subject(path) for path in paths], folders, paths, run, config)
    planes = run / "planes"
    save_statistics(measure_statistics((subject.planes for subject in subjects), clip=CLIP), planes)
    write_shards(planes, subjects, decoder_hash=decoder_hash, per_shard=config.per_shard)
    return subjects


def _tell_doubts(data: Path, folders: list[Path], run: Path, config: FittingConfig) -> None:
    """Say what looks wrong with the captures, before hours are spent on them; some of many are looked at."""
    placed = run_placements(run)
    some = folders[:: math.ceil(len(folders) / LOOKED_AT)]
    found: dict[str, list[str]] = {}
    for folder in tqdm(some, desc="looking at captures", unit="subject", leave=False):
        subject = load_for(config.decoder, folder, config.planes.image_size, placed.get(folder.resolve().name))
        for doubt in doubts(subject):
            found.setdefault(doubt, []).append(subject.name)
    for doubt, names in found.items():
        print(f"{data}: {', '.join(names)}: {doubt}", flush=True)


def _without_failed(
    subjects: list[FittedSubject], folders: list[Path], paths: list[Path], run: Path, config: FittingConfig
) -> list[FittedSubject]:
    """The subjects whose fit meets held-out views. The files of the others go, so that they are fitted again once they
    are mended.

    Raises:
        UserError: no fit has succeeded.
    """
    failed = [index for index, subject in enumerate(subjects) if not subject.psnr >= LEAST_PSNR]
    placed = run_placements(run)
    said: list[str] = []
    for index in failed:
        line = f"{subjects[index].name} {subjects[index].psnr:.1f} dB"
        if len(said) < EXPLAINED:
            name = subjects[index].name
            capture = load_for(config.decoder, folders[index], config.planes.image_size, placed.get(name))
            line += f" ({likely_cause(capture)})"
        said.append(line)
        paths[index].unlink()
    lines = f"below {LEAST_PSNR:g} dB on held-out views: {', '.join(said)}"
    if len(failed) == len(subjects):
        raise UserError(f"{run}: every fit has failed, {lines}; mend the captures, and give another --run")
    if failed:
        print(f"{len(failed)} of {len(subjects)} fits have failed and are left out, {lines}", flush=True)
    return [subject for index, subject in enumerate(subjects) if index not in set(failed)]


def shared_decoder(folders: list[Path], run: Path, config: FittingConfig, seed: int) -> Decoder:
    """The run's decoder, learned now if the run has none; RUN/start.safetensors is written beside it."""
    folder = run / "decoder"
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
        names = [folder.resolve().name for folder in folders]
        loaded = [load_for(config.decoder, folders[k], fit.image_size, placed.get(names[k])) for k in loading]
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
    if (own := run / "decoder").exists():
        if module_hash(load_component(Decoder, DecoderConfig, own)) != module_hash(decoder):
            raise UserError(f"{own}: another decoder than that of {model}; choose another --run, or leave out --start")
        return
    statistics = load_component(PlaneStatistics, PlaneStatisticsConfig, model / "statistics")
    with atomic_path(run / START_NAME) as temporary:
        save_file({"planes": statistics.mean_planes}, temporary)
        checksums.seal(temporary)
    save_component(decoder, run / "decoder")


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


def fit_in_parallel(todo: list[tuple[Path, Path]], run: Path, config: FitConfig, workers: int, seed: int) -> None:
    """Fit (subject folder, result file) pairs; results that are written stay, whatever happens to the others."""
    read_start(run)  # a worker's failure to start would be reported as a killed one
    context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads can hang
    with ProcessPoolExecutor(min(workers, len(todo)), context, _start_worker, (run, config, seed)) as pool:
        try:
            jobs = [pool.submit(_fit_one, folder, path) for folder, path in todo]
            with tqdm(total=len(jobs), desc="fitting", unit="subject") as bar:
                for job in as_completed(jobs):
                    bar.set_postfix(psnr=f"{job.result():.1f} dB", refresh=False)
                    bar.update()
        except BrokenProcessPool as error:
            raise UserError(
                f"{run}: a fitting process was killed (out of memory?); run again to go on, with fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():  # what they have not written is fitted again
                worker.terminate()
            raise


def fit_on_device(
    todo: list[tuple[Path, Path]], run: Path, config: FitConfig, workers: int, seed: int, device: torch.device
) -> None:
    """Fit (subject folder, result file) pairs, RAYS_AT_ONCE in a batch, while `workers` threads load the next.

    Results that are written stay, whatever happens to the others.
    """
    count = max(1, RAYS_AT_ONCE // config.rays)
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False).to(device)
    start, placed = read_start(run), run_placements(run)

    def load(folder: Path) -> tuple[MultiView, Scene, HeldOut]:
        subject = load_for(decoder.config, folder, config.image_size, placed.get(folder.resolve().name))
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


def load_for(decoder: DecoderConfig, folder: Path, size: int, placed: Placement | None = None) -> MultiView:
    """A subject as a decoder's fits need it: see `load_subject`; with its maps if the decoder has materials.

    Raises:
        UserError: as `load_subject`, or the capture has no maps, which such a decoder learns from.
    """
    subject = load_subject(folder, size, maps=bool(decoder.materials), placed=placed, size_name=SIZE_NAME)
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


class _Worker:
    """What a fitting process keeps between subjects."""

    decoder: Decoder
    start: torch.Tensor
    config: FitConfig
    seed: int
    placed: dict[str, Placement]


def _start_worker(run: Path, config: FitConfig, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)  # small operations on several threads fight each other
    _Worker.decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    _Worker.start = read_start(run)
    _Worker.config, _Worker.seed = config, seed
    _Worker.placed = run_placements(run)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _fit_one(folder: Path, path: Path) -> float:
    config = _Worker.config
    placed = _Worker.placed.get(folder.resolve().name)
    subject = load_for(_Worker.decoder.config, folder, config.image_size, placed)
    fitted = fit_subject(subject, _Worker.decoder, _Worker.start, config, seed=_Worker.seed)
    write_subject(path, fitted)
    return fitted.psnr


def quality_table(subjects: list[FittedSubject]) -> Iterator[str]:
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
