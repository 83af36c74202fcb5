"""Contract of rodin.studio.jobs: people are served in turn, places are kept, and no job can break another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodin.errors import UserError
from rodin.studio.jobs import DEFECT, Job, Queue, QueueFull


def nothing() -> None:
    pass


def idle(_: Job) -> None:
    pass


@pytest.fixture
def queue() -> Iterator[Queue]:
    """One that works, for up to four jobs, three of each person."""
    one = Queue(4, 3, 2)
    one.start(nothing)
    yield one
    one.close()


class Held:
    """A job that waits, once begun, until it is let go."""

    def __init__(self, queue: Queue, person: str = "first") -> None:
        self.begun, self._go = threading.Event(), threading.Event()
        self.job = Job("prompt", person, self._work)
        queue.put(self.job)

    def _work(self, job: Job) -> None:
        self.begun.set()
        self._go.wait()
        job.advance("base")

    def let_go(self) -> None:
        self._go.set()


def wait_for(queue: Queue, job: Job) -> None:
    over = threading.Event()
    end = queue.listen(lambda: over.set() if job.over else None)
    if not job.over:
        over.wait()
    end()


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_everybody_is_served_before_anybody_is_again_and_at_the_place_that_was_told(people: list[str]) -> None:
    queue, served = Queue(100, 100, 100), []
    jobs = [Job("prompt", person, served.append) for person in people]
    for job in jobs:
        queue.put(job)
    places = [queue.place(job) for job in jobs]
    last = threading.Event()
    queue.start(nothing)
    queue.put(Job("prompt", "last", lambda _: last.set()))
    last.wait()
    for job in jobs:
        wait_for(queue, job)
    queue.close()
    rounds = [[job for job in jobs if job.person == person] for person in dict.fromkeys(people)]
    expected = [own[turn] for turn in range(len(people)) for own in rounds if turn < len(own)]
    assert served == expected
    assert [places[jobs.index(job)] for job in served] == list(range(len(jobs)))


def test_the_queue_is_bounded_for_all_and_for_each(queue: Queue) -> None:
    held = Held(queue)
    held.begun.wait()
    for _ in range(3):
        queue.put(Job("prompt", "greedy", idle))
    with pytest.raises(QueueFull, match="3 of your jobs wait"):
        queue.put(Job("prompt", "greedy", idle))
    queue.put(Job("prompt", "modest", idle))
    with pytest.raises(QueueFull, match="4 jobs wait"):
        queue.put(Job("prompt", "late", idle))
    held.let_go()


def test_a_job_that_waits_is_cancelled_at_once_and_leaves_its_place(queue: Queue) -> None:
    held, done = Held(queue), []
    held.begun.wait()
    unwanted, wanted = (Job("prompt", person, done.append) for person in ("second", "third"))
    queue.put(unwanted)
    queue.put(wanted)
    assert (queue.place(held.job), queue.place(unwanted), queue.place(wanted)) == (0, 1, 2)
    queue.cancel(unwanted)
    assert unwanted.state == "cancelled"
    assert queue.place(wanted) == 1
    held.let_go()
    wait_for(queue, wanted)
    assert done == [wanted]


def test_a_job_in_progress_is_cancelled_after_its_step(queue: Queue) -> None:
    held = Held(queue)
    held.begun.wait()
    queue.cancel(held.job)
    assert held.job.state == "drawing"
    held.let_go()
    wait_for(queue, held.job)
    assert (held.job.state, held.job.step) == ("cancelled", 0)
    queue.cancel(held.job)
    assert held.job.state == "cancelled"


def test_what_fails_says_why_and_a_defect_says_nothing_of_its_inside(queue: Queue) -> None:
    def refused(_: Job) -> None:
        raise UserError("prompt: no")

    def broken(_: Job) -> None:
        raise RuntimeError("/secret/path")

    jobs = [Job("prompt", "one", work) for work in (refused, broken, idle)]
    for job in jobs:
        queue.put(job)
    wait_for(queue, jobs[-1])
    assert [(job.state, job.error) for job in jobs] == [("failed", "prompt: no"), ("failed", DEFECT), ("done", None)]


def test_what_is_over_is_forgotten_in_the_end(queue: Queue) -> None:
    jobs = [Job("prompt", "one", idle) for _ in range(5)]
    for job in jobs:
        queue.put(job)
        wait_for(queue, job)
    assert [queue.get(job.id) is not None for job in jobs] == [False, False, True, True, True]
    assert len({job.id for job in jobs}) == 5
    assert min(len(job.id) for job in jobs) >= 22, "ids cannot be guessed: 128 bits"


def test_closing_ends_what_waits_and_what_is_in_progress() -> None:
    queue = Queue(4, 3, 2)
    queue.start(nothing)
    held, waiting = Held(queue), Job("prompt", "one", idle)
    held.begun.wait()
    queue.put(waiting)
    threading.Timer(0.1, held.let_go).start()
    queue.close()
    assert held.job.state == "cancelled"
    assert waiting.state == "waiting"
