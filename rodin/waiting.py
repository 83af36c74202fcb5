"""A console that is never silent for long: what has nothing to say says that it is at work, and on what.

A bar that stands still goes on counting its seconds. Where there is none, a line of its own does, which is wiped off
before anything else is written.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE = 1.0  # seconds after which there is something to say
LOOKS = 0.3  # seconds between two looks

_tasks = ["at work"]  # what the line names is the last
_held: list[bool] = []  # others speak on this console


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """While this runs, it is what the console names, if it is kept from silence at all."""
    _tasks.append(what)
    try:
        yield
    finally:
        _tasks.pop()


@contextmanager
def others_speak() -> Iterator[None]:
    """While this runs, other processes write to the console, and keep it from silence themselves."""
    _held.append(True)
    try:
        yield
    finally:
        _held.pop()


@contextmanager
def heartbeat() -> Iterator[None]:
    """While this runs, a terminal's standard error is not silent for two seconds.

    Nobody waits before a file or a pipe: there the line would be litter.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    heart = _Heart()
    heart.start()
    try:
        yield
    finally:
        heart.stop()


class _Heart:
    """Hears what is written to the console, and speaks where that is nothing for a while."""

    def __init__(self) -> None:
        self._streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
        self._error, self._write = sys.stderr, sys.stderr.write
        self._lock = threading.RLock()
        self._began = self._last = time.monotonic()
        self._shown = 0  # characters of the line that stands there
        self._begun = False  # somebody's line stands there without an end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        for stream in self._streams:
            stream.write = self._hearing(stream.write)  # type: ignore[method-assign]
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        with self._lock:
            self._wipe()
        for stream in self._streams:
            del stream.write  # type: ignore[attr-defined]  # its class's own is there again

    def _hearing(self, write):  # type: ignore[no-untyped-def]
        def heard(text: str) -> int:
            with self._lock:
                self._wipe()
                self._last = time.monotonic()
                self._begun = not text.endswith(("\n", "\r")) if text else self._begun
                return int(write(text))

        return heard

    def _wipe(self) -> None:
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._error.flush()
            self._shown = 0

    def _beat(self) -> None:
        while not self._over.wait(LOOKS):
            if _held or time.monotonic() - self._last < SILENCE:
                continue
            if not _bars_refreshed():
                self._say(f"{_tasks[-1]}: {time.monotonic() - self._began:.0f} s")

    def _say(self, line: str) -> None:
        with self._lock:
            if time.monotonic() - self._last < SILENCE:  # somebody has just spoken
                return
            self._wipe()
            self._write(f"\n{line}" if self._begun else f"\r{line}")
            self._begun = False
            self._error.flush()
            self._shown, self._last = len(line), time.monotonic()


def _bars_refreshed() -> bool:
    """Whether there are bars; they show the time by now."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if tqdm is None:
        return False
    with tqdm.get_lock():  # bars are made and end meanwhile
        known = list(getattr(tqdm, "_instances", ()))
    bars = [bar for bar in known if hasattr(bar, "start_t")]  # those that are disabled, or half made, have none yet
    for bar in bars:
        bar.refresh()
    return bool(bars)
