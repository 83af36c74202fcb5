"""Fitted subjects, packed for training: what base model, prior and palette network read, in a hundredth of the space.

A set of fits takes 1.6 MB a subject. Of that these networks read the planes at the base model's size, and of the
frontal images their latents alone. The planes are stored as whole steps of about the noise that fits have anyway (two
fits of one subject differ by more), and neighbouring texels are alike, which a lossless picture format knows how to
use: some 1.8 bits a number.

    packed.safetensors
        planes     [bytes] uint8   a WebP a subject: R, G, B are the three planes, their channels below each other
        ends       [N] int64       where each of them ends
        latents    [N, 2, D] fp16  of the frontal image, and of its mirror image
        palettes   [N, K, 3], presence [N, K]   where the decoder has materials
        said       [bytes] uint8   names and captions, as JSON, deflated
        metadata   schema, count, decoder, encoder (hashes), shape, step

Symbols: N subjects, P = 3 planes, C channels, S side of the planes, D latent numbers, K materials.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.files import atomic_path, parse_json
from rodin.triplane import PLANES

PACKED_NAME = "packed.safetensors"
SCHEMA = 1
STEP = 0.5  # of the residuals (variance 1): rounding changes them by 0.021, another fit of a subject by 0.03
MIDDLE = 128  # the number that stands for 0
LONGEST_SAID = 64_000  # bytes a subject: more is a damaged file
EFFORT = 6  # of the compression, the most


class PackedSubject(NamedTuple):
    """What the networks know of a subject.

    Args:
        name: subject id, unique in a set.
        planes: [3, C, S, S] residuals (`rodin.models.statistics`), not mirrored.
        latents: [2, D] of unit length, of the frontal image and of its mirror image.
        caption: what it looks like, or "".
        captions: paraphrases of that, and it itself.
        palette, presence: [K, 3] and [K], see `rodin.data.shards.FittedSubject`.
    """

    name: str
    planes: Tensor
    latents: Tensor
    caption: str
    captions: tuple[str, ...]
    palette: Tensor | None = None
    presence: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a packed set was made of.

    Args:
        decoder, encoder: hashes of those that the planes and the latents mean something with.
        shape: of the planes, (3, C, S, S).
        step: of the residuals.
    """

    decoder: str
    encoder: str
    shape: tuple[int, ...]
    step: float = STEP


def is_packed(folder: Path) -> bool:
    """Whether a run's planes are a packed set."""
    return (Path(folder) / PACKED_NAME).is_file()


def write_packed(folder: Path, subjects: Iterable[PackedSubject], *, decoder: str, encoder: str) -> Facts:
    """Write a packed set to a folder, whole or not at all.

    Args:
        subjects: in the order in which they shall be read; N >= 1, of one shape.
        decoder, encoder: see `Facts`.

    Raises:
        UserError: there are no subjects, or the disk is full.
        ValueError: residuals are larger than 8 bits hold, or of several shapes.
    """
    pictures, latents, palettes, presence, said = [], [], [], [], []
    shape: tuple[int, ...] | None = None
    for subject in subjects:
        shape = shape or tuple(subject.planes.shape)
        if tuple(subject.planes.shape) != shape:
            raise ValueError(f"{subject.name}: planes are {list(subject.planes.shape)}, the first are {list(shape)}")
        pictures.append(_picture(subject.planes))
        latents.append(subject.latents.half())
        said.append({"name": subject.name, "caption": subject.caption, "captions": subject.captions})
        if subject.palette is not None and subject.presence is not None:
            palettes.append(subject.palette)
            presence.append(subject.presence)
    if shape is None:
        raise UserError(f"{folder}: there are no subjects to pack; fit some first")
    tensors = {
        "planes": _bytes(b"".join(pictures)),
        "ends": torch.tensor([len(one) for one in pictures]).cumsum(0),
        "latents": torch.stack(latents),
        "said": _bytes(zlib.compress(json.dumps(said).encode(), 9)),
    }
    if palettes:
        tensors |= {"palettes": torch.stack(palettes), "presence": torch.stack(presence)}
    facts = Facts(decoder=decoder, encoder=encoder, shape=shape)
    metadata = {
        "schema": str(SCHEMA),
        "count": str(len(said)),
        "decoder": decoder,
        "encoder": encoder,
        "shape": json.dumps(shape),
        "step": repr(facts.step),
    }
    with atomic_path(Path(folder) / PACKED_NAME) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    return facts


