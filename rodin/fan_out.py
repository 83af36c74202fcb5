"""Fan-out: one function over many tasks, on processes of this machine or on the nodes of a Ray cluster.

A task is a small range of subjects. What it makes depends on the task alone and is put in place whole, so that it may
be done twice: that of a node that was lost is done again by another, and the result is the same to the byte.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rodin.errors import UserError, one_line

Task = TypeVar("Task")
Result = TypeVar("Result")

FEWEST_RANGES = 64  # that a set is cut into, if it has as many subjects: fewer would keep few processes busy
RETRIES = 3  # of a task whose process or node was lost
REACHED_S = 5.0  # within which a cluster has to answer


def ranges(count: int, most: int) -> list[range]:
    """The ranges that a set of `count` subjects is cut into: by its size alone, whoever does the work.

    Args:
        most: subjects in one.
    """
    size = max(1, min(most, math.ceil(count / FEWEST_RANGES)))
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def _nobody(units: int) -> None:
    """Who waits for a task that this process does for itself."""


_tell: Callable[[int], object] = _nobody


def advance(units: int = 1) -> None:
    """Let whoever waits for a task know that a part of it is done."""
    _tell(units)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Processes of this machine.

    Args:
        workers: how many, one thread each.
    """

    workers: int

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"--workers: {self.workers}; choose 1 or more")

    def check(self) -> None:
        """Nothing: this machine is there."""

    def results(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], tell: Callable[[int], object]
    ) -> list[Result]:
        """What `work` returns for each task. Where that fails, or Ctrl-C comes, tasks that run are ended.

        Args:
            work: can be pickled, as can tasks and results; may call `advance`.
            tell: is called with the units that `work` advances by, in a thread.

        Raises:
            UserError: `work` did, or a process was killed.
        """
        context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads can hang
        heard, said = context.Pipe(duplex=False)  # without a lock, which a process that is killed would keep
        threading.Thread(target=_listen, args=(heard, tell), daemon=True).start()
        with said, ProcessPoolExecutor(min(self.workers, len(tasks)), context, _start_worker, (said,)) as pool:
            try:
                jobs = [pool.submit(work, task) for task in tasks]
                for job in as_completed(jobs):
                    job.result()  # raises what the first to fail did
                return [job.result() for job in jobs]
            except BrokenProcessPool as error:
                raise UserError(
                    "a process at work was killed (out of memory?); run again to go on, with fewer --workers"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in multiprocessing.active_children():  # what they have not written is made again
                    worker.terminate()
                raise


def _listen(heard: Connection, tell: Callable[[int], object]) -> None:
    """Pass on what workers say, until the last of them has ended."""
    try:
        while True:
            tell(int(heard.recv_bytes()))
    except (EOFError, OSError):
        heard.close()


def _start_worker(said: Connection) -> None:
    global _tell
    _tell = lambda units: said.send_bytes(b"%d" % units)  # noqa: E731 - so short that the system writes it whole
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ray:
    """The nodes of a Ray cluster, on each of which this version of Rodin is installed. A task takes one CPU.

    Args:
        address: "auto" for the cluster that this machine is a node of, or HOST:PORT of its head.
        gpus: that a task takes; 0.25 lets four share one.
    """

    address: str
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.gpus < math.inf:
            raise UserError(f"--task-gpus: {self.gpus}; choose 0 or more, such as 0.25")

    def check(self) -> None:
        """To be called before long work that the cluster's is to follow.

        Raises:
            UserError: Ray is not installed, or no cluster answers.
        """
        _found(self.address)

    def results(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], tell: Callable[[int], object]
    ) -> list[Result]:
        """As `Pool.results`; tasks whose process or node is lost are done again, elsewhere.

        Raises:
            UserError: `work` did, Ray is not installed or not reached, or a task was lost RETRIES times and once more.
        """
        ray = _connected(self.address)
        try:
            remote = ray.remote(num_cpus=1, num_gpus=self.gpus, max_retries=RETRIES)(_counted)
            shared = ray.put(work)
            given = [remote.remote(shared, task) for task in tasks]
            jobs = [one.future() for one in given]  # ray.wait makes a Ctrl-C of every signal
            for job in as_completed(jobs):
                _, units = job.result()
                tell(units)
            return [job.result()[0] for job in jobs]
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ModuleNotFoundError):
                raise UserError(
                    f"--ray {self.address}: {error.cause} on a node; install this version of rodin there"
                ) from error
            raise error.cause from None
        except ray.exceptions.RayError as error:  # the words of others, of many lines
            raise UserError(
                f"--ray {self.address}: a task was lost {RETRIES + 1} times ({one_line(error, kind=True)}); look at "
                "the nodes' memory and logs, and run again to go on"
            ) from error
        finally:
            ray.shutdown()  # which ends what still runs


Engine = Pool | Ray


def _counted(work: Callable[[Task], Result], task: Task) -> tuple[Result, int]:
    """What a task returns on a node, and by how much it advanced."""
    global _tell
    units: list[int] = []
    _tell = units.append
    return work(task), sum(units)


def _connected(address: str) -> Any:
    """The library, connected to a cluster.

    Raises:
        UserError: as `Ray.check`.
    """
    found = _found(address)
    import ray

    own = {name: value for name, value in os.environ.items() if name.startswith("RODIN_")}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=found,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": own} if own else None,
        )
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        raise _unreached(address, error) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own in place, which exits
    return ray


def _found(address: str) -> str:
    """HOST:PORT of a cluster, at which something listens. Ray itself would try for minutes."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    try:
        from ray._private.services import get_ray_address_from_environment
    except ImportError as error:
        raise UserError(f"--ray {address}: Ray is not installed; pip install 'rodin-avatars[cluster]'") from error
    try:
        found = str(get_ray_address_from_environment("auto", None)) if address == "auto" else address
        parts = urlsplit(f"//{found}")
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"{found} is no HOST:PORT")
        socket.create_connection((parts.hostname, parts.port), REACHED_S).close()
    except (OSError, ValueError) as error:
        raise _unreached(address, error) from error
    return found


def _unreached(address: str, error: BaseException) -> UserError:
    return UserError(
        f"--ray {address}: no Ray cluster answers there ({one_line(error)}); start one: `ray start --head`, or give "
        "HOST:PORT of its head"
    )
