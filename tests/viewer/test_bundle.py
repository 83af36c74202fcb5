"""Contract of the bundle in rodin/web: it is what viewer/ builds today, byte for byte, small, and in every wheel; its
TypeScript is sound, and its maths right."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from rodin.avatars.html_file import bundled

ROOT = Path(__file__).parents[2]
VIEWER, BUNDLE = ROOT / "viewer", ROOT / "rodin" / "web"

with_node = pytest.mark.skipif(
    shutil.which("node") is None or not (VIEWER / "node_modules" / "vite").exists(),
    reason="node or the viewer's tools are not installed; apt-get install nodejs npm; npm ci --prefix viewer",
)


def node(*words: str | Path) -> str:
    """Run one of the viewer's tools."""
    tool, *rest = words
    command = ["node", VIEWER / "node_modules" / tool, *rest]
    done = subprocess.run(command, cwd=VIEWER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@with_node
def test_it_is_what_its_sources_build(tmp_path: Path) -> None:
    for mode in ("production", "studio"):
        node("vite/bin/vite.js", "build", "--mode", mode, "--outDir", tmp_path, "--logLevel", "error")
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    held = {path.name: path.read_bytes() for path in BUNDLE.iterdir()}
    assert sorted(built) == sorted(held)
    assert all(built[name] == held[name] for name in built), "viewer/ has changed; run: make viewer"


@with_node
def test_its_types_are_sound() -> None:
    node("typescript/bin/tsc", "--noEmit")


@with_node
def test_its_maths_is_right() -> None:
    node("vitest/vitest.mjs", "run")


def test_it_is_small_and_asks_for_nothing() -> None:
    text = bundled("viewer.js") + bundled("viewer.css")
    assert len(text.encode()) < 100_000
    for word in ("fetch(", "XMLHttpRequest", "import(", "eval(", "new Function", "http:", "https:", "@import", "url("):
        assert word not in text, word


def test_the_studio_is_small_and_knows_no_other_place() -> None:
    page, *others = ((BUNDLE / f"studio.{kind}").read_text(encoding="utf-8") for kind in ("html", "js", "css"))
    assert len((page + "".join(others)).encode()) < 800_000
    for word in ("XMLHttpRequest", "import(", "eval(", "new Function", "http:", "https:", "@import", "url(", "HTML="):
        assert word not in page + "".join(others), word
    assert not re.search(r"<script(?! defer src=)|<style|\sstyle=|\son\w+=", page), "its policy lets nothing inline run"


def test_a_wheel_has_it(bare_wheel: Path) -> None:
    with zipfile.ZipFile(bare_wheel) as file:
        for path in BUNDLE.iterdir():
            assert file.read(f"rodin/web/{path.name}") == path.read_bytes()
