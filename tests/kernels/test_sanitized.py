"""Contract: under the sanitizers the kernels of every level touch no memory but their own, and their source does
nothing undefined, on the tests that hold them to the reference; and the sanitizers would say so if they did."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++")
TESTS = ("tests/render/test_fused.py", "tests/kernels/test_lines.py", "tests/kernels/test_norm.py")
CASES = (
    "presets or culled or bins or nothing or without or threads or lines or edges"  # the other random ones take minutes
)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no g++")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where Python loads the sanitized library, and the sanitizers' runtime before all else."""
    build = tmp_path_factory.mktemp("sanitized")
    cmake = str(Path(sys.executable).with_name("cmake"))
    subprocess.run([cmake, "-S", ROOT, "-B", build, "-DRODIN_SANITIZE=ON"], check=True, capture_output=True)
    subprocess.run([cmake, "--build", build, "--parallel", "2"], check=True, capture_output=True)
    assert COMPILER is not None
    runtime = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaves memory to the end of the process
        "RODIN_KERNELS_LIBRARY": str(build / "librodin_native.so"),
    }


def test_the_kernels_run_clean(environment: dict[str, str]) -> None:
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, "-k", CASES]
    run = subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    assert run.stdout.count(".") > 30, "the tests ran"


def test_a_wrong_access_is_caught(environment: dict[str, str]) -> None:
    """Ten cells of occupancy are announced, nine are there."""
    code = (
        "import numpy as np\n"
        "from ctypes import c_void_p\n"
        "from rodin.kernels.loader import load\n"
        "nine, out = np.zeros(9**3, bool), np.empty(10**3, np.uint8)\n"
        "load().functions.rodin_distance(c_void_p(nine.ctypes.data), 10, c_void_p(out.ctypes.data))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert "heap-buffer-overflow" in run.stderr
