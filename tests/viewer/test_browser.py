"""Contract of the viewer, in a real browser: its pictures are those of `Avatar.render`; it is turned and recoloured by
pointer, finger and keyboard; the file it comes in needs no network, lets nothing else run, and says what is wrong.

Exported pages are opened from the disk, offline; the fixture `opened` holds that the console shows no error.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image

from rodin.avatars.avatar import Avatar
from rodin.avatars.html_file import write_html
from rodin.camera import orbit
from rodin.cli.demo_page import Entry
from rodin.cli.demo_page import page as demo_page
from rodin.images import from_bytes, over, parse_colour, psnr
from rodin.materials import MATERIALS

if TYPE_CHECKING:
    from playwright.sync_api import Page

Opened = Callable[..., "Page"]
Until = Callable[[Callable[[], bool]], None]

AXE = Path(__file__).parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"
KINDS = ["plain", "plain, softplus, xi", "plain, no direction", "materials", "materials with a turning shade"]
VIEWS = [(0.0, 2.0), (75.0, -20.0), (-160.0, 50.0)]
SIZE = 96


def from_png(text: str) -> torch.Tensor:
    """[H, W, 4] of a picture in base64."""
    import numpy as np

    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        assert picture.format == "PNG"
        return from_bytes(torch.from_numpy(np.array(picture.convert("RGBA"))))


def picture(page: Page, method: str, view: tuple[float, float], background: str | None = None) -> torch.Tensor:
    """[SIZE, SIZE, 4] what the viewer draws."""
    return from_png(
        page.evaluate(
            """async ([method, azimuth, elevation, size, background]) => {
              viewer.view = { azimuth, elevation, zoom: 1, shift: [0, 0] };
              const bytes = new Uint8Array(await (await viewer.picture(size, background, method)).arrayBuffer());
              return btoa(String.fromCharCode(...bytes));
            }""",
            [method, *view, SIZE, background],
        )
    )


def likeness(seen: torch.Tensor, true: torch.Tensor) -> float:
    """dB over black and over white, the lower: of colours and alpha alike."""
    return min(psnr(over(seen, ground), over(true, ground)) for ground in (0.0, 1.0))


@pytest.fixture(scope="module")
def pages(kinds: dict[str, Avatar], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each kind of avatar."""
    folder = tmp_path_factory.mktemp("pages")
    for name, avatar in kinds.items():
        write_html(folder / f"{name}.html", avatar, name)
    return {name: folder / f"{name}.html" for name in kinds}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_agree_with_those_of_python(
    kind: str, kinds: dict[str, Avatar], pages: dict[str, Path], opened: Opened
) -> None:
    page = opened(pages[kind])
    for view in VIEWS:
        true = kinds[kind].render(orbit([view[0]], [view[1]], size=SIZE))[0]
        assert 0.1 < float(true[..., 3].mean()) < 0.9
        assert likeness(picture(page, "exact", view), true) >= 45
        assert likeness(picture(page, "baked", view), true) >= 30


@pytest.mark.parametrize("method", ["exact", "baked"])
def test_the_map_shows_the_materials(method: str, of_materials: Avatar, pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["materials"])
    page.get_by_role("button", name="Materials").click()
    true = of_materials.material_map(orbit([40.0], [10.0], size=SIZE))[0]
    assert likeness(picture(page, method, (40.0, 10.0)), true) >= (45 if method == "exact" else 28)


