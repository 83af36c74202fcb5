"""Contract of `rodin studio`: it says where it is, is for this machine alone unless a token guards it, and is not paid
for by other commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rodin.studio.server import is_loopback, own_hosts

Started = Callable[..., tuple[subprocess.Popen[str], list[str]]]


@pytest.fixture
def started(trained_on_materials: Path, tmp_path: Path) -> Iterator[Started]:
    """started(*flags): the command in a process of its own, and what it says until it is there."""
    processes = []

    def start(*flags: str) -> tuple[subprocess.Popen[str], list[str]]:
        command = [sys.executable, "-m", "rodin", "studio", "--no-browser", "--port", "0"]
        places = ["--model", str(trained_on_materials / "model"), "--folder", str(tmp_path / "studio")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*command, *places, *flags], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl+C" in line:
                break
        return process, said

    yield start
    for process in processes:
        process.kill()
        process.wait()


def address_in(said: list[str]) -> tuple[str, str | None]:
    """The address that was printed, and the token in it."""
    found = re.search(r"(http://[^/\s]+)/(?:\?token=(\w+))?\s", "".join(said))
    assert found is not None, said
    return found[1], found[2]


def test_it_serves_this_machine_until_it_is_interrupted(
    started: Started, person_at: Callable[[str], Any], tmp_path: Path
) -> None:
    process, said = started()
    address, token = address_in(said)
    assert address.startswith("http://127.0.0.1:")
    assert token is None
    person = person_at(address)
    assert person.get("/model")["limits"]["count"] == 8
    job = person.draw("/avatars", {"kind": "surprise", "sampling": {"steps": 1, "upsampling_steps": 1}})
    for path in (tmp_path / "studio").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, "for its owner alone"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    _, said = started()
    person.address, _ = address_in(said)
    assert person.get("/avatars")["avatars"] == job["avatars"], "after a restart"


def test_beyond_this_machine_a_token_is_made_and_wanted(started: Started, person_at: Callable[[str], Any]) -> None:
    _, said = started("--host", "0.0.0.0")
    address, token = address_in(said)
    assert token is not None
    assert len(token) >= 32
    assert person_at(address).ask("GET", "/model").status == 401
    assert person_at(address).ask("GET", "/model", Authorization=f"Bearer {token}").status == 200


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--token", "short"], "--token: give 16 letters and digits or more"),
        (["--token", "a" * 16 + ";"], "--token: give 16 letters and digits or more"),
        (["--host", "203.0.113.7", "--port", "0"], "--host 203.0.113.7 --port 0: "),
        (["--port", "99999"], "--port: 99999; choose 0 to 65535"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str], said: str
) -> None:
    from rodin.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["studio", "--folder", str(tmp_path / "studio"), *flags])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"rodin: {said}")
    assert not (tmp_path / "studio").exists()


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from rodin.cli.main import main

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        main(["studio", "--folder", str(tmp_path / "studio"), "--port", str(taken.getsockname()[1])])
    assert "choose another, such as --port 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.2", False), ("example.org", False)],
)  # fmt: skip
def test_which_hosts_are_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) == local
    assert {"localhost", "127.0.0.1", "[::1]"} <= own_hosts(host)


def test_other_commands_import_nothing_of_it() -> None:
    """Nor does the studio's own --help."""
    code = (
        "import sys; from rodin.cli.main import main\n"
        "try: main(['studio', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'fastapi', 'starlette', 'uvicorn', 'pydantic', 'rodin.studio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--no-browser" in done.stdout
