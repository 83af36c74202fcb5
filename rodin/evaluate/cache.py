"""What an evaluation learns of the training data, kept on disk: the attribute reader and the union hull.

One file in the cache holds both, named by a digest of the data and of what was asked, so that it is made once and used
by every evaluation of any model trained on these data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from rodin.data.captures import load_subject
from rodin.errors import UserError, one_line
from rodin.evaluate.attribute_reader import AttributeReader, Lesson, label_size, labels_of, read_size, train_reader
from rodin.evaluate.floaters import CELLS
from rodin.files import atomic_path, parse_json
from rodin.fit.hull import visual_hull
from rodin.images import to_bytes
from rodin.render.rays import Occupancy

VERSION = 4  # another where what is learned of the same data changes
SIDEWAYS_DEG = 70.0  # views from farther behind are looked at less: little shows there but hair
BEHIND_WEIGHT = 0.2


@dataclass(frozen=True)
class Learned:
    """Of the training data.

    Args:
        reader: of the attributes that are judged.
        union: of all subjects' visual hulls.
    """

    reader: AttributeReader
    union: Occupancy


def learn(folders: Sequence[Path], names: Sequence[str], steps: int, cache: Path, maps: bool = False) -> Learned:
    """Learn from the subjects in `folders`, or read what was learned from them before.

    Args:
        names: attributes that the reader shall read.
        steps: of its training.
        cache: folder.
        maps: whether the reader is told what each pixel is made of; all subjects need material maps then.

    Raises:
        UserError: a subject cannot be read, or the cache's file is damaged or cannot be written.
    """
    path = cache / f"learned-{_digest(folders, names, steps, maps)}.safetensors"
    if path.is_file():
        return _load(path)
    pictures, labels, owners, weights, attributes = [], [], [], [], []
    union = torch.zeros(CELLS, CELLS, CELLS, dtype=torch.bool)
    for index, folder in enumerate(tqdm(folders, desc="learning from training subjects", leave=False)):
        subject = load_subject(folder, maps=maps)
        union |= visual_hull(subject.images, subject.camera, CELLS).grid
        pictures.append(to_bytes(read_size(subject.images)))
        if maps:
            assert subject.shares is not None
            labels.append(label_size(labels_of(subject.shares)).to(torch.uint8))
        owners += [index] * len(subject.images)
        behind = subject.camera.azimuth_deg.abs() > SIDEWAYS_DEG
        weights.append(torch.where(behind, BEHIND_WEIGHT, 1.0))
        attributes.append(subject.attributes)
    told = torch.cat(labels) if maps else None
    lesson = Lesson(torch.cat(pictures), torch.tensor(owners), torch.cat(weights), attributes, labels=told)
    learned = Learned(train_reader(lesson, names, steps), Occupancy(union))
    _save(learned, path)
    return learned


def _digest(folders: Sequence[Path], names: Sequence[str], steps: int, maps: bool) -> str:
    """Of subjects' descriptions and the sizes of their images, and of what was asked."""
    digest = hashlib.sha256(json.dumps([VERSION, list(names), steps, maps]).encode())
    for folder in folders:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            digest.update(f"{folder.name}/{path.name} {path.stat().st_size}\n".encode())
            if path.suffix == ".json":
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _save(learned: Learned, path: Path) -> None:
    tensors = {f"reader.{name}": value.contiguous() for name, value in learned.reader.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(
            {"union": learned.union.grid, **tensors}, temporary, metadata={"values": json.dumps(learned.reader.values)}
        )


def _load(path: Path) -> Learned:
    try:
        with safe_open(path, framework="pt") as file:
            values = parse_json(file.metadata()["values"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        union = Occupancy(tensors.pop("union"))
        reader = AttributeReader(values)
        reader.load_state_dict({name.removeprefix("reader."): value for name, value in tensors.items()})
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: a damaged file of the cache ({one_line(error)}); delete it") from error
    return Learned(reader.eval().requires_grad_(False), union)
