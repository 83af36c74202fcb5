"""A run made small, to train its networks elsewhere: `rodin train pack`."""

from __future__ import annotations

import shutil
from pathlib import Path

from tqdm import tqdm

from rodin.data.packed import PACKED_NAME, write_packed
from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.models.clip import Encoder
from rodin.models.statistics import STATISTICS_NAME
from rodin.parts import load_component, module_hash, weights_hash
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.subjects import count_subjects, read_subjects

WHOLE = ("decoder", "encoder")  # parts that are copied as they are


def pack_run(run: Path, out: Path, size: int) -> None:
    """Write a run folder in which palette network, prior and base model train as in `run`, and no other stage.

    Args:
        run: holds `encoder/`, `decoder/` and `planes/`.
        out: gets all of it but the fits, of which `planes/packed.safetensors` holds what those networks read.
        size: of the base model's planes.

    Raises:
        UserError: the run is not ready, `out` holds planes already, or the disk is full.
    """
    planes = out / "planes"
    if planes.exists():
        raise UserError(f"{planes}: is there already; delete it, or choose another folder")
    decoder = load_component(Decoder, DecoderConfig, run / "decoder")
    encoder = Encoder.from_pretrained(run / "encoder")
    count = count_subjects(run / "planes", decoder)
    for name in WHOLE:
        if not (out / name).exists():
            _copy(run / name, out / name)
    subjects = tqdm(read_subjects(run, encoder, size), total=count, desc="pack", unit="subject")
    with atomic_path(planes) as temporary:
        shutil.copytree(run / "planes" / STATISTICS_NAME, temporary / STATISTICS_NAME)
        write_packed(temporary, subjects, decoder=module_hash(decoder), encoder=weights_hash(encoder.state_dict()))
    megabytes = (planes / PACKED_NAME).stat().st_size / 1e6
    print(f"pack: {count} subjects, {megabytes:.1f} MB, {1e3 * megabytes / count:.1f} KB each; train with --run {out}")


def _copy(folder: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copytree(folder, temporary)
