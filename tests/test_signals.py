"""Contract of rodin.signals: SIGTERM ends a block as Ctrl-C does; within `put_off` both wait for the end of the block,
and the second of a kind does not; the handlers that were there are there again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from rodin.signals import ASKING, Terminated, orderly_end, put_off


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _handlers_come_back() -> object:
    started = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores Ctrl-C
    before = [signal.getsignal(number) for number in ASKING]
    yield
    assert [signal.getsignal(number) for number in ASKING] == before
    signal.signal(signal.SIGINT, started)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_it_ends_in_order(number: int, kind: type[BaseException]) -> None:
    with pytest.raises(kind) as ended, orderly_end():
        send(number)
    assert ended.type is kind


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_it_waits(number: int, kind: type[BaseException]) -> None:
    seen = []
    with pytest.raises(kind) as ended, orderly_end(), put_off() as asked:  # noqa: PT012
        seen.append(asked())
        send(number)
        seen.append(asked())
    assert ended.type is kind
    assert seen == [False, True]


def test_both_kinds_wait_together() -> None:
    """As where a terminal's Ctrl-C reaches a rank, and then the SIGTERM of its parent, which got it too."""
    reached = False
    with pytest.raises(KeyboardInterrupt), orderly_end(), put_off():  # noqa: PT012
        send(signal.SIGINT)
        send(signal.SIGTERM)
        reached = True
    assert reached


def test_the_second_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), put_off():  # noqa: PT012
        send(signal.SIGINT)
        send(signal.SIGINT)
        pytest.fail("it was put off again")


def test_without_a_signal_nothing_happens() -> None:
    with orderly_end(), put_off() as asked:
        assert not asked()


def test_a_command_that_is_done_is_not_interrupted_any_more() -> None:
    """What comes while the interpreter ends finds no handler, and would kill it."""
    code = (
        "import atexit, os, signal, sys; from rodin.cli.main import main\n"
        "atexit.register(lambda: [os.kill(os.getpid(), one) for one in (signal.SIGINT, signal.SIGTERM)])\n"
        "sys.argv = ['rodin', '--version']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
