"""The subjects of a run as the stages share them: which are trained on, in which share of them this rank does, their
planes as residuals, their latents and captions.

Symbols: N subjects, C channels, H W rows and columns, D latent numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.data.shards import FittedSubject, read_shards
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.statistics import load_statistics
from rodin.networks.unet import UNetConfig
from rodin.triplane import resize

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import PartialState

ENCODED_AT_ONCE = 32  # frontal images

HELD_OUT_EVERY = 8  # subjects, of which one is kept from training


def draw_captions(captions: list[tuple[str, ...]], generator: torch.Generator) -> list[str]:
    """One paraphrase of each subject, "" where it has none."""
    draws = torch.rand(len(captions), generator=generator, device=generator.device).tolist()
    return [texts[int(draw * len(texts))] if texts else "" for texts, draw in zip(captions, draws, strict=True)]


def split_subjects(count: int, every: int = HELD_OUT_EVERY) -> tuple[list[int], list[int]]:
    """Subjects to train on and held-out ones, one of `every` (0: none); none is held out of fewer than twice that."""
    held_out = list(range(every - 1, count, every)) if every and count >= 2 * every else []
    return [k for k in range(count) if k not in set(held_out)], held_out


class Loaded(NamedTuple):
    """N subjects in memory."""

    planes: Tensor  # [N, 3, C, H, W] normalised, fp16
    latents: Tensor  # [N, D] of unit length
    palettes: Tensor | None  # [N, K, 3] where the decoder has materials

    def first(self, count: int) -> Loaded:
        """At most so many of them."""
        return Loaded(*(None if part is None else part[:count] for part in self))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Loaded:
        """The same on a device."""
        return Loaded(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


@torch.no_grad()
def load_subjects(run: Path, size: int, chosen: Collection[int], mirrored: bool = False) -> Loaded:
    """Chosen subjects, their planes at `size` x `size`.

    Args:
        mirrored: each is followed by its mirror image, which makes N twice as many.

    Raises:
        UserError: as `read_subjects`, or the encoder is missing or damaged.
    """
    encoder = Encoder.from_pretrained(run / "encoder")
    planes: list[Tensor] = []
    latents: list[Tensor] = []
    palettes: list[Tensor | None] = []
    subjects = read_subjects(run, size, chosen, mirrored)
    while batch := list(islice(subjects, ENCODED_AT_ONCE)):
        planes += [subject.planes.half() for subject in batch]
        palettes += [subject.palette for subject in batch]
        latents.append(encoder.encode_images(torch.stack([subject.frontal for subject in batch])))
    return Loaded(torch.stack(planes), torch.cat(latents).float(), stacked_palettes(palettes))


def blurred_latents(latents: Tensor, length: float, generator: torch.Generator) -> Tensor:
    """Latents [B, D] of unit length with noise of a length added, of unit length again.

    Each training subject has one z, which a network would otherwise learn by heart; the prior's are never quite one of
    them.
    """
    noise = torch.randn(latents.shape, generator=generator, device=latents.device) / latents.shape[1] ** 0.5
    return F.normalize(latents + length * noise, dim=-1)


def stacked_palettes(palettes: list[Tensor | None]) -> Tensor | None:
    """[N, K, 3], or None where the planes carry their colours themselves."""
    given = [palette for palette in palettes if palette is not None]
    return torch.stack(given) if given else None


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
        raise _too_few(run, state.num_processes)
    return subjects[state.process_index :: state.num_processes]


def read_subjects(run: Path, size: int, chosen: Collection[int], mirrored: bool = False) -> Iterator[FittedSubject]:
    """Some of a run's subjects, by their position, their planes normalised and [3, C, size, size], one at a time.

    With `mirrored` each is followed by its mirror image.

    The planes were fitted at the upsampler's size; the base model learns them resampled to its own.

    Raises:
        UserError: the planes are missing, damaged or smaller than `size`.
    """
    fitted = load_statistics(run / "planes")
    if size > min(fitted.config.height, fitted.config.width):
        found = f"{fitted.config.height} x {fitted.config.width}"
        raise UserError(f"{run / 'planes'}: planes are {found}, the network is for {size}; fit larger ones")
    statistics, wanted = fitted.resized(size), set(chosen)
    return (
        dataclasses.replace(one, planes=statistics.normalize(resize(one.planes, size, size)))
        for index, subject in enumerate(read_shards(run / "planes"))
        if index in wanted
        for one in ((subject, subject.mirrored()) if mirrored else (subject,))
    )


@torch.no_grad()
def load_latents(
    run: Path, encoder: Encoder, rank: int, ranks: int, *, mirrored: bool = False, full_captions: bool = False
) -> tuple[Tensor, list[tuple[str, ...]]]:
    """This rank's share of the subjects: latents [N, D] of unit length, where the encoder is, and N sets of captions.

    Args:
        mirrored: a batch of subjects is followed by their mirror images.
        full_captions: of each subject the caption alone, which says all, without the paraphrases of parts of it.

    Raises:
        UserError: the planes are missing or damaged, or there are fewer subjects than ranks.
    """
    latents: list[Tensor] = []
    captions: list[tuple[str, ...]] = []
    share = islice(read_shards(run / "planes"), rank, None, ranks)
    while subjects := list(islice(share, ENCODED_AT_ONCE)):
        subjects += [subject.mirrored() for subject in subjects if mirrored]
        latents.append(encoder.encode_images(torch.stack([s.frontal for s in subjects]).to(encoder.mean.device)))
        captions += [((s.caption,) if s.caption else ()) if full_captions else s.captions for s in subjects]
    if not latents:
        raise _too_few(run, ranks)
    return torch.cat(latents).float(), captions


def _too_few(run: Path, ranks: int) -> UserError:
    return UserError(f"{run / 'planes'}: fewer subjects than the {ranks} processes; start fewer or fit more")
