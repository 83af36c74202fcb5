"""Contract of rodin.lock: one process a folder; a second is refused with the first one's host and number; a lock whose
process is gone, however it went, holds nobody up; nothing of it is left; and what dead processes left is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rodin.errors import UserError
from rodin.files import SCRATCH, atomic_path, sweep
from rodin.lock import LOCK_NAME, locked
from rodin.writer import host, is_gone, own_name

HOLDER = """
import sys, time
from pathlib import Path
from rodin.files import atomic_path
from rodin.lock import locked
with locked(Path(sys.argv[1])), atomic_path(Path(sys.argv[1]) / "half"):
    print("there", flush=True)
    time.sleep(3600)
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def test_a_second_process_is_refused_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    with start_holder(tmp_path / "run") as process:
        with pytest.raises(UserError, match=rf"process {process.pid} on {host()} is writing there; wait"):
            locked(tmp_path / "run").__enter__()
        sweep(tmp_path)
        assert len(list((tmp_path / "run").glob(f"{SCRATCH}*"))) == 1, "the living keep what they write"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "run" / LOCK_NAME).exists()
    with locked(tmp_path / "run"):
        assert {path.name for path in (tmp_path / "run").iterdir()} == {LOCK_NAME}
    assert not (tmp_path / "run" / LOCK_NAME).exists()


def test_nothing_is_left(tmp_path: Path) -> None:
    with locked(tmp_path / "deep" / "run"):
        pass
    assert not (tmp_path / "deep" / "run").exists()
    with pytest.raises(ValueError, match="ours"), locked(tmp_path / "run"):
        raise ValueError("ours")
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "result").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"]


def test_a_lock_of_another_machine_counts(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("elsewhere+12+34\n")
    with pytest.raises(UserError, match=rf"process 12 on elsewhere is writing there; .* delete .*{LOCK_NAME}"):
        locked(tmp_path).__enter__()


@pytest.mark.parametrize(
    "text", ["", f"{host()}+999999999+5", f"{host()}+{os.getpid()}+1"], ids=["nobody", "gone", "another"]
)
def test_a_stale_lock_does_not(tmp_path: Path, text: str) -> None:
    """Of nobody, of a process that is gone, of one that has had this one's number."""
    (tmp_path / LOCK_NAME).write_text(text)
    with locked(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{own_name()}\n"


def test_a_folder_that_goes_is_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match="run: was deleted or moved while this ran"), locked(run):  # noqa: PT012
        run.rename(tmp_path / "moved")
        (run / "new").mkdir(parents=True)


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written \(.+\); choose a folder that can"):
        locked(tmp_path / "file" / "run").__enter__()


def test_other_ranks_do_not_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with locked(tmp_path):
            pass


def test_only_the_leftovers_of_the_dead_are_swept(tmp_path: Path) -> None:
    kept = [f"{SCRATCH}{own_name()}-abc", f"{SCRATCH}elsewhere+12+34-abc", f"{SCRATCH}old", "other"]
    gone = [f"{SCRATCH}{host()}+999999999+5-abc", f"{SCRATCH}{host()}+{os.getpid()}+1-abc"]
    for name in kept + gone:
        (tmp_path / "deep" / name).mkdir(parents=True)
        (tmp_path / "deep" / name / "half").touch()
    sweep(tmp_path)
    assert {path.name for path in (tmp_path / "deep").iterdir()} == set(kept)


def test_writers_are_told_apart() -> None:
    assert not is_gone(own_name())
    assert not is_gone("elsewhere+1+1")
    assert not is_gone("nonsense")
    assert not is_gone(f"{host()}+{os.getpid()}+0"), "where the system does not say when a process began"


def test_a_folder_that_vanishes_is_no_full_disk(tmp_path: Path) -> None:
    place = tmp_path / "run" / "file"
    with pytest.raises(UserError, match="run was deleted or moved while it was"), atomic_path(place) as temporary:  # noqa: PT012
        place.parent.rename(tmp_path / "moved")
        temporary.write_text("half")
