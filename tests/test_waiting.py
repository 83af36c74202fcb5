"""Contract of waiting: what is silent for a while says what it is at, on standard error alone; bars go on by
themselves; nothing is left on the line, and what else is written stands as it was."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

import pytest
from tqdm import tqdm

from rodin import waiting

Until = Callable[[Callable[[], bool]], None]


Streams = tuple[io.TextIOWrapper, io.TextIOWrapper]


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Streams]:
    """console() -> new standard output and error. Nobody has patience."""
    monkeypatch.setattr(waiting, "SILENCE", 0.0)
    monkeypatch.setattr(waiting, "LOOKS", 0.001)

    def replaced() -> Streams:  # in the test: pytest sets its own after the fixtures
        streams = io.TextIOWrapper(io.BytesIO()), Terminal(io.BytesIO(), write_through=True)
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        return streams

    return replaced


def text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


def shown(text: str) -> str:
    """What a terminal shows of one line in the end."""
    line: list[str] = []
    column = 0
    for letter in text:
        if letter == "\r":
            column = 0
        else:
            line[column : column + 1] = [letter]
            column += 1
    return "".join(line).rstrip()


def test_silence_is_broken_and_wiped(console: Callable[[], Streams], until: Until) -> None:
    out, error = console()
    with waiting.heartbeat(), waiting.waiting("measuring"):
        until(lambda: "measuring: 0 s" in text_of(error))
        print("done", end="", file=sys.stderr)
    first, *others = map(shown, text_of(error).split("\n"))
    assert first == "done"
    assert not any(others), "and nothing is left below it"
    assert text_of(out) == ""


def test_a_line_without_an_end_is_not_written_over(console: Callable[[], Streams], until: Until) -> None:
    _, error = console()
    with waiting.heartbeat(), waiting.waiting("measuring"):
        print("half a line", end="", file=sys.stderr)
        until(lambda: text_of(error).count("measuring") > text_of(error).partition("half a line")[0].count("measuring"))
    assert [shown(line) for line in text_of(error).split("\n")] == ["half a line", ""]


def test_a_pipe_gets_nothing(console: Callable[[], Streams], monkeypatch: pytest.MonkeyPatch) -> None:
    _, error = console()
    monkeypatch.setattr(error, "isatty", lambda: False)
    with waiting.heartbeat():
        time.sleep(0.05)
    assert text_of(error) == ""


def test_a_bar_goes_on(console: Callable[[], Streams], until: Until) -> None:
    _, error = console()
    with waiting.heartbeat(), tqdm(total=2, desc="drawing", mininterval=1e9) as bar:
        until(lambda: text_of(error).count("drawing:") >= 3)
        bar.update()


def test_while_others_speak_it_is_silent(console: Callable[[], Streams], until: Until) -> None:
    _, error = console()
    with waiting.heartbeat():
        until(lambda: "at work" in text_of(error))  # it beats
        with waiting.others_speak():
            time.sleep(0.01)  # what it was about to say is said
            before = text_of(error)
            time.sleep(20 * waiting.LOOKS)
            assert text_of(error) == before


def test_without_a_heartbeat_nothing_is_said(console: Callable[[], Streams]) -> None:
    _, error = console()
    with waiting.waiting("measuring"):
        time.sleep(20 * waiting.LOOKS)
    assert text_of(error) == ""
