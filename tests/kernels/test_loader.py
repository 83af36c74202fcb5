"""Contract of the native library's frame: it is found, checked and asked for a level by what the environment says, and
whatever cannot be used is named with its remedy; without it everything says so once and goes on; no level's code can
stand in for another's; and the package installs where there is no compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import rodin
from rodin.errors import UserError
from rodin.kernels import loader

PACKAGE = Path(rodin.__file__).parent
COMPILER = shutil.which("c++")
StubMaker = Callable[..., Path]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RODIN_KERNELS", raising=False)
    monkeypatch.delenv("RODIN_KERNELS_LIBRARY", raising=False)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubMaker:
    """stub(abi=, levels=) -> a library of that interface and number of levels, which the environment now names."""

    def make(abi: int = loader.ABI, levels: int = 1) -> Path:
        assert COMPILER is not None
        source, path = tmp_path / "stub.cpp", tmp_path / f"stub-{abi}-{levels}.so"
        source.write_text(
            f'extern "C" int rodin_abi() {{ return {abi}; }}\n'
            f'extern "C" int rodin_level_supported(int level) {{ return level < {levels}; }}\n'
        )
        subprocess.run([COMPILER, "-shared", "-fPIC", source, "-o", path], check=True)
        monkeypatch.setenv("RODIN_KERNELS_LIBRARY", str(path))
        return path

    return make


def copy_of_the_package(target: Path) -> Path:
    """The package's sources as an installation without a compiler leaves them; returns the folder for PYTHONPATH."""
    shutil.copytree(PACKAGE, target / "rodin", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return target


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python code, with the package that lies in `folder`."""
    wanted = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **wanted}, cwd=folder, capture_output=True, text=True)


# ---- the library of this installation


@needs_compiler
def test_with_a_compiler_it_is_built_and_the_best_level_is_taken() -> None:
    found = loader.load()
    assert found is not None, loader.why_not()
    assert loader.why_not() is None
    assert loader.levels()[0] == "baseline"
    assert found.level == loader.levels()[-1]
    assert found.functions.rodin_level_supported(found.number)
    assert not found.functions.rodin_level_supported(len(loader.LEVELS))


@needs_compiler
def test_levels_are_those_that_linux_says_the_cpu_has() -> None:
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if not (line := re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)):
        pytest.skip("Linux names no x86 flags here")
    flags = set(line[1].split())
    expected = ["baseline"]
    expected += ["avx2"] if flags >= {"avx2", "fma", "f16c"} else []
    expected += ["avx512"] if flags >= {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"} else []
    assert list(loader.levels()) == expected


@needs_compiler
@pytest.mark.parametrize("level", loader.LEVELS)
def test_the_environment_chooses_the_level(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RODIN_KERNELS", level)
    if level in loader.levels():
        found = loader.load()
        assert found is not None
        assert (found.level, found.number) == (level, loader.LEVELS.index(level))
    else:
        with pytest.raises(UserError, match=f"RODIN_KERNELS: {level}, which this CPU lacks; choose one of baseline"):
            loader.load()


def test_off_is_silent(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RODIN_KERNELS", "off")
    assert loader.load() is None
    assert loader.why_not() == "switched off by RODIN_KERNELS=off"
    assert capfd.readouterr() == ("", "")


def test_an_unknown_level_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RODIN_KERNELS", "sse9")
    for ask in (loader.load, loader.why_not):
        with pytest.raises(UserError, match=r"RODIN_KERNELS: 'sse9'; choose one of baseline, avx2, avx512, off, or un"):
            ask()


# ---- another library


@needs_compiler
def test_the_environment_names_another_library(stub: StubMaker) -> None:
    stub(levels=1)
    assert loader.levels() == ("baseline",)
    stub(levels=2)
    assert loader.levels() == ("baseline", "avx2")
    found = loader.load()
    assert found is not None
    assert found.level == "avx2"


@needs_compiler
def test_a_level_that_the_cpu_lacks_is_refused(stub: StubMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(levels=1)
    monkeypatch.setenv("RODIN_KERNELS", "avx512")
    with pytest.raises(UserError, match="avx512, which this CPU lacks; choose one of baseline, off, or unset it"):
        loader.load()


@needs_compiler
@pytest.mark.parametrize("abi", [loader.ABI - 1, loader.ABI + 1])
def test_a_stale_library_is_refused(abi: int, stub: StubMaker) -> None:
    path = stub(abi=abi)
    message = f"{path}: its interface is {abi}, this version of rodin has {loader.ABI}; install rodin again"
    for ask in (loader.load, loader.levels, loader.why_not):
        with pytest.raises(UserError, match=re.escape(message)):
            ask()


def test_what_is_no_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.so"
    path.write_text("no library")
    monkeypatch.setenv("RODIN_KERNELS_LIBRARY", str(path))
    with pytest.raises(UserError, match=re.escape(f"{path}: not a library of native kernels (")):
        loader.load()
    monkeypatch.setenv("RODIN_KERNELS_LIBRARY", str(tmp_path / "none.so"))
    with pytest.raises(UserError, match=r"RODIN_KERNELS_LIBRARY: .*none\.so: no such file; name a built library"):
        loader.load()


# ---- no library

SAID = "rodin: the native kernels are not built; PyTorch does their work, slower (see: rodin doctor)\n"
ASK_TWICE_AND_IN_A_WORKER = """
import multiprocessing
from rodin.kernels import loader

if __name__ == "__main__":
    assert loader.load() is None and loader.load() is None
    assert loader.levels() == ()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(loader.load) is None
    print(loader.why_not())
"""


def test_without_a_library_it_is_said_once(tmp_path: Path) -> None:
    folder = copy_of_the_package(tmp_path)
    done = run(ASK_TWICE_AND_IN_A_WORKER, folder)
    assert (done.returncode, done.stderr) == (0, SAID)
    assert done.stdout.startswith("not built; install g++ ")
    done = run("from rodin.kernels import loader; assert loader.load() is None", folder, RODIN_KERNELS="off")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_library_no_level_can_be_had(tmp_path: Path) -> None:
    code = "from rodin.kernels import loader; loader.load()"
    done = run(code, copy_of_the_package(tmp_path), RODIN_KERNELS="baseline")
    assert "UserError: RODIN_KERNELS: baseline, but the native kernels are not built; install g++" in done.stderr


# ---- building


@needs_compiler
@pytest.mark.parametrize("level", ["baseline", "any_other"])
def test_a_level_shares_no_symbol(level: str, tmp_path: Path) -> None:
    """An inline function of a header is compiled with every level's instructions, and the linker keeps one of them."""
    assert COMPILER is not None
    source, target = PACKAGE / "kernels" / "native" / "level.cpp", tmp_path / "level.o"
    flags = ["-std=c++17", "-O0", "-fno-exceptions", "-Wno-psabi", f"-DRODIN_LEVEL={level}"]  # -O0 inlines nothing away
    subprocess.run([COMPILER, *flags, "-c", source, "-o", target], check=True)
    listed = subprocess.run(["nm", "-P", "-g", "--defined-only", target], check=True, capture_output=True, text=True)
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names
    assert [name for name in names if level not in name] == []


def test_it_installs_without_a_compiler(bare_wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(bare_wheel) as file:
        names = file.namelist()
        file.extractall(installed)
    modules = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    assert modules <= set(names)
    assert [name for name in names if name.endswith((".so", ".cpp", ".h"))] == []
    done = run("from rodin.kernels import loader; print(loader.why_not())", installed)
    assert done.stdout.startswith("not built; "), done.stderr
