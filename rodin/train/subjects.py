"""The subjects of a run as the stages share them: which are trained on, their planes as residuals, their latents and
captions.

Symbols: N subjects, C channels, H W rows and columns, D latent numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.data.packed import PackedSubject, is_packed, read_facts, read_packed
from rodin.data.shards import FittedSubject, Index, read_index, read_shard
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.statistics import PlaneStatistics, load_statistics
from rodin.networks.unet import UNetConfig
from rodin.parts import module_hash, weights_hash
from rodin.render.decoder import Decoder
from rodin.storage import Place
from rodin.triplane import mirror, resize

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import PartialState

ENCODED_AT_ONCE = 32  # frontal images

HELD_OUT_EVERY = 8  # subjects, of which one is kept from training

Subjects = Iterator[PackedSubject]


def draw_captions(captions: list[tuple[str, ...]], draws: Draws) -> list[str]:
    """One paraphrase of each subject, "" where it has none."""
    drawn = draws.rand().tolist()
    return [texts[int(draw * len(texts))] if texts else "" for texts, draw in zip(captions, drawn, strict=True)]


def split_subjects(count: int, every: int = HELD_OUT_EVERY) -> tuple[list[int], list[int]]:
    """Subjects to train on and held-out ones, one of `every` (0: none); none is held out of fewer than twice that."""
    held_out = list(range(every - 1, count, every)) if every and count >= 2 * every else []
    return [k for k in range(count) if k not in set(held_out)], held_out


class Lesson(NamedTuple):
    """One subject as base model and upsampler learn it."""

    planes: Tensor  # [3, C, H, W] normalised, fp16
    latent: Tensor  # [D] of unit length
    palette: Tensor | None  # [K, 3] where the decoder has materials


class Loaded(NamedTuple):
    """N subjects in memory."""

    planes: Tensor  # [N, 3, C, H, W] normalised, fp16
    latents: Tensor  # [N, D] of unit length
    palettes: Tensor | None  # [N, K, 3] where the decoder has materials

    @staticmethod
    def of(lessons: Collection[Lesson]) -> Loaded:
        """One or more."""
        planes, latents, palettes = zip(*lessons, strict=True)
        return Loaded(torch.stack(planes), torch.stack(latents), None if palettes[0] is None else torch.stack(palettes))

    def at(self, chosen: slice | Tensor) -> Loaded:
        """Some of them."""
        return Loaded(*(None if part is None else part[chosen] for part in self))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Loaded:
        """The same on a device."""
        return Loaded(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


def count_subjects(planes: Place, decoder: Decoder | None = None) -> int:
    """How many subjects a set is of.

    Raises:
        UserError: the planes are missing, damaged, or were fitted with another decoder than one that is given.
    """
    decoder_hash = None if decoder is None else module_hash(decoder)
    if not isinstance(planes, Path) or not is_packed(planes):
        return read_index(planes, decoder_hash=decoder_hash).count
    facts, count = read_facts(planes)
    if decoder_hash not in (None, facts.decoder):
        raise UserError(
            f"{planes}: packed with decoder {facts.decoder:.12}, the run has {decoder_hash:.12}; pack again"
        )
    return count


@torch.no_grad()
def read_subjects(
    run: Path, encoder: Encoder, size: int | None, chosen: Collection[int] | None = None, planes: Place | None = None
) -> Subjects:
    """A run's subjects as the networks know them, from its fits or from a packed set, one at a time.

    Args:
        encoder: the run's; makes the latents of frontal images.
        size: side of the planes, which are resampled to it: they were fitted at the upsampler's size, and the base
            model learns smaller ones. None leaves them out, [3, C, 0, 0].
        chosen: positions of some; None = all.
        planes: where they are read, if not in the run.

    Raises:
        UserError: the planes are missing, damaged, smaller than `size` or packed at another, or the latents are packed
            of another encoder.
    """
    place = run / "planes" if planes is None else planes
    if isinstance(place, Path) and is_packed(place):
        return _from_packed(place, encoder, size, chosen)
    index = read_index(place)
    statistics = None if size is None else statistics_at(run, size)
    fitted = read_chosen(place, index, range(index.count) if chosen is None else chosen)
    return known(fitted, encoder, statistics)


def statistics_at(run: Path, size: int) -> PlaneStatistics:
    """Those of a run's planes, resampled to a size.

    Raises:
        UserError: they are missing or damaged, or the planes are smaller.
    """
    fitted = load_statistics(run / "planes")
    if size > min(fitted.config.height, fitted.config.width):
        found = f"{fitted.config.height} x {fitted.config.width}"
        raise UserError(f"{run / 'planes'}: planes are {found}, the network is for {size}; fit larger ones")
    return fitted.resized(size)


def read_chosen(planes: Place, index: Index, chosen: Collection[int]) -> Iterator[FittedSubject]:
    """Some subjects of a set, in its order, one at a time; no shard is opened that has none of them.

    Raises:
        UserError: as `read_shard`.
    """
    first = 0
    for shard in index.shards:
        own = {k - first for k in chosen if first <= k < first + shard.count}
        if own:
            subjects = islice(read_shard(planes, index, shard), max(own) + 1)
            yield from (one for k, one in enumerate(subjects) if k in own)
        first += shard.count


def known(
    fitted: Iterable[FittedSubject], encoder: Encoder, statistics: PlaneStatistics | None
) -> Iterator[PackedSubject]:
    """Fitted subjects as the networks know them, with planes at the statistics' size, or without any."""
    wanted = iter(fitted)
    while batch := list(islice(wanted, ENCODED_AT_ONCE)):
        views = torch.stack([view for one in batch for view in (one.frontal, one.frontal.flip(-2))])
        with torch.no_grad():
            latents = encoder.encode_images(views.to(encoder.mean.device)).float().cpu().unflatten(0, (-1, 2))
        for one, pair in zip(batch, latents, strict=True):
            planes = one.planes[..., :0, :0] if statistics is None else _residual(one.planes, statistics)
            yield PackedSubject(one.name, planes, pair, one.caption, one.captions, one.palette, one.presence)


