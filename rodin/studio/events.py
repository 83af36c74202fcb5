"""A job followed from afar: server-sent events, one at each change, until it is over."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

from rodin.studio.jobs import Job, QueueFull
from rodin.studio.told import job_told
from rodin.studio.work import Studio

HEARTBEAT = 15.0  # seconds, after which proxies are told that the line is not dead


class Events:
    """Follows the jobs of a studio, for a bounded number of listeners."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._listening = studio, 0

    async def over(self, job: Job) -> None:
        """Wait until a job is over."""
        async for _ in self._changes(job):
            pass

    async def stream(self, job: Job, last_id: str | None) -> AsyncIterator[str]:
        """The job as JSON, at each change; nothing that the listener knows.

        Args:
            last_id: of the last event that the listener saw before it came back.
        """
        async for changed in self._changes(job):
            text = job_told(self._studio, job).model_dump_json()
            now = id_of(text)
            if now != last_id:
                yield f"event: job\nid: {now}\ndata: {text}\n\n"
            elif not changed:
                yield ": waiting\n\n"
            last_id = now

    def check_room(self) -> None:
        """Raise QueueFull where nobody more can listen."""
        if self._listening >= self._studio.limits.listeners:
            raise QueueFull("too many follow jobs at once; ask for the job itself from time to time")

    def known(self, job: Job, last_id: str | None) -> bool:
        """Whether a listener has seen the end of a job."""
        return job.over and id_of(job_told(self._studio, job).model_dump_json()) == last_id

    async def _changes(self, job: Job) -> AsyncIterator[bool]:
        """Something at once, at each change and, False, once in a while; ends after the one at the end."""
        self.check_room()
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody listens
                loop.call_soon_threadsafe(woken.set)

        end = self._studio.queue.listen(wake)
        self._listening += 1
        try:
            changed = True
            while True:
                woken.clear()
                over = job.over
                yield changed
                if over:
                    return
                try:
                    changed = await asyncio.wait_for(woken.wait(), HEARTBEAT)
                except TimeoutError:
                    changed = False
        finally:
            end()
            self._listening -= 1


def id_of(text: str) -> str:
    """Names an event by what it says, so that who comes back is not told again."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
