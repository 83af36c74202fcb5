"""The pictures of docs/tutorial.md, by the commands that stand in it, and the outputs of docs/first_avatar.ipynb.

    python scripts/tutorial_pictures.py [tutorial] [notebook]

The tutorial's mesh is also shown by the page of docs/howto/threejs.md. Pages are drawn by Chromium, without a graphics
card; three.js comes by `npm ci --prefix tests/avatars/three`.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the commands do

from chromium import chromium
from PIL import Image
from playwright.sync_api import Browser, Page

from rodin.files import atomic_path, write_text

DOCS = Path("docs")
PAGE, PAGE_SIZE = "her.html", (720, 520)
MESH, THREE_PICTURE, THREE_SIZE = "her.glb", "../howto/three", (560, 420)
#: By name of a picture the file that a command leaves, and the pixels of its width.
SHOWN = {
    "portrait": ("out/avatar-000.png", 256),
    "sheet": ("sheet.webp", 384),
    "glasses": ("edited/before-after.png", 608),
    "dark": ("dark/before-after.png", 608),
    "kin": ("kin/overview.png", 1100),
}


def run_tutorial(folder: Path) -> None:
    """Do what the tutorial says, but for the installation."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (DOCS / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    for line in "".join(blocks).splitlines():
        name, *arguments = shlex.split(line)
        if name == "rodin" and arguments[0] != "doctor":
            print(line, flush=True)
            subprocess.run([sys.executable, "-m", "rodin", *arguments], cwd=folder, check=True)


def tutorial() -> None:
    """All pictures of the tutorial."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_tutorial(folder)
        for name, (made, width) in SHOWN.items():
            with Image.open(folder / made) as picture:
                height = round(picture.height * width / picture.width)
                keep(picture.resize((width, height), Image.Resampling.LANCZOS), name)
        with chromium() as browser:
            page = browser.new_page(viewport={"width": PAGE_SIZE[0], "height": PAGE_SIZE[1]}, reduced_motion="reduce")
            page.goto((folder / PAGE).as_uri())
            while not page.evaluate("window.viewer !== undefined"):  # its policy forbids wait_for_function
                page.wait_for_timeout(50)
            page.evaluate("() => { viewer.quality = 'exact'; return viewer.settled(); }")
            page.wait_for_timeout(3000)
            keep(screenshot(page), "page")
            keep(three_page(folder, browser), THREE_PICTURE)


def three_page(folder: Path, browser: Browser) -> Image.Image:
    """The tutorial's mesh, her.glb, on the page of the how-to."""
    [source] = re.findall(r"^```html\n(.*?)^```", (DOCS / "howto/threejs.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "index.html").write_text(source, encoding="utf-8")
    shutil.copy(folder / MESH, folder / "me.glb")
    (folder / "node_modules").symlink_to(Path("tests/avatars/three/node_modules").resolve())
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": THREE_SIZE[0], "height": THREE_SIZE[1]})
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(5000)
        shown = screenshot(page)
        server.shutdown()
    return shown


def screenshot(page: Page) -> Image.Image:
    """What a page shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def keep(picture: Image.Image, name: str) -> None:
    """Write a picture, by its path from those of the tutorial."""
    path = DOCS / "images" / "tutorial" / f"{name}.webp"
    with atomic_path(path) as temporary:
        picture.save(temporary, "WEBP", quality=85, method=6)
    print(path, flush=True)


def notebook() -> None:
    """Run the notebook's cells one after another, and keep what they print and show."""
    path = DOCS / "first_avatar.ipynb"
    document = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in document["cells"]:
        if cell["cell_type"] != "code":
            continue
        count += 1
        cell["execution_count"], cell["outputs"] = count, run_cell("".join(cell["source"]), names, count)
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(path, flush=True)


def run_cell(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The outputs of a cell: what it prints, and the picture or the text that its last expression is."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    # The cells are our own, as they stand in this repository.
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)  # nosec B102
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # nosec B307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        data: dict[str, Any] = {"text/plain": [repr(value)]}
        if isinstance(value, Image.Image):
            content = io.BytesIO()
            value.save(content, "PNG")
            data = {"image/png": base64.b64encode(content.getvalue()).decode(), **data}
        outputs.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    return outputs


if __name__ == "__main__":
    for part in sys.argv[1:] or ["tutorial", "notebook"]:
        {"tutorial": tutorial, "notebook": notebook}[part]()