@pytest.mark.parametrize("method", ["exact", "baked"])
def test_recolouring_changes_that_material_alone(
    method: str, of_materials: Avatar, pages: dict[str, Path], opened: Opened
) -> None:
    """By the wheel's code, as a person types it; the avatar recoloured in Python is the reference."""
    page, view = opened(pages["materials"]), (-30.0, 5.0)
    before = picture(page, method, view)
    page.get_by_role("radio", name="Hair").check(force=True)
    page.get_by_label("Code").fill("#2040c0")
    after = picture(page, method, view)
    camera = orbit([view[0]], [view[1]], size=SIZE)
    other = of_materials.recoloured({"hair": parse_colour("#2040c0")})
    assert likeness(after, other.render(camera)[0]) >= (45 if method == "exact" else 30)
    hair = of_materials.renderer.render(camera, 96).shares[0, ..., MATERIALS.index("hair")]
    changed = (over(before, 1.0) - over(after, 1.0)).abs().amax(dim=-1)
    assert float(changed[hair < 1e-4].max()) <= 2 / 255, "the other pixels stay"
    assert float((before - after)[hair > 0.9].abs().amax(dim=-1).min()) > 0.05
    assert torch.equal(before[..., 3], after[..., 3])
    page.get_by_role("button", name="As it was").click()
    assert torch.equal(picture(page, method, view), before)


def test_only_the_materials_it_has_get_wheels(pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["materials"])
    assert page.get_by_role("radio").evaluate_all("found => found.map(one => one.value)") == ["hair", "skin", "top"]
    plain = opened(pages["plain"])
    assert plain.get_by_role("radio").count() == 0
    assert plain.get_by_role("button", name="Materials").count() == 0
    assert plain.get_by_role("button", name="Picture").count() == 1


