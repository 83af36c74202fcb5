"""One training on several processes of this machine, each of one thread: what torchrun does, from within a command."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch.multiprocessing as multiprocessing
from torch.multiprocessing.spawn import ProcessExitedException

from rodin.errors import UserError
from rodin.waiting import heartbeat, others_speak

USER_ERROR_CODE = 2
LAST_SECONDS = 60.0  # in which a rank may save itself


def run_on_processes(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Call `function(*arguments)` on `count` ranks that find each other as torchrun's do; they end with this process.

    Args:
        function: importable by name, since the ranks start afresh.

    Raises:
        UserError: a rank raised one, or was killed.
    """
    with socket.socket() as probe:  # a port that is free now
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said: SimpleQueue[str] = multiprocessing.get_context("spawn").SimpleQueue()
    try:
        ranks = multiprocessing.start_processes(
            _rank, (count, port, said, function, arguments), nprocs=count, start_method="spawn", join=False
        )
        assert ranks is not None
        with others_speak(), _passing_on(ranks.processes):
            while not ranks.join():
                pass
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
        for rank in ranks:
            rank.terminate()
        for rank in ranks:
            rank.join(LAST_SECONDS)
        raise


def _rank(
    rank: int,
    count: int,
    port: int,
    said: SimpleQueue[str],
    function: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    try:
        with heartbeat() if rank == 0 else nullcontext():
            function(*arguments)
    except UserError as error:
        said.put(str(error))
        sys.exit(USER_ERROR_CODE)
