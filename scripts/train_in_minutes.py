"""Palette network, prior and base model of a packed run in a given time, and their weights in pieces to carry home.

    rodin train pack --run RUN --out small --preset mini                       # here: 12 KB a subject
    python scripts/train_in_minutes.py train small --out pieces --minutes 9    # on the machine with the GPU
    python scripts/train_in_minutes.py collect pieces RUN                      # here again

The base model gets the time that the two others leave. Upsampler and refiner, which learn from the fits themselves, are
trained in RUN by `rodin train all`, which leaves alone what is there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.parts import WEIGHTS_NAME, read_tensors
from rodin.train import chain
from rodin.train.presets import load_preset

PARTS = ("palette", "words", "prior", "base")


def main() -> None:
    """Read the command line, and train or collect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    training = commands.add_parser("train", help="train the networks of a packed run")
    training.add_argument("run", type=Path)
    training.add_argument("--out", type=Path, required=True, help="folder for the pieces")
    training.add_argument("--minutes", type=float, default=9.0)
    training.add_argument(
        "--reserve", type=float, default=20.0, help="seconds of them for the last checkpoint and pieces"
    )
    training.add_argument("--preset", default="mini-gpu")
    training.add_argument("--start", type=Path, help="model folder whose base model to begin from")
    training.add_argument("--piece", type=float, default=16.0, help="MiB of a piece, at most")
    collecting = commands.add_parser("collect", help="put pieces into a run")
    collecting.add_argument("pieces", type=Path)
    collecting.add_argument("run", type=Path)
    given = parser.parse_args()
    try:
        if given.command == "train":
            train(given.run, given.preset, given.minutes * 60 - given.reserve, given.start)
            for name in PARTS:
                if (given.run / name).is_dir():
                    write_pieces(given.run / name, given.out, int(given.piece * 2**20))
        else:
            collect(given.pieces, given.run)
    except UserError as error:
        print(f"train_in_minutes: {error}", file=sys.stderr)
        sys.exit(2)


def train(run: Path, name: str, seconds: float, start: Path | None) -> None:
    """All three networks; the base model in what is left of the time.

    Raises:
        UserError: no time is left for it, or a stage cannot be trained.
    """
    began, preset = time.monotonic(), load_preset(name)
    if preset.palette is not None:
        chain.palette(run, preset)
    chain.prior(run, preset)
    left = seconds - (time.monotonic() - began)
    if left <= 0:
        raise UserError(f"--minutes: nothing is left for the base model ({left:.0f} seconds); give more")
    chain.base(run, preset, left / 3600, start)


def write_pieces(part: Path, out: Path, limit: int) -> None:
    """A part's weights in half precision, in files of at most so many bytes, each with the part's other files.

    Raises:
        UserError: one tensor alone is larger, or the disk is full.
    """
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(part.glob("*.json"))}
    room = limit - sum(map(len, texts.values())) - 2**16  # for names
    pieces: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for key, value in read_tensors(part / WEIGHTS_NAME).items():
        half = value.half() if value.is_floating_point() else value
        if half.nbytes > room:
            raise UserError(f"{part}: {key} has {half.nbytes / 2**20:.1f} MiB; give larger pieces")
        if size + half.nbytes > room:
            pieces.append({})
            size = 0
        pieces[-1][key] = half
        size += half.nbytes
    for index, piece in enumerate(pieces):
        with atomic_path(out / f"{part.name}-{index + 1}-of-{len(pieces)}.safetensors") as temporary:
            save_file(piece, temporary, metadata=texts)


def collect(pieces: Path, run: Path) -> None:
    """Put the parts that the pieces make up into a run.

    Raises:
        UserError: a piece is missing, or a part is there already.
    """
    found = sorted(pieces.glob("*-of-*.safetensors"))
    if not found:
        raise UserError(f"{pieces}: holds no pieces; give the folder that was written by train")
    for name in sorted({path.name.rsplit("-", 3)[0] for path in found}):
        own = [path for path in found if path.name.rsplit("-", 3)[0] == name]
        count = int(own[0].stem.rsplit("-", 1)[1])
        if len(own) != count:
            raise UserError(f"{pieces}: {len(own)} of {count} pieces of {name}; bring them all")
        if (run / name).exists():
            raise UserError(f"{run / name}: is there already; delete it to take the pieces' one")
        weights = {key: value for path in own for key, value in read_tensors(path).items()}
        with safe_open(own[0], framework="pt") as file:
            texts = file.metadata()
        with atomic_path(run / name) as temporary:
            temporary.mkdir()
            for file_name in ("config.json", "diffusion.json"):  # names from outside are never paths here
                if file_name in texts:
                    (temporary / file_name).write_text(texts[file_name], encoding="utf-8")
            save_file(weights, temporary / WEIGHTS_NAME)
        print(f"{name}: {run / name}")


if __name__ == "__main__":
    main()
