"""Fitted tri-planes on disk, and their statistics.

While fitting, each subject is one safetensors file, so that an interrupted run goes on where it was. The finished set
is a folder of webdataset shards:

    planes-00000.tar ...  a range of subjects each; members NAME.safetensors (planes, fp16; palette and presence, where
                          the decoder has materials), NAME.json (id, captions, quality), NAME.png (frontal)
    index.json            written last: schema, the decoder's hash, plane shape, and name, count and bytes of each shard
    statistics/           what maps planes to the unit-variance residuals that the diffusion learns, and back

Planes mean something only together with the decoder that they were fitted with, hence its hash in the index.

Symbols: P = 3 planes, C channels, H W rows and columns, K materials.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from rodin import checksums
from rodin.errors import UserError, one_line
from rodin.files import check_schema, parse_json
from rodin.images import check_colours, check_pixels, from_bytes, to_bytes
from rodin.parts import check_finite, config_from_dict
from rodin.storage import Place, as_place, at_hand, names_in, read_json, remove, size_of, written
from rodin.triplane import check_planes, mirror

SCHEMA = 2
INDEX_NAME = "index.json"
TAR_MAGIC = (257, b"ustar")  # where it stands: a compressed one could hold anything
MOST_PIXELS = 2**24  # of a frontal view


@dataclass(frozen=True)
class FittedSubject:
    """One avatar as fitted planes.

    Args:
        name: subject id, unique in a set.
        planes: [3, C, H, W] float32; stored as fp16.
        caption: what the subject looks like, or "".
        frontal: [H', W', 4] frontal view, straight sRGB in [0, 1]; stored in 8 bits a channel, losslessly.
        psnr, ssim: quality of the fit on held-out views.
        captions: paraphrases of the caption; none given means (caption,), or () where there is no caption either.
        palette: [K, 3] colours of the materials in [0, 1], where the planes carry none; else None.
        presence: [K] share of each material in what its views show; goes with `palette`.
        iou: [K] intersection over union of the materials in held-out views, nan where one is not seen; with `palette`.
    """

    name: str
    planes: Tensor
    caption: str
    frontal: Tensor
    psnr: float
    ssim: float
    captions: tuple[str, ...] = ()
    palette: Tensor | None = None
    presence: Tensor | None = None
    iou: Tensor | None = None

    def __post_init__(self) -> None:
        if self.caption and not self.captions:
            object.__setattr__(self, "captions", (self.caption,))
        check_planes(self.planes, leading=0)
        if self.frontal.ndim != 3 or self.frontal.shape[-1] != 4:
            raise ValueError(f"frontal must be [H, W, 4], got {list(self.frontal.shape)}")
        if (self.palette is None) != (self.presence is None):
            raise ValueError("palette and presence go together, one of them is missing")
        if self.palette is not None and self.presence is not None:
            check_colours(self.palette)
            if self.presence.shape != self.palette.shape[:1]:
                raise ValueError(f"presence must be [K={len(self.palette)}], got {list(self.presence.shape)}")

    def mirrored(self) -> FittedSubject:
        """The avatar's mirror image, seen from the front in a mirror.

        Exact but for what the decoder makes of the viewing direction, which is not mirrored. Captions must not tell
        left from right.
        """
        return dataclasses.replace(self, planes=mirror(self.planes), frontal=self.frontal.flip(-2))


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One line of the index: file name, number of subjects in it, size of the file in bytes."""

    name: str
    count: int
    bytes: int

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or Path(self.name).name != self.name:
            raise ValueError(f"shard name must be a file name, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What is known of a shard by who has written it: its line of the index, its checksum, and what it holds."""

    shard: Shard
    crc32: str
    plane_shape: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What `index.json` says about a folder of shards."""

    schema: int
    decoder_hash: str
    plane_shape: tuple[int, ...]
    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """Number of subjects in all shards."""
        return sum(shard.count for shard in self.shards)


# ---- one subject


def write_subject(path: Place, subject: FittedSubject) -> None:
    """Write one subject to a safetensors file, whole or not at all."""
    tensors = {**_tensors(subject), "frontal": to_bytes(subject.frontal)}
    with written(path) as temporary:
        save_file(tensors, temporary, metadata={"subject": json.dumps(_facts(subject))})
        checksums.seal(temporary)


def read_subject(path: Place) -> FittedSubject:
    """Read a file of `write_subject`.

    Raises:
        UserError: the file is missing, cut off, or of another kind.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    try:
        with at_hand(path) as copy:
            with safe_open(copy, framework="pt") as file:
                metadata = file.metadata() or {}
                facts = parse_json(metadata["subject"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            checksums.check_seal(copy, metadata)
        return _subject(tensors, from_bytes(tensors["frontal"]), facts)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(
            f"{path}: not a whole file of a fitted subject ({one_line(error, kind=True)}); fit it again"
        ) from error


# ---- shards


def write_shards(folder: Path, subjects: Iterable[FittedSubject], *, decoder_hash: str, per_shard: int) -> None:
    """Write a set of subjects as webdataset shards, replacing the set that the folder had.

    Each shard is written whole or not at all, and the index last: without it a set does not count. Only one shard of
    subjects is in memory at a time if `subjects` is an iterator.

    Raises:
        UserError: no subjects, two of one name, planes of different shapes, or the disk is full.
    """
    if per_shard < 1:
        raise UserError(f"per_shard: {per_shard} subjects; choose at least 1")
    begin_shards(folder)
    remaining = iter(subjects)
    parts: list[Written] = []
    while batch := list(islice(remaining, per_shard)):
        parts.append(write_shard(folder, len(parts), batch))
    finish_shards(folder, index_of(folder, parts, decoder_hash), parts)


def begin_shards(folder: Place) -> None:
    """Let the set that a folder has not count from now on."""
    for name in (INDEX_NAME, checksums.NAME):
        remove(folder / name)


def write_shard(folder: Place, number: int, subjects: Sequence[FittedSubject]) -> Written:
    """Write one shard of a set, at least one subject, whole or not at all. Any number of processes may do so, for any
    shards, in any order.

    Raises:
        UserError: planes of different shapes, the place cannot be written, or the disk is full.
    """
    from webdataset import TarWriter  # a second of imports that only writing and reading shards need

    shape = tuple(subjects[0].planes.shape)
    for subject in subjects:
        if tuple(subject.planes.shape) != shape:
            raise _other_shape(subject.name, tuple(subject.planes.shape), shape)
    name = f"planes-{number:05d}.tar"
    with written(folder / name) as temporary:
        # PAX: long names. mtime 0: the same planes make the same file
        with open(temporary, "wb") as file, TarWriter(file, encoder=False, mtime=0, format="PAX_FORMAT") as tar:
            for subject in subjects:
                tar.write(
                    {
                        "__key__": sample_key(subject.name),
                        "safetensors": save(_tensors(subject)),
                        "json": json.dumps(_facts(subject)).encode(),
                        "png": _png(subject.frontal),
                    }
                )
        return Written(
            shard=Shard(name=name, count=len(subjects), bytes=temporary.stat().st_size),
            crc32=checksums.file_sum(temporary),
            plane_shape=shape,
            names=tuple(subject.name for subject in subjects),
        )


def index_of(folder: Place, parts: Sequence[Written], decoder_hash: str) -> Index:
    """The index of a set of shards, all of which are written.

    Raises:
        UserError: no subjects, two of one name, or planes of different shapes.
    """
    if not parts:
        raise UserError(f"{folder}: there are no subjects to write; fit some first")
    keys: set[str] = set()
    for part in parts:
        if part.plane_shape != parts[0].plane_shape:
            raise _other_shape(part.names[0], part.plane_shape, parts[0].plane_shape)
        for name in part.names:
            if (key := sample_key(name)) in keys:
                raise UserError(f"{name}: two subjects have this name; rename one")
            keys.add(key)
    shards = tuple(part.shard for part in parts)
    return Index(schema=SCHEMA, decoder_hash=decoder_hash, plane_shape=parts[0].plane_shape, shards=shards)


def finish_shards(folder: Place, index: Index, parts: Sequence[Written]) -> None:
    """Write checksums and index of a set of shards, and remove shards that are no part of it."""
    kept = {shard.name for shard in index.shards}
    for name in names_in(folder):
        if name.startswith("planes-") and name.endswith(".tar") and name not in kept:
            remove(folder / name)
    sums = {part.shard.name: part.crc32 for part in parts}
    checksums.finish_with(folder, INDEX_NAME, dataclasses.asdict(index), sums)


def _other_shape(name: str, found: tuple[int, ...], first: tuple[int, ...]) -> UserError:
    return UserError(f"{name}: planes are {list(found)}, the first subject's {list(first)}; fit all alike")


def read_index(folder: str | Place, *, decoder_hash: str | None = None) -> Index:
    """Read the index and check the shards' presence and sizes, and the decoder's hash if one is given.

    Args:
        folder: of this machine, or a URL.

    Raises:
        UserError: the index is missing, of another version or of another decoder; a shard is missing or cut off; or
            the URL cannot be reached.
    """
    path = as_place(folder) / INDEX_NAME
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a folder of fitted planes, or finish the interrupted fit")
    checksums.check(path.parent, [INDEX_NAME])
    document = read_json(path)
    check_schema(path, document.get("schema") if isinstance(document, dict) else None, [SCHEMA], "fit again")
    entries = document.get("shards")
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: shards is no list of shards; fit again")
    shards = [config_from_dict(Shard, shard, str(path)) for shard in entries]
    index = config_from_dict(Index, {**document, "shards": shards}, str(path))
    if decoder_hash is not None and index.decoder_hash != decoder_hash:
        raise UserError(
            f"{path}: the planes were fitted with decoder {index.decoder_hash!s:.12}, not {decoder_hash[:12]}; "
            "refit them or use their decoder"
        )
    for shard in index.shards:
        file = path.parent / shard.name
        if not file.is_file():
            raise UserError(f"{file}: this shard is missing; copy it again or fit again")
        if (size := size_of(file)) != shard.bytes:
            raise UserError(f"{file}: {size} bytes, {shard.bytes} were written; copy it again or fit again")
    return index


def read_shards(folder: str | Place, *, decoder_hash: str | None = None) -> Iterator[FittedSubject]:
    """The subjects of a set, in the order in which they were written, one at a time.

    The index, the presence and the sizes of the shards are checked before this returns.

    Args:
        folder: of this machine, or a URL, of which one shard at a time is copied to this machine.

    Raises:
        UserError: as `read_index`; while iterating: a shard is damaged, or holds another number of subjects than the
            index says.
    """
    folder = as_place(folder)
    index = read_index(folder, decoder_hash=decoder_hash)
    return (subject for shard in index.shards for subject in read_shard(folder, index, shard))


def sample_key(name: str) -> str:
    """A subject's name as a tar member may have it: webdataset splits keys at dots and slashes, so both are escaped."""
    return quote(name, safe="", errors="surrogateescape").replace(".", "%2E")


def read_shard(folder: Place, index: Index, shard: Shard) -> Iterator[FittedSubject]:
    """The subjects of one shard of a set, one at a time.

    Raises:
        UserError: it is damaged, or holds another number of subjects than the index says.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    path, count = folder / shard.name, 0
    with at_hand(path) as copy, open(copy, "rb") as stream:
        checksums.check(folder, [shard.name], copy)
        if stream.read(TAR_MAGIC[0] + len(TAR_MAGIC[1]))[TAR_MAGIC[0] :] != TAR_MAGIC[1]:
            raise UserError(f"{path}: is no plain tar file; copy it again or refit")
        stream.seek(0)
        # The lower half of webdataset's reader: its default handlers re-raise, and no URL or brace in a path is
        # expanded. A tar cut off between members still ends quietly, hence the count.
        samples = group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}]))
        try:
            for sample in samples:
                subject = _from_sample(sample)
                if tuple(subject.planes.shape) != index.plane_shape:
                    raise ValueError(f"planes {list(subject.planes.shape)}, not {list(index.plane_shape)}")
                count += 1
                yield subject
        except Exception as error:  # tarfile, Pillow, safetensors and json: whatever damaged bytes can raise
            reason = one_line(error, kind=True)
            raise UserError(f"{path}: damaged after {count} subjects ({reason}); copy it again or refit") from error
    if count != shard.count:
        raise UserError(f"{path}: holds {count} subjects, the index has {shard.count}; copy it again or refit")


def _from_sample(sample: dict[str, Any]) -> FittedSubject:
    with Image.open(io.BytesIO(sample["png"]), formats=["PNG"]) as image:
        check_pixels(image.width, image.height, f"frontal view of {sample['__key__']:.80}", MOST_PIXELS)
        frontal = from_bytes(torch.from_numpy(np.asarray(image.convert("RGBA")).copy()))
    return _subject(load(sample["safetensors"]), frontal, parse_json(sample["json"]))


def _subject(tensors: dict[str, Tensor], frontal: Tensor, facts: dict[str, Any]) -> FittedSubject:
    check_finite({name: value for name, value in tensors.items() if name != "iou"})  # nan where there is none
    return FittedSubject(
        planes=tensors["planes"].float(),
        frontal=frontal,
        palette=tensors.get("palette"),
        presence=tensors.get("presence"),
        iou=tensors.get("iou"),
        **_checked_facts(facts),
    )


def _facts(subject: FittedSubject) -> dict[str, Any]:
    names = ("name", "caption", "captions", "psnr", "ssim")
    return {name: getattr(subject, name) for name in names}


def _checked_facts(facts: dict[str, Any]) -> dict[str, Any]:
    kinds = {"name": str, "caption": str, "psnr": float, "ssim": float}
    return {"captions": tuple(map(str, facts["captions"])), **{key: kind(facts[key]) for key, kind in kinds.items()}}


def _tensors(subject: FittedSubject) -> dict[str, Tensor]:
    own = {"planes": _half(subject), **{name: getattr(subject, name) for name in ("palette", "presence", "iou")}}
    return {name: value.detach().cpu().contiguous() for name, value in own.items() if value is not None}


def _half(subject: FittedSubject) -> Tensor:
    """The planes as fp16. Raises ValueError where they do not fit: a fit that diverged must not be stored."""
    half = subject.planes.detach().cpu().half().contiguous()
    if not torch.isfinite(half).all():
        raise ValueError(f"{subject.name}: planes are not finite in fp16 (largest: {subject.planes.abs().max():g})")
    return half


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(image).numpy(), mode="RGBA").save(buffer, format="PNG")
    return buffer.getvalue()
