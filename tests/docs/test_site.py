"""Contract of the documentation: its site builds without a warning and loads nothing from elsewhere; its links and the
files that it names are there, on a code host as on the site."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

MadeOnce = Callable[[str, Callable[[Path], object]], Path]

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), ROOT / "weights/README.md"])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^( *)(```+).*?^\1\2", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
FILE = re.compile(r"`((?:rodin|scripts|benchmarks|tests|docs|examples|integrations|viewer)/[\w/.-]*\w/?)`")

needs_sphinx = pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="the extra docs is not installed")


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/_ext/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- the site


@pytest.fixture(scope="session")
def site(made_once: MadeOnce) -> Path:
    """The built site, and what building it said."""

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
        done = subprocess.run(
            [*command, "-d", folder / "trees", ROOT / "docs", folder / "html"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return made_once("site", build) / "html"


class Loads(HTMLParser):
    """What a page loads when it is opened, and its formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.formulas = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.formulas += tag == "math"
        if tag in ("script", "img", "source", "iframe", "video") and found.get("src"):
            self.loaded.append(found["src"] or "")
        if tag == "link" and "stylesheet" in (found.get("rel") or ""):
            self.loaded.append(found["href"] or "")


@needs_sphinx
def test_the_site_builds_without_a_warning_and_needs_no_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {"index.html", "tutorial.html", "first_avatar.html", "guide.html"} <= {page.name for page in pages}
    for page in pages:
        reader = Loads()
        reader.feed(page.read_text())
        for name in reader.loaded:
            if not name.startswith("data:"):
                assert not re.match(r"\w+:|//", name), f"{page.name} loads {name}"
                assert (page.parent / name.split("?")[0]).is_file(), f"{page.name} loads {name}"
        if page.parent.name == "concepts" and page.stem in ("triplanes", "base", "latent", "upsampler", "convolution"):
            assert reader.formulas >= 1
            assert "MathJax" not in page.read_text()
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text()), style


@needs_sphinx
def test_every_package_has_a_page_of_its_docstrings(site: Path) -> None:
    packages = {path.parent.name for path in ROOT.glob("rodin/*/__init__.py")}
    assert packages <= {page.stem.removeprefix("rodin.") for page in site.glob("api/rodin.*.html")}
    text = (site / "api/rodin.avatars.html").read_text()
    assert 'id="rodin.avatars.pipeline.RodinPipeline.edit"' in text
    assert "straight RGBA in [0, 1]" in text


@needs_sphinx
def test_a_notebook_is_shown_with_its_outputs(site: Path) -> None:
    notebook = json.loads((ROOT / "docs/first_avatar.ipynb").read_text())
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])
    )
    assert pictures >= 4
    assert (site / "first_avatar.html").read_text().count("Output of the cell above") >= pictures


# ---- on a code host


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] = found.get(slug, 0) + 1
    return names


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in FILE.findall(page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


# ---- how sources become pages


def test_docstrings_are_plain_text() -> None:
    made = extension("plain_docstrings").as_rst(
        [
            "About |x| and *y, but `a * b` stays.",
            "",
            "    c = 1",
            "",
            "    d = 2",
            "",
            "a.txt    the first",
            "",
            "Args:",
            "    x: [B, *shape]",
        ]
    )
    assert made == [
        "About \\|x\\| and \\*y, but `a * b` stays.", "", "::", "", "        c = 1", "    ", "        d = 2", "",
        "::", "", "    a.txt    the first", "", "Args:", "    x: [B, \\*shape]", "",
    ]  # fmt: skip


def test_a_notebook_becomes_markdown(tmp_path: Path) -> None:
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {
                "cell_type": "code",
                "source": ["print(1)"],
                "outputs": [
                    {"output_type": "stream", "text": ["1\n"]},
                    {"output_type": "display_data", "data": {"image/png": "aGVsbG8=", "text/plain": ["<Image>"]}},
                ],
            },
        ]
    }
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    text = extension("notebook").markdown_of(notebook, pictures, tmp_path)
    (path,) = pictures.iterdir()
    assert path.read_bytes() == b"hello"
    assert text.split("\n\n") == [
        "# Title\nwords",
        "```python\nprint(1)\n```",
        "```text\n1\n```",
        f"![Output of the cell above](pictures/{path.name})\n",
    ]
