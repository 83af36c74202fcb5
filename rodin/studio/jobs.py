"""Who is served next: jobs wait in a bounded queue, people in turn, and one is done at a time.

A person who asks for eight avatars does not keep another from the first: of those who wait, each has a job done before
anybody has a second one.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rodin.errors import UserError

State = Literal["waiting", "drawing", "done", "failed", "cancelled"]
JobStage = Literal["latent", "base", "upsampling", "inversion", "picture"]
DEFECT = "something went wrong here; the studio's own log says what"

log = logging.getLogger("rodin.studio")


class QueueFull(Exception):
    """Nothing more can wait; says whose fault it is."""


class Cancelled(Exception):
    """A job ends, since nobody wants it any more."""


@dataclass(eq=False)
class Job:
    """Something to be done for a person.

    Args:
        kind: what it is, in a word.
        person: who asked.
        work: does it; calls `advance` at each step, and is ended there where the job was cancelled.
    """

    kind: str
    person: str
    work: Callable[[Job], None]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "waiting"
    step: int = 0
    steps: int = 0
    stage: JobStage = "latent"
    preview: bytes | None = None  # PNG
    avatars: list[str] = field(default_factory=list)  # ids
    file: str | None = None  # address
    error: str | None = None
    unwanted: bool = False
    changed: Callable[[], None] = lambda: None  # called by `advance`

    @property
    def over(self) -> bool:
        """Whether nothing of it will change."""
        return self.state in ("done", "failed", "cancelled")

    def advance(self, stage: JobStage, *, step: bool = True, preview: bytes | None = None) -> None:
        """Say how far it is.

        Raises:
            Cancelled: it is not wanted any more.
        """
        if self.unwanted:
            raise Cancelled
        self.stage = stage
        self.step += step
        self.steps = max(self.steps, self.step)
        self.preview = preview or self.preview
        self.changed()


class Queue:
    """The jobs of all people, and a thread that does them.

    Args:
        most: jobs that wait.
        most_each: of these, one person's.
        kept: jobs that are over and can be asked for.
        say: what people are told of an error of theirs.
    """

    def __init__(self, most: int, most_each: int, kept: int, say: Callable[[UserError], str] = str) -> None:
        self._most, self._most_each, self._kept, self._say = most, most_each, kept, say
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()  # by person, in the order of their turns
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._drawing: Job | None = None
        self._lock = threading.Condition()
        self._closed = False
        self._listeners: set[Callable[[], None]] = set()
        self._first: Callable[[], None] = _nothing
        self._thread = threading.Thread(target=self._run, name="rodin-studio", daemon=True)

    def start(self, first: Callable[[], None]) -> None:
        """Begin with the work.

        Args:
            first: done before any job, on the same thread.
        """
        self._first = first
        self._thread.start()

    def close(self) -> None:
        """Give up all jobs, and wait for the one in progress to notice."""
        with self._lock:
            self._closed = True
            for job in self._jobs.values():
                job.unwanted = True
            self._lock.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=60)

    def put(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            QueueFull: too many wait already.
        """
        with self._lock:
            if sum(map(len, self._waiting.values())) >= self._most:
                raise QueueFull(f"{self._most} jobs wait already; try again in a minute")
            if len(self._waiting.get(job.person, ())) >= self._most_each:
                raise QueueFull(f"{self._most_each} of your jobs wait already; let them finish, or cancel some")
            job.changed = self._changed
            self._waiting.setdefault(job.person, deque()).append(job)
            self._jobs[job.id] = job
            self._forget()
            self._lock.notify_all()
        self._changed()

    def do_now(self, job: Job) -> None:
        """Do a job that takes no time, on this thread; what goes wrong with it is raised here."""
        job.work(job)
        with self._lock:
            job.state, job.work = "done", _nothing_for
            self._jobs[job.id] = job
            self._forget()

    def get(self, job_id: str) -> Job | None:
        """A job that is waiting, in progress or not long over."""
        with self._lock:
            return self._jobs.get(job_id)

    def cancel(self, job: Job) -> None:
        """End a job: at once where it waits, else after the step it is in. One that is over stays as it ended."""
        with self._lock:
            job.unwanted = True
            theirs = self._waiting.get(job.person, deque())
            if job in theirs:
                theirs.remove(job)
                if not theirs:
                    del self._waiting[job.person]
                job.state, job.work = "cancelled", _nothing_for
        self._changed()

    def place(self, job: Job) -> int:
        """How many jobs will be done before it, the one in progress among them."""
        with self._lock:
            people = list(self._waiting)
            if job.person not in people or job not in self._waiting[job.person]:
                return 0
            turn, own = people.index(job.person), self._waiting[job.person].index(job)
            before = sum(min(len(self._waiting[one]), own + (at < turn)) for at, one in enumerate(people) if at != turn)
            return before + own + (self._drawing is not None)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call something, from any thread, whenever a job or a place changes; returns what ends that."""
        with self._lock:
            self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _forget(self) -> None:
        over = [job.id for job in self._jobs.values() if job.over]
        for job_id in over[: max(len(over) - self._kept, 0)]:
            del self._jobs[job_id]

    def _next(self) -> Job | None:
        """The next job, once there is one; None at the end."""
        with self._lock:
            self._lock.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            person, theirs = next(iter(self._waiting.items()))
            job = theirs.popleft()
            if theirs:
                self._waiting.move_to_end(person)
            else:
                del self._waiting[person]
            job.state, self._drawing = "drawing", job
            return job

    def _run(self) -> None:
        try:
            self._first()
        except Exception:
            log.exception("the studio could not be warmed up")
        while (job := self._next()) is not None:
            self._changed()
            state: State = "done"
            try:
                job.work(job)
            except Cancelled:
                state = "cancelled"
            except UserError as error:
                state, job.error = "failed", self._say(error)
            except Exception:
                log.exception("a job failed: %s", job.kind)
                state, job.error = "failed", DEFECT
            self._end(job, state)
            self._changed()

    def _end(self, job: Job, state: State) -> None:
        with self._lock:
            job.state, job.work, self._drawing = state, _nothing_for, None  # what it held goes


def _nothing() -> None:
    pass


def _nothing_for(_: Job) -> None:
    pass