def middle(page: Page) -> tuple[float, float, float]:
    """Where the middle of the picture is, and how wide it is."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]


def view_of(page: Page) -> dict[str, Any]:
    return page.evaluate("viewer.view")


def test_a_drag_turns_it_and_draws_anew(pages: dict[str, Path], opened: Opened, until: Until) -> None:
    page = opened(pages["materials"])
    x, y, width = middle(page)
    canvas = page.locator("canvas")
    before = canvas.screenshot()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width / 4, y + width / 16, steps=4)
    page.mouse.up()
    view = view_of(page)
    assert view["azimuth"] == pytest.approx(-45, abs=0.5), "dragged to the right, the face looks to the right"
    assert view["elevation"] == pytest.approx(2 + 11.25, abs=0.5)
    until(lambda: canvas.screenshot() != before)
    page.mouse.wheel(0, -300)
    until(lambda: page.evaluate("viewer.view.zoom > 1.2"))
    page.mouse.dblclick(x, y)
    assert view_of(page) == {"azimuth": 0, "elevation": 2, "zoom": 1, "shift": [0, 0]}


def test_two_fingers_zoom_and_move(pages: dict[str, Path], opened: Opened, until: Until) -> None:
    page = opened(pages["plain"], viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "it fits a phone"
    x, y, _ = middle(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        given = [{"x": px, "y": py, "id": index} for index, (px, py) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    touch("touchStart", (x, y))
    touch("touchMove", (x - 40, y))
    touch("touchMove", (x - 60, y))
    touch("touchEnd")
    until(lambda: page.evaluate("viewer.view.azimuth > 5"))
    touch("touchStart", (x - 30, y), (x + 30, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchMove", (x - 90, y - 10), (x + 90, y - 10))
    touch("touchEnd")
    until(lambda: page.evaluate("viewer.view.zoom > 1.5 && viewer.view.shift[1] > 0"))


def test_keys_do_all_that_a_pointer_does(pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["materials"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    view = view_of(page)
    assert (view["azimuth"], view["elevation"]) == (20, -8)
    assert view["zoom"] == pytest.approx(1.2)
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("status").text_content() == "10 degrees to its left"
    page.keyboard.press("Home")
    assert view_of(page)["azimuth"] == 0
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from hair to skin
    assert page.get_by_role("radio", name="Skin").is_checked()
    before = page.evaluate("viewer.colourOf('skin')")
    page.get_by_role("slider", name="Hue").focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    after = page.evaluate("viewer.colourOf('skin')")
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.05
    assert page.evaluate("viewer.colourOf('hair')") == page.evaluate("viewer.avatar.palette[2]")


def test_the_disc_is_a_wheel(pages: dict[str, Path], opened: Opened) -> None:
    """Its right edge is 90 degrees from red, which is yellow-green: more green than red, no blue."""
    page = opened(pages["materials"])
    box = page.locator(".rv-disc").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    red, green, blue = page.evaluate("viewer.colourOf('hair')")
    assert green > red > blue
    assert blue < 0.1 * green


@pytest.mark.parametrize(("background", "alphas"), [("Light", {255}), ("Dark", {255}), ("Transparent", {0, 255})])
def test_the_picture_is_saved(background: str, alphas: set[int], pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["materials"])
    page.get_by_label("Background").select_option(label=background)
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture").click()
    assert download.value.suggested_filename == "materials.png"
    with Image.open(download.value.path()) as saved:
        assert (saved.format, saved.size) == ("PNG", (1024, 1024))
        corner, centre = saved.convert("RGBA").getpixel((0, 0)), saved.convert("RGBA").getpixel((512, 512))
    assert {corner[3], centre[3]} == alphas
    assert (corner[0] > 128) == (background == "Light")


def test_it_turns_by_itself_unless_that_disturbs(pages: dict[str, Path], opened: Opened, until: Until) -> None:
    moving = opened(pages["plain"], reduced_motion="no-preference")
    until(lambda: moving.evaluate("Math.abs(viewer.view.azimuth) > 1"))
    button = moving.get_by_role("button", name="Turn")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    still = opened(pages["plain"])
    assert still.evaluate("viewer.turning") is False
    still.get_by_role("button", name="Turn").click()
    until(lambda: still.evaluate("Math.abs(viewer.view.azimuth) > 1"))


def test_how_it_is_drawn_is_measured_and_can_be_chosen(pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["plain"])
    choice = page.get_by_label("Drawing")
    shown = choice.evaluate("select => select.selectedOptions[0].textContent")
    assert re.fullmatch(r"Auto \((exact|baked)\)", shown)
    assert page.evaluate("viewer.method") in shown
    for label, method in (("Exact", "exact"), ("Baked", "baked")):
        choice.select_option(label=label)
        assert page.evaluate("viewer.method") == method


def test_a_slow_machine_bakes_what_moves_and_draws_exactly_what_rests(
    pages: dict[str, Path], opened: Opened, until: Until
) -> None:
    page = opened(pages["materials"])
    page.evaluate(
        """() => {
          const { renderer } = viewer, draw = renderer.draw.bind(renderer);
          window.drawn = [];
          renderer.draw = (view, method, bins) => { drawn.push(method); draw(view, method, bins); };
          viewer.cost.set("exact", 1); // milliseconds a pixel and bin
          viewer.quality = "exact";
          viewer.view = { ...viewer.view, azimuth: 30 };
        }"""
    )
    until(lambda: page.evaluate("drawn.at(-1) === 'exact'"))
    assert page.evaluate("drawn[0]") == "baked"
    assert page.evaluate("viewer.method") == "exact"


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed; npm ci --prefix viewer")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(scheme: str, pages: dict[str, Path], opened: Opened) -> None:
    for kind in ("plain", "materials"):
        page = opened(pages[kind], color_scheme=scheme)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []


# ---- the file


def test_titles_are_words_alone(kinds: dict[str, Avatar], tmp_path: Path, opened: Opened) -> None:
    title = '</title></script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 2">&amp;'
    write_html(tmp_path / "a.html", kinds["plain"], title)
    page = opened(tmp_path / "a.html")
    assert page.title() == title
    assert page.get_by_role("heading").text_content() == title
    assert page.evaluate("window.hurt") is None


def test_nothing_else_may_run(pages: dict[str, Path], tmp_path: Path, opened: Opened) -> None:
    """A page that somebody wrote a script into."""
    text = pages["plain"].read_text(encoding="utf-8")
    (tmp_path / "a.html").write_text(text.replace("</body>", "<script>window.hurt = 1</script></body>"), "utf-8")
    page = opened(tmp_path / "a.html", refused=True)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { textContent: 'hurt = 2' }))")
    assert page.evaluate("window.hurt") is None
    assert any("Content Security Policy" in message for message in refused)


def test_without_graphics_the_picture_stays_and_says_why(pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["plain"], graphics=False)
    assert "no WebGL 2" in (page.get_by_role("alert").text_content() or "")
    assert page.get_by_role("img", name="plain, from the front").is_visible()


@pytest.mark.parametrize("damage", [lambda held: held[: len(held) // 2], lambda held: "AAAA" + held[4:], lambda _: "%"])
def test_a_damaged_avatar_is_said(damage: Any, pages: dict[str, Path], tmp_path: Path, opened: Opened) -> None:
    text = pages["plain"].read_text(encoding="utf-8")
    found = re.search(r'id="rodin-avatar">([^<]*)<', text)
    assert found is not None
    (tmp_path / "a.html").write_text(text.replace(found[1], damage(found[1])), "utf-8")
    page = opened(tmp_path / "a.html")
    assert "cannot be turned" in (page.get_by_role("alert").text_content() or "")
    assert page.get_by_role("img").is_visible()


def test_without_scripts_it_is_a_picture(pages: dict[str, Path], opened: Opened) -> None:
    page = opened(pages["plain"], ready=False, java_script_enabled=False)
    assert page.get_by_role("img", name="plain, from the front").is_visible()


def test_a_graphics_card_that_was_away_draws_on(pages: dict[str, Path], opened: Opened, until: Until) -> None:
    page = opened(pages["materials"])
    page.evaluate("viewer.recolour('hair', [0, 0, 1])")
    before = picture(page, "exact", VIEWS[0])
    page.evaluate(
        """() => {
          const lost = viewer.canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
          viewer.canvas.addEventListener("webglcontextlost", () => setTimeout(() => lost.restoreContext()));
          viewer.canvas.addEventListener("webglcontextrestored", () => { window.restored = true; });
          lost.loseContext();
        }"""
    )
    until(lambda: page.evaluate("window.restored === true"))
    assert torch.equal(picture(page, "exact", VIEWS[0]), before)


def test_avatars_turn_in_the_demo_page(kinds: dict[str, Avatar], tmp_path: Path, opened: Opened, until: Until) -> None:
    """In frames that may run scripts and save files, and no more; not before they come into sight."""
    entries = []
    for name in ("a.html", "b.html", "c.html"):
        write_html(tmp_path / name, kinds["materials"], "a ball")
        entry = Entry(
            kind="", title="A", viewer=name, recolours=True, large=[], small=[], files=[], command="", note=""
        )
        entries.append(entry)
    (tmp_path / "index.html").write_text(demo_page("Rodin", "", entries), "utf-8")
    page = opened(tmp_path / "index.html", ready=False)
    until(lambda: page.frames[1].evaluate("window.viewer !== undefined"))
    assert not any(frame.evaluate("window.viewer !== undefined") for frame in page.frames[3:])
    page.locator("iframe").last.scroll_into_view_if_needed()
    until(lambda: len(page.frames) == 4 and page.frames[3].evaluate("window.viewer !== undefined"))
    page.evaluate("scrollTo(0, 0)")
    inside = page.frame_locator("iframe").first
    inside.get_by_label("Code").fill("#2040c0")
    assert page.frames[1].evaluate("viewer.colourOf('hair')") == pytest.approx([0x20 / 255, 0x40 / 255, 0xC0 / 255])
    assert inside.get_by_role("heading", name="a ball").count() == 0, "the page around says it"
    before = page.frames[1].evaluate("viewer.view.zoom")
    inside.locator("canvas").hover()
    page.mouse.wheel(0, 200)
    until(lambda: page.evaluate("scrollY") > 0)
    assert page.frames[1].evaluate("viewer.view.zoom") == before, "the wheel scrolls the page"
