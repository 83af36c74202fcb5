"""A run's decoder: learned from some of its subjects, or taken from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from rodin import checksums
from rodin.data.subject_folders import subject_name
from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.fit.config import FittingConfig
from rodin.fit.palette import mean_colours
from rodin.fit.run_folder import DECODER_NAME, START_NAME
from rodin.fit.scene import prepare
from rodin.fit.shared import learn_decoder
from rodin.fit.subject import load_for
from rodin.fit.worlds import run_placements
from rodin.models.statistics import (
    PlaneStatistics,
    PlaneStatisticsConfig,
)
from rodin.parts import load_component, module_hash, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.storage import Place


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
