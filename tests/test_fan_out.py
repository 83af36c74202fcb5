"""Contract of rodin.fan_out: who does the work changes nothing of what is made. The processes of this machine and the
nodes of a Ray cluster, one of which is killed, leave the same shards to the byte; what is wrong is one line.

Ray runs in processes of its own: two nodes on this machine, with a folder of their own for all that they write.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodin.cli.main import main
from rodin.data.subject_folders import list_subjects
from rodin.errors import UserError
from rodin.fan_out import Pool, Ray, advance, ranges

HANG_SECONDS = 1800.0

# A storage that all processes share, since Python imports this file whenever it starts: a folder, which is reached by
# URL alone. Where SHELF_HANGS is set, writing stops halfway, for ever, and says so in that file.
SHELF = """
import os, time
import fsspec
from fsspec.implementations.local import LocalFileSystem

class Shelf(LocalFileSystem):
    protocol = ("shelf",)

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).removeprefix("shelf://"))

    def put_file(self, source, target, **options):
        if "SHELF_HANGS" in os.environ and "/fits-" in target:
            with open(source, "rb") as file, open(target, "wb") as half:
                half.write(file.read()[:1000])
            with open(os.environ["SHELF_HANGS"], "w") as marker:
                marker.write(str(os.getpid()))
            time.sleep(10_000)
        super().put_file(source, target, **options)

fsspec.register_implementation("shelf", Shelf)
"""
NODES = """
import os, sys
from ray.cluster_utils import Cluster

root, marker = sys.argv[1:]
node = dict(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False, temp_dir=f"{root}/ray")
quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
cluster = Cluster(initialize_head=True, head_node_args={**node, "_system_config": quick})
os.environ["SHELF_HANGS"] = marker
second = cluster.add_node(**node)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
cluster.shutdown()
"""
COMMAND = """
import sys
from rodin import fan_out
from rodin.cli.main import main

fan_out.FEWEST_RANGES = 3
main(sys.argv[1:])
"""


class Nodes:
    """Two Ray nodes, of which the second stops halfway in the first fit that it writes."""

    def __init__(self, root: Path) -> None:
        (root / "ray").mkdir()
        (root / "site").mkdir()
        (root / "site" / "sitecustomize.py").write_text(SHELF)
        self.marker = root / "marker"
        paths = [str(Path(__file__).parents[1]), str(root / "site"), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "RAY_TMPDIR": str(root),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", NODES, str(root), str(self.marker)],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command of rodin."""
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill_second(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "killed\n"

    def stop(self) -> None:
        self._process.communicate(timeout=HANG_SECONDS)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    root = Path(tempfile.mkdtemp(prefix="r"))  # tmp_path is too long for the sockets in it
    found = Nodes(root)
    yield found
    found.stop()
    shutil.rmtree(root)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_killed_node_changes_nothing(
    nodes: Nodes, ball_maker, quick_preset: Path, tmp_path: Path, works_here: None, until, monkeypatch
) -> None:
    """Six subjects in three shards, all by URL. The command is ended by SIGTERM, goes on, and loses a node."""
    monkeypatch.setattr("rodin.fan_out.FEWEST_RANGES", 3)
    data = ball_maker(6)
    settings = ["--preset", str(quick_preset)]
    main(["fit", str(data), "--run", str(tmp_path / "local"), *settings])
    run = tmp_path / "shelf"
    command = ["fit", f"shelf://{data}", "--run", f"shelf://{run}", *settings, "--ray", nodes.address]

    def fits() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in run.glob("fits-*/[!.]*")}

    first = nodes.start(*command)
    until(lambda: (nodes.marker.exists() and fits()) or first.poll() is not None)
    assert first.poll() is None, first.communicate()[0]
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=HANG_SECONDS)
    assert (first.returncode, "ended by SIGTERM; the same command goes on" in said) == (143, True), said
    until(lambda: not alive(int(nodes.marker.read_text())))
    nodes.marker.unlink()
    assert not (run / "planes" / "index.json").exists()
    kept = fits()

    second = nodes.start(*command)
    until(lambda: nodes.marker.exists() or second.poll() is not None)
    assert second.poll() is None, second.communicate()[0]
    nodes.kill_second()
    said, _ = second.communicate(timeout=HANG_SECONDS)
    assert second.returncode == 0, said
    assert kept.items() <= fits().items(), "what was finished is not made again"
    assert len([name for name in files(run / "planes") if name.endswith(".tar")]) == 3
    assert files(run / "planes") == files(tmp_path / "local" / "planes")

    picture = next((data / "ball4").glob("003.png"))
    picture.write_bytes(picture.read_bytes()[:100])
    third = nodes.start(*command[:3], f"shelf://{tmp_path}/other", *command[4:])
    said, _ = third.communicate(timeout=HANG_SECONDS)
    assert third.returncode == 2
    assert said.splitlines()[-1].startswith(f"rodin: shelf://{data}/ball4/003.png: damaged"), said


def test_a_cluster_that_is_not_there_is_one_line() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        addresses = (f"127.0.0.1:{nobody.getsockname()[1]}", "nonsense", "nowhere.invalid:1", "ray://here:1", "auto")
        code = textwrap.dedent("""
            import sys
            from rodin.errors import UserError
            from rodin.fan_out import Ray
            for address in sys.argv[1:]:
                try:
                    Ray(address=address).check()
                except UserError as error:
                    print(error)
        """)
        done = subprocess.run(
            [sys.executable, "-c", code, *addresses],
            env={**os.environ, "RAY_ADDRESS": addresses[0]},  # which auto goes by
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
        )
    lines = done.stdout.splitlines()
    assert len(lines) == len(addresses), done.stdout + done.stderr
    for line, address in zip(lines, addresses, strict=True):
        assert line.startswith(f"--ray {address}: no Ray cluster answers there (")
        assert "start one: `ray start --head`" in line


def test_ray_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "ray._private", "ray._private.services"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"^--ray auto: Ray is not installed; pip install 'rodin-avatars\[cluster\]'$"):
        Ray(address="auto").check()


@pytest.mark.parametrize("make", [lambda: Pool(workers=0), lambda: Ray(address="auto", gpus=-1.0)])
def test_numbers_out_of_range(make) -> None:
    with pytest.raises(UserError, match=r"^--(workers: 0|task-gpus: -1\.0); choose"):
        make()


def test_a_pool_returns_in_order_and_tells_what_advances(until) -> None:
    told: list[int] = []
    assert Pool(workers=2).results(advance, [1, 2, 3], told.append) == [None] * 3
    until(lambda: sum(told) == 6)
    assert Pool(workers=2).results(math.sqrt, [9, 4, 1], told.append) == [3, 2, 1]


def test_what_a_task_raises_and_a_killed_process_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such folder"):
        Pool(workers=1).results(list_subjects, [tmp_path / "none"], id)
    with pytest.raises(UserError, match="a process at work was killed"):
        Pool(workers=1).results(os._exit, [1], id)


@given(st.integers(1, 5000), st.integers(1, 40))
def test_ranges_hold_every_subject_once_and_keep_many_busy(count: int, most: int) -> None:
    found = ranges(count, most)
    assert [index for part in found for index in part] == list(range(count))
    assert max(map(len, found)) <= most
    assert len(found) >= min(count, 33), "at least half of what keeps 64 busy, or as many as there are subjects"
    assert len({len(part) for part in found[:-1]}) <= 1