def _from_packed(
    path: Path, encoder: Encoder, size: int | None, chosen: Collection[int] | None
) -> Iterator[PackedSubject]:
    facts, _ = read_facts(path)
    if size not in (None, facts.shape[-1]):
        raise UserError(f"{path}: packed at {facts.shape[-1]} x {facts.shape[-1]}, the network is for {size}; train it "
                        "on the run that was packed")  # fmt: skip
    if facts.encoder != (own := weights_hash(encoder.state_dict())):
        raise UserError(f"{path}: packed with encoder {facts.encoder:.12}, the run has {own:.12}; pack again")
    wanted = None if chosen is None else set(chosen)
    return (one for index, one in enumerate(read_packed(path)) if wanted is None or index in wanted)


def _residual(planes: Tensor, statistics: PlaneStatistics) -> Tensor:
    """Planes [3, C, H, W] at the statistics' size, normalised."""
    return statistics.normalize(resize(planes, statistics.config.height, statistics.config.width))


def load_subjects(
    run: Path, size: int, chosen: Collection[int], mirrored: bool = False, planes: Place | None = None
) -> Loaded:
    """Chosen subjects, their planes at `size` x `size`.

    Args:
        mirrored: each is followed by its mirror image, which makes N twice as many.
        planes: where they are read, if not in the run.

    Raises:
        UserError: as `read_subjects`, or the encoder is missing or damaged.
    """
    subjects = read_subjects(run, Encoder.from_pretrained(run / "encoder"), size, chosen, planes)
    return Loaded.of(list(lessons(subjects, load_statistics(run / "planes").resized(size), mirrored)))


def lessons(subjects: Subjects, statistics: PlaneStatistics, mirrored: bool) -> Iterator[Lesson]:
    """What is learned of subjects, and of the mirror image of each after it, if wanted.

    Args:
        statistics: of planes of the subjects' size.
    """
    for one in subjects:
        # The mean avatar is not its own mirror image, so the residual's is not that of the mirror image.
        images = (
            [one.planes, statistics.normalize(mirror(statistics.denormalize(one.planes)))] if mirrored else [one.planes]
        )
        for image, latent in zip(images, one.latents, strict=False):
            yield Lesson(image.half(), latent, one.palette)


def blurred_latents(latents: Tensor, length: float, draws: Draws) -> Tensor:
    """Latents [B, D] of unit length with noise of a length added, of unit length again.

    Each training subject has one z, which a network would otherwise learn by heart; the prior's are never quite one of
    them.
    """
    noise = draws.noise(latents.shape[1]) / latents.shape[1] ** 0.5
    return F.normalize(latents + length * noise, dim=-1)


def check_channels(run: Path, planes: Tensor, network: UNetConfig) -> None:
    """Raise UserError unless a run's planes [N, 3, C, H, W] have the network's channels."""
    if planes.shape[2] != network.in_channels:
        found = f"{planes.shape[2]} channels, the network is for {network.in_channels}"
        raise UserError(f"{run / 'planes'}: planes have {found}; fit and train with one preset")


def rank_share(run: Path, subjects: list[int], state: PartialState) -> list[int]:
    """Those of a run's subjects, given by their position, that this rank trains on.

    Raises:
        UserError: there are fewer than ranks.
    """
    if len(subjects) < state.num_processes:
        found = f"fewer subjects than the {state.num_processes} processes"
        raise UserError(f"{run / 'planes'}: {found}; start fewer or fit more")
    return subjects[state.process_index :: state.num_processes]


def load_latents(
    run: Path, encoder: Encoder, *, mirrored: bool = False, full_captions: bool = False
) -> tuple[Tensor, list[tuple[str, ...]]]:
    """All subjects: latents [N, D] of unit length, where the encoder is, and N sets of captions.

    Args:
        mirrored: each subject is followed by its mirror image.
        full_captions: of each subject the caption alone, which says all, without the paraphrases of parts of it.

    Raises:
        UserError: the planes are missing or damaged.
    """
    latents: list[Tensor] = []
    captions: list[tuple[str, ...]] = []
    for one in read_subjects(run, encoder, None):
        said = ((one.caption,) if one.caption else ()) if full_captions else one.captions
        images = 2 if mirrored else 1
        latents += list(one.latents[:images])
        captions += images * [said]
    return torch.stack(latents).to(encoder.mean.device), captions
