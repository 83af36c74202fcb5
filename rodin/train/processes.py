"""One training on several processes of this machine, each of one thread: what torchrun does, from within a command."""

from __future__ import annotations

import math
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from time import monotonic
from typing import Any

import torch.multiprocessing as multiprocessing
from torch.multiprocessing.spawn import ProcessExitedException

from rodin.errors import UserError
from rodin.train.clock import Paused
from rodin.waiting import heartbeat, others_speak

USER_ERROR_CODE = 2
LAST_SECONDS = 60.0  # in which a rank may save itself
POLL_SECONDS = 1.0


def run_on_processes(
    function: Callable[..., None], arguments: tuple[Any, ...], count: int, patience: float = math.inf
) -> float | None:
    """Call `function(*arguments)` on `count` ranks that find each other as torchrun's do; they end with this process.

    Args:
        function: importable by name, since the ranks start afresh.
        patience: seconds after which they are ended, for a trial.

    Returns:
        of a trial (`rodin.train.loop`) that was over first: the seconds of a step, inf where the patience was;
        else None

    Raises:
        UserError: a rank raised one, or was killed.
    """
    with socket.socket() as probe:  # a port that is free now
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said: SimpleQueue[str] = multiprocessing.get_context("spawn").SimpleQueue()
    paces: SimpleQueue[float] = multiprocessing.get_context("spawn").SimpleQueue()
    try:
        ranks = multiprocessing.start_processes(
            _rank, (count, port, said, paces, function, arguments), nprocs=count, start_method="spawn", join=False
        )
        assert ranks is not None
        ends = monotonic() + patience
        with others_speak(), _passing_on(ranks.processes):
            while not ranks.join(timeout=min(POLL_SECONDS, patience)):
                if monotonic() > ends:
                    _end(ranks.processes)
                    return math.inf
        return None if paces.empty() else paces.get()
    except ProcessExitedException as error:
        if not said.empty():
            raise UserError(said.get()) from error
        raise UserError(
            "a training process was killed (out of memory?); the same command goes on where it was; "
            "for fewer --workers delete the unfinished stage's .training folder first"
        ) from error


@contextmanager
def _passing_on(ranks: Sequence[BaseProcess]) -> Iterator[None]:
    """When this process is asked to end, ask the ranks, and let them save themselves first."""
    try:
        yield
    except KeyboardInterrupt:
        _end(ranks)
        raise


def _end(ranks: Sequence[BaseProcess]) -> None:
    """Ask the ranks to save themselves and end, and end those that do not."""
    for rank in ranks:
        rank.terminate()
    for rank in ranks:
        rank.join(LAST_SECONDS)
        rank.kill()
        rank.join()


def _rank(
    rank: int,
    count: int,
    port: int,
    said: SimpleQueue[str],
    paces: SimpleQueue[float],
    function: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    try:
        with heartbeat() if rank == 0 else nullcontext():
            function(*arguments)
    except Paused as pause:
        if rank == 0:
            paces.put(pause.step_seconds)
    except UserError as error:
        said.put(str(error))
        sys.exit(USER_ERROR_CODE)
