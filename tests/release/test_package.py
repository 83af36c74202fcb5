"""Contract of what goes to an index: the source distribution has what a wheel is built from and little else, and is
installed without a compiler; the wheel for any system says so in its name; the metadata stand alone."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
import yaml

import rodin

WheelOf = Callable[[Path, Path], Path]
ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def sdist(source_tree: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tree that has a model, examples, pictures, tests, and what a compiler and Python left."""
    folder = tmp_path_factory.mktemp("sdist")
    tree = source_tree(folder / "tree")
    for name in (
        *("weights/model_index.json", "examples/avatars/00000/000.webp", "docs/images/text.png", "docs/guide.md"),
        *("tests/test_one.py", "benchmarks/run.py", "viewer/package.json", "rodin/kernels/librodin_native.so"),
        *("rodin/__pycache__/errors.pyc", "out/run/model.safetensors", ".env", "constraints.txt", "CHANGELOG.md"),
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(os.urandom(2**16))
    code = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"rodin_avatars-{PROJECT['version']}.tar.gz"


def test_the_source_distribution_is_small(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "rodin").rglob("*.py")}
    assert names >= {*modules, "rodin/kernels/native/api.h", "weights/model_index.json", "LICENSE", "PKG-INFO"}
    assert {name.split("/")[0] for name in names} == {
        *("rodin", "weights", "PKG-INFO", "README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "CMakeLists.txt"),
        "constraints.txt",
    }
    assert not [name for name in names if name.endswith((".so", ".pyc"))]
    assert sdist.stat().st_size < 2e6, "0.8 MB when this was written, without a model"


def test_it_is_built_without_a_compiler(sdist: Path, wheel_of: WheelOf, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.glob("rodin_avatars-*")
    with zipfile.ZipFile(wheel_of(tree, tmp_path / "wheels")) as wheel:
        assert {"rodin/cli/main.py", "rodin/web/viewer.js", "rodin/weights/model_index.json"} <= set(wheel.namelist())


def test_the_wheel_for_any_system(source_tree: Callable[[Path], Path], tmp_path: Path) -> None:
    """Also where there is a compiler; nothing in it is of one system."""
    tree = source_tree(tmp_path / "tree")
    command = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path]
    environment = {**os.environ, "RODIN_PURE": "1"}
    done = subprocess.run([sys.executable, *command, tree], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = tmp_path / f"rodin_avatars-{PROJECT['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".cpp", ".h", ".pyd", ".dylib"))]
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        assert "Root-Is-Purelib: true" in archive.read(about).decode()


@pytest.fixture(scope="module")
def metadata(bare_wheel: Path) -> Message:
    with zipfile.ZipFile(bare_wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_metadata(metadata: Message) -> None:
    """The licence by PEP 639: an expression, its file, and no classifier beside."""
    assert (metadata["Name"], metadata["Version"]) == ("rodin-avatars", rodin.__version__)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert tuple(map(int, metadata["Metadata-Version"].split("."))) >= (2, 4)
    assert not [one for one in metadata.get_all("Classifier", []) if one.startswith("License")]
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_links_lead_somewhere_from_an_index_too(metadata: Message) -> None:
    """Each link of the README is absolute there, and of this version; what it names is in the repository."""
    text = metadata.get_payload()
    assert isinstance(text, str)
    found = LINK.findall(text)
    readme = LINK.findall((ROOT / "README.md").read_text())
    assert len(found) == len(readme) > 20
    seen = set()
    for link, before in zip(found, readme, strict=True):
        if before.startswith(("https://", "#")):
            assert link == before
            continue
        picture = before.endswith((".png", ".svg", ".webp"))
        seen.add(picture)
        host = "https://raw.githubusercontent.com/rodin-avatars/rodin" if picture else PROJECT["urls"]["Repository"]
        middle = "" if picture else "blob/"
        assert link == f"{host}/{middle}v{rodin.__version__}/{before}"
        assert (ROOT / before.partition("#")[0]).exists(), before
    assert seen == {True, False}


def test_the_version_is_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert PROJECT["version"] == rodin.__version__ == str(citation["version"]) == newest[1]


def test_people_are_told_the_distribution_s_name() -> None:
    """An index has another project of the package's name, which nobody should install by our advice."""
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("rodin/**/*.py")]
    wrong = re.compile(r"install +(?:-\S+ +)*['\"]?rodin(?!-avatars|_avatars| again)\b|['\"]rodin\[")
    assert not [f"{path}: {found[0]}" for path in texts for found in wrong.finditer(path.read_text())]
