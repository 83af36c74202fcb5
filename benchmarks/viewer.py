"""How fast the viewer is in a browser without a GPU, and how large its pages are: docs/guide.md has the figures.

    python benchmarks/viewer.py AVATAR...

Chromium draws by SwiftShader, on the CPU, in a picture of 320 x 320. From a pointer's move to the frame that shows it
is drawn; from a wheel's colour likewise. While something moves the viewer may draw smaller: the edge of its frames is
given, and what a whole one takes. Medians.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from rodin.avatars.avatar import Avatar
from rodin.avatars.html_file import bundled, write_html

WEB = Path(__file__).parents[1] / "rodin" / "web"
SIZE = 320
REPEATS = 15
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]

WATCH = """() => {  // every frame is waited for, by reading a pixel of it, and told
  const { renderer, canvas } = viewer, draw = renderer.draw.bind(renderer), gl = canvas.getContext("webgl2");
  renderer.draw = (...given) => {
    draw(...given);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    window.drawn?.(performance.now());
  };
  window.until = (change) => new Promise((resolve) => {
    const began = performance.now();
    window.drawn = (now) => resolve(now - began);
    change();
  });
}"""
DRAG = """async (count) => {
  const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect(), found = [];
  const pointer = (x) => ({ pointerId: 1, clientX: x, clientY: box.top + 9 });
  const send = (kind, x) => canvas.dispatchEvent(new PointerEvent(kind, pointer(x)));
  canvas.setPointerCapture = () => {};
  send("pointerdown", box.left);
  for (let index = 1; index <= count; index++) found.push(await until(() => send("pointermove", box.left + 3 * index)));
  send("pointerup", box.left);
  return found.slice(3);
}"""
RECOLOUR = """async (count) => {
  const found = [], { material } = viewer.avatar.wheels[0];
  for (let index = 0; index < count; index++) {
    found.push(await until(() => viewer.recolour(material, [index / count, 0.5, 0.5])));
  }
  return found.slice(3);
}"""


def measure(page: Page, method: str) -> str:
    """What one way of drawing takes, in words."""
    page.evaluate("method => { viewer.quality = method; return viewer.settled(); }", method)
    drag = statistics.median(page.evaluate(DRAG, REPEATS))
    edge = page.evaluate("viewer.canvas.width")
    whole = statistics.median(page.evaluate(f"Array.from({{ length: 5 }}, () => viewer.time('{method}', {SIZE}))"))
    text = f"{method}: drag to frame {drag:.0f} ms at {edge} x {edge}, a frame of {SIZE} x {SIZE} {whole:.0f} ms"
    if page.evaluate("viewer.avatar.wheels.length > 0"):
        text += f", recoloured in {statistics.median(page.evaluate(RECOLOUR, REPEATS)):.0f} ms"
    return text


def main() -> None:
    viewer = sum(len(bundled(name).encode()) for name in ("viewer.js", "viewer.css"))
    studio = sum(len((WEB / f"studio.{kind}").read_bytes()) for kind in ("html", "js", "css"))
    print(f"viewer {viewer / 1000:.0f} KB, page of the studio {studio / 1000:.0f} KB")
    flags = FLAGS if os.getuid() else [*FLAGS, "--no-sandbox"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for name in sys.argv[1:]:
            path = Path(folder) / "avatar.html"
            write_html(path, Avatar.load(Path(name)))
            context = browser.new_context(viewport={"width": SIZE + 40, "height": 900}, reduced_motion="reduce")
            page = context.new_page()
            page.goto(path.as_uri())
            while not page.evaluate("window.viewer !== undefined"):
                page.wait_for_timeout(50)
            print(
                f"{Path(name).name}: {path.stat().st_size / 1000:.0f} KB, on its own {page.evaluate('viewer.method')}"
            )
            page.evaluate(WATCH)
            for method in ("baked", "exact"):
                print(f"  {measure(page, method)}", flush=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
