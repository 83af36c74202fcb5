"""A run's folder, as far as fits know it, on this machine or under a URL.

RUN/decoder/             the shared decoder, frozen
RUN/start.safetensors    the planes that every fit starts from
RUN/fitting.json         how the subjects are fitted
RUN/worlds.json          how they get into the unit box, where a flag says so
RUN/fits-HASH/           one file a subject, HASH that of the decoder: an interrupted run goes on where it was
RUN/planes/              the finished set: shards, index, statistics; without those whose fit has failed

What is small of a run under a URL is copied here for as long as it is needed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from rodin.data.subject_folders import subject_name
from rodin.data.worlds import Placement
from rodin.errors import UserError
from rodin.fit.worlds import WORLDS_NAME, run_placements
from rodin.parts import load_component, read_tensors
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.storage import Place, at_hand, check_writable, names_in, put_folder

DECODER_NAME = "decoder"
SETTINGS_NAME = "fitting.json"
START_NAME = "start.safetensors"


@contextmanager
def settled(run: Place) -> Iterator[Path]:
    """A run's decoder and settings in a folder of this machine: its own, or, of one under a URL, copies, which go back
    there in the end."""
    with run_at_hand(run) as local:
        if not isinstance(run, Path):
            check_writable(run)
        yield local
        if not isinstance(run, Path):
            put_folder(local, run, last=SETTINGS_NAME)


@contextmanager
def run_at_hand(run: Place) -> Iterator[Path]:
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


def fits_of(run: Place, decoder_hash: str) -> Place:
    """Where the fits with a decoder lie."""
    return run / f"fits-{decoder_hash[:12]}"


def fit_name(folder: Place) -> str:
    """The file of a subject's fit in RUN/fits-HASH."""
    return f"{subject_name(folder)}.safetensors"


class RunParts(NamedTuple):
    """What every fit of a run needs."""

    decoder: Decoder
    start: torch.Tensor
    placed: dict[str, Placement]


def run_parts(run: Place) -> RunParts:
    """Read from a run.

    Raises:
        UserError: a part is missing or damaged.
    """
    with run_at_hand(run) as local:
        decoder = load_component(Decoder, DecoderConfig, local / DECODER_NAME).requires_grad_(False)
        return RunParts(decoder, read_start(local), run_placements(local))
