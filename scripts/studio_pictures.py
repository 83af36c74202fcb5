"""The studio's page as pictures of docs/images: studio.webp, studio-compare.webp and studio-phone.webp.

    python scripts/studio_pictures.py [--model MODEL] [--out FOLDER]

Starts `rodin studio` with an empty history, and uses it as people do, in Debian's Chromium.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from chromium import chromium
from PIL import Image
from playwright.sync_api import Browser, Page

from rodin.files import atomic_path

WAIT_MS = 300_000
PEOPLE = (  # prompts and their seeds
    ("a young man with dark skin, a black afro, round glasses, wearing an orange hoodie", 0),
    ("a girl with brown skin, black hair in two braids, wearing a yellow T-shirt, smiling", 0),
    ("an elderly man with a bald head, a white full beard, wearing a blue collared shirt", 0),
    ("a young woman with pale skin, a pink bob with a fringe, wearing a grey hoodie", 0),
    ("an elderly woman with tan skin, a white bun, wearing a purple sweater, no glasses", 0),
    ("a young woman with long wavy red hair, pale skin, a green turtleneck, no hat", 0),
)
EDIT = "sunglasses"


def visit(browser: Browser, address: str, state: str | None, **settings: object) -> Page:
    """The page, for somebody new or for who was there before."""
    context = browser.new_context(reduced_motion="reduce", storage_state=state, **settings)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Who should it be?").wait_for()
    return page


def settle(page: Page) -> None:
    """Until the avatar is drawn exactly, and pictures are there."""
    page.locator(".over").wait_for(state="hidden")
    page.get_by_label("Drawing").select_option("exact")
    page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    page.wait_for_timeout(4000)


def draw(page: Page, prompt: str, seed: int) -> None:
    """Draw somebody."""
    with page.expect_response("**/understanding"):
        page.get_by_label("Who should it be?").fill(prompt)
    page.locator("input[type=number]").first.evaluate("(field, seed) => { field.valueAsNumber = seed; }", seed)
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator(".drawing").wait_for()
    page.locator(".drawing").wait_for(state="detached")
    page.locator("canvas.rv-canvas").wait_for()


def write(page: Page, path: Path) -> None:
    """What is on the screen."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    with atomic_path(path) as temporary:
        picture.save(temporary, "WEBP", quality=82, method=6)
    print(f"{path} ({path.stat().st_size / 1000:.0f} KB)", flush=True)


def pictures(browser: Browser, address: str, out: Path) -> None:
    """All of them."""
    page = visit(browser, address, None, viewport={"width": 1440, "height": 1000})
    for prompt, seed in PEOPLE:
        draw(page, prompt, seed)
    page.locator("summary").filter(has_text="Hair and beard").click()
    settle(page)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    write(page, out / "studio.webp")
    page.context.storage_state(path=out / "state.json")
    state = str(out / "state.json")
    try:
        phone = {"viewport": {"width": 360, "height": 760}, "device_scale_factor": 2, "has_touch": True}
        small = visit(browser, address, state, **phone)
        small.locator(".thumb").first.click()
        settle(small)
        small.locator(".stage").evaluate("stage => stage.scrollIntoView()")
        write(small, out / "studio-phone.webp")
        dark = visit(browser, address, state, viewport={"width": 1440, "height": 900}, color_scheme="dark")
        dark.locator(".thumb").first.click()
        settle(dark)
        dark.get_by_role("tab", name="Change").click()
        dark.get_by_label("What should be different?").fill(EDIT)
        dark.get_by_role("button", name="Change", exact=True).click()
        dark.locator(".drawing").wait_for()
        dark.locator(".drawing").wait_for(state="detached")
        settle(dark)
        dark.get_by_role("button", name="Before and after").click()
        dark.get_by_role("slider", name="Before or after").wait_for()
        dark.wait_for_timeout(6000)
        dark.evaluate("() => scrollTo(0, 0)")
        write(dark, out / "studio-compare.webp")
    finally:
        Path(state).unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="the model that comes with the package if left out")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rodin", "studio", "--port", "0", "--no-browser", "--folder", folder]
        command += [] if options.model is None else ["--model", str(options.model)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio, chromium() as browser:
            assert studio.stdout is not None
            address = next(found[0] for line in studio.stdout if (found := re.search(r"http://\S+", line)))
            try:
                pictures(browser, address, options.out)
            finally:
                studio.terminate()


if __name__ == "__main__":
    main()
