"""Where base model and upsampler take their training subjects from: all of them held in memory, or a stream of shards,
of which a bounded number of subjects is held at a time.

In memory a step draws from all subjects, so it learns the same on any number of ranks. In a stream each rank reads
shards of its own: every epoch deals them out anew, and a rank takes its own block by block, each block's subjects in
random order. All of that hangs on seed, epoch and rank alone, so that a stream goes on at any step without what came
before it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from rodin.data.packed import is_packed
from rodin.data.shards import Index, read_index
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.models.clip import Encoder
from rodin.models.statistics import STATISTICS_NAME
from rodin.storage import Place, at_hand
from rodin.train.subjects import Lesson, Loaded, known, lessons, load_subjects, read_chosen, statistics_at

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import PartialState


class Source(Protocol):
    """Training subjects."""

    def draw(self, draws: Draws) -> Loaded:
        """As many as the draws are long, at random."""
        ...

    def share(self) -> Iterator[Loaded]:
        """This rank's share of all of them, once, in parts."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceConfig:
    """Which subjects, and how they are held.

    Args:
        size: of the planes.
        mirrored: each is followed by its mirror image.
        buffer: subjects, mirror images included, that each rank holds at a time; 0 = all of them.
        seed: of a stream's order.
    """

    size: int
    mirrored: bool = False
    buffer: int = 0
    seed: int = 0


def open_source(run: Path, planes: Place, trained: list[int], config: SourceConfig, state: PartialState) -> Source:
    """The training subjects of a set, given by their positions.

    Raises:
        UserError: a subject cannot be read, or the shards cannot be streamed.
    """
    if not config.buffer:
        return Held(load_subjects(run, config.size, trained, config.mirrored, planes).to(state.device), state)
    if isinstance(planes, Path) and is_packed(planes):
        raise UserError(f"{planes}: a packed set is read at once; set buffer to 0 in the preset")
    return Stream(run, planes, trained, config, state)


def adopt_statistics(planes: Place, run: Path, state: PartialState) -> None:
    """Copy the statistics of a set that lies elsewhere into the run, unless it has some."""
    target = run / "planes" / STATISTICS_NAME
    if state.is_main_process and not target.exists():
        with at_hand(planes / STATISTICS_NAME) as found, atomic_path(target) as temporary:
            shutil.copytree(found, temporary)
    state.wait_for_everyone()


class Held:
    """All subjects in memory, on every rank."""

    def __init__(self, loaded: Loaded, state: PartialState) -> None:
        self._loaded, self._state = loaded, state

    def draw(self, draws: Draws) -> Loaded:
        return self._loaded.at(draws.integers(len(self._loaded.planes)))

    def share(self) -> Iterator[Loaded]:
        yield self._loaded.at(slice(self._state.process_index, None, self._state.num_processes))


class Stream:
    """Subjects as they come from shards.

    Args:
        trained: positions of the subjects in the set.

    Raises:
        UserError: there are fewer shards than ranks, or one is too large for half of the buffer.
    """

    def __init__(self, run: Path, planes: Place, trained: list[int], config: SourceConfig, state: PartialState) -> None:
        self._state = state
        self._dealt = DealtShards(run, planes, trained, config, state)
        self._next, self._lessons = -1, iter(())  # type: tuple[int, Iterator[Lesson]]

    def draw(self, draws: Draws) -> Loaded:
        own = draws.batch // self._state.num_processes
        first = draws.step * own + draws.own.start - self._state.process_index * own
        if first != self._next:
            self._lessons = self._dealt.lessons_from(first)
        self._next = first + len(draws)
        return Loaded.of(list(islice(self._lessons, len(draws)))).to(self._state.device)

    def share(self) -> Iterator[Loaded]:
        return (Loaded.of(self._dealt.read(block)).to(self._state.device) for block in self._dealt.epoch(0))


class DealtShards:
    """The shards of a set as each epoch deals them out to this rank. Arguments and errors are those of `Stream`."""

    def __init__(self, run: Path, planes: Place, trained: list[int], config: SourceConfig, state: PartialState) -> None:
        self._planes, self._config, self._state = planes, config, state
        self._index: Index = read_index(planes)
        self._statistics = statistics_at(run, config.size)
        self._encoder = Encoder.from_pretrained(run / "encoder").to(state.device)
        self._shards = _positions(self._index, set(trained))
        ranks, largest = state.num_processes, self._images(max(map(len, self._shards)))
        if len(self._shards) < ranks:
            raise UserError(
                f"{planes}: {len(self._shards)} shards for {ranks} processes; start fewer, or fit with a smaller "
                "fitting.per_shard"
            )
        if 2 * largest > config.buffer:
            raise UserError(
                f"{planes}: buffer {config.buffer} does not hold two shards of {largest} subjects each; set it to at "
                f"least {2 * largest} in the preset, or fit with a smaller fitting.per_shard"
            )

    def lessons_from(self, first: int) -> Iterator[Lesson]:
        """The rank's subjects without end, from the first-th on; a thread reads the next block meanwhile."""
        blocks = ((epoch, block) for epoch in count() for block in self.epoch(epoch))
        epoch, block = next(blocks)
        while first >= self._images(len(block)):
            first -= self._images(len(block))
            epoch, block = next(blocks)
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self.read, block)
            while True:
                read = ahead.result()
                generator = torch.Generator().manual_seed(self._seed(epoch) + block[0])
                epoch, block = next(blocks)
                ahead = reader.submit(self.read, block)
                yield from (read[k] for k in torch.randperm(len(read), generator=generator)[first:].tolist())
                first = 0

    def epoch(self, epoch: int) -> Iterator[list[int]]:
        """The rank's blocks of an epoch, each the positions of subjects of whole shards."""
        generator = torch.Generator().manual_seed(self._seed(epoch))
        dealt = torch.randperm(len(self._shards), generator=generator).tolist()
        block: list[int] = []
        for shard in dealt[self._state.process_index :: self._state.num_processes]:
            if block and 2 * self._images(len(block) + len(self._shards[shard])) > self._config.buffer:
                yield block
                block = []
            block = block + self._shards[shard]
        yield block

    def read(self, block: list[int]) -> list[Lesson]:
        """A block, in the set's order."""
        fitted = read_chosen(self._planes, self._index, block)
        subjects = known(fitted, self._encoder, self._statistics)
        return list(lessons(subjects, self._statistics, self._config.mirrored))

    def _images(self, subjects: int) -> int:
        return 2 * subjects if self._config.mirrored else subjects

    def _seed(self, epoch: int) -> int:
        return (self._config.seed * 1_000_003 + epoch) * 1_000_000_007 % 2**62


def _positions(index: Index, wanted: set[int]) -> list[list[int]]:
    """The wanted subjects of each shard that has some."""
    found, first = [], 0
    for shard in index.shards:
        found.append([k for k in range(first, first + shard.count) if k in wanted])
        first += shard.count
    return [some for some in found if some]
