"""A thread for what a person waits for without a place in the queue: pictures, and looks at portraits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from rodin.studio.jobs import QueueFull

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Lane:
    """Does one thing at a time, in the order in which they come.

    Args:
        most: that wait at once.
    """

    def __init__(self, most: int) -> None:
        self._most, self._inside = most, 0
        self._thread = ThreadPoolExecutor(1, "rodin-lane")

    async def run(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """What a function returns.

        Raises:
            QueueFull: too much waits already.
        """
        if self._inside >= self._most:
            raise QueueFull("too many pictures are asked for at once; try again in a moment")
        self._inside += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(function, *arguments, **named))
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