def read_facts(folder: Path) -> tuple[Facts, int]:
    """What a packed set was made of, and N.

    Raises:
        UserError: it is missing, cut off, or of another schema.
    """
    path = Path(folder) / PACKED_NAME
    with _opened(path) as file:
        return _facts(file.metadata(), path)


def read_packed(folder: Path) -> Iterator[PackedSubject]:
    """The subjects of a packed set, one at a time.

    Raises:
        UserError: as `read_facts`; while iterating: a subject is damaged.
    """
    path = Path(folder) / PACKED_NAME
    with _opened(path) as file:
        facts, count = _facts(file.metadata(), path)
        try:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            said = _said(tensors["said"], count)
            ends, data = tensors["ends"].tolist(), tensors["planes"].numpy()
            palettes, presence = tensors.get("palettes"), tensors.get("presence")
            if not len(ends) == len(said) == count or ends != sorted(ends) or ends[-1] != len(data):
                raise ValueError(f"{count} subjects, and pictures that end at {ends[-3:]} of {len(data)} bytes")
            for index, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
                yield PackedSubject(
                    name=said[index]["name"],
                    planes=_planes(data[begin:end].tobytes(), facts),
                    latents=F.normalize(tensors["latents"][index].float(), dim=-1),
                    caption=said[index]["caption"],
                    captions=tuple(said[index]["captions"]),
                    palette=None if palettes is None else palettes[index],
                    presence=None if presence is None else presence[index],
                )
        except (SafetensorError, OSError, KeyError, IndexError, TypeError, ValueError, zlib.error) as error:
            raise UserError(f"{path}: damaged ({one_line(error, kind=True)}); pack again") from error


def _picture(planes: Tensor) -> bytes:
    """Residuals [3, C, S, S] as a lossless WebP."""
    steps = (planes / STEP).round() + MIDDLE
    if not (steps.min() >= 0 and steps.max() <= 255):
        raise ValueError(f"residuals reach {planes.abs().max():g}, 8 bits hold {127 * STEP:g}")
    pixels = steps.to(torch.uint8).flatten(1, 2).movedim(0, -1).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels), mode="RGB").save(buffer, "WEBP", lossless=True, method=EFFORT)
    return buffer.getvalue()


def _planes(picture: bytes, facts: Facts) -> Tensor:
    """What `_picture` was made of, to within half a step."""
    planes, channels, height, width = facts.shape
    with Image.open(io.BytesIO(picture), formats=["WEBP"]) as image:
        if image.size != (width, channels * height):
            raise ValueError(f"a picture of {image.size[0]} x {image.size[1]}, not {width} x {channels * height}")
        pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return (pixels.movedim(-1, 0).reshape(planes, channels, height, width).float() - MIDDLE) * facts.step


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; pack a run with: rodin pack") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); pack again") from error


def _facts(metadata: dict[str, str] | None, path: Path) -> tuple[Facts, int]:
    metadata = metadata or {}
    if metadata.get("schema") != str(SCHEMA):
        raise UserError(f"{path}: schema {metadata.get('schema')}, this version reads {SCHEMA}; pack again")
    try:
        shape = tuple(int(number) for number in parse_json(metadata["shape"]))
        if len(shape) != 4 or shape[0] != PLANES:
            raise ValueError(f"shape {shape}")
        decoder, encoder, step = metadata["decoder"], metadata["encoder"], float(metadata["step"])
        return Facts(decoder=decoder, encoder=encoder, shape=shape, step=step), int(metadata["count"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({one_line(error, kind=True)}); pack again") from error


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _said(deflated: Tensor, count: int) -> list[dict[str, Any]]:
    """Names and captions of `count` subjects, and no more than they can be."""
    found: list[dict[str, Any]] = parse_json(
        zlib.decompressobj().decompress(deflated.numpy().tobytes(), LONGEST_SAID * count)
    )
    return found
