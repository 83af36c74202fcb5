"""Contract of the studio's page, in a real browser: somebody who reads nothing but it makes avatars of words, portraits
and nothing, changes and mixes them, finds them again and takes them away; what goes wrong is said where it does.

The fixture `visit` holds that no policy is hurt, no other place asked and no error shown in the console.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Download, Page

Visit = Callable[..., "Page"]
Held = Callable[[], AbstractContextManager[None]]
Until = Callable[[Callable[[], bool]], None]

ROOT = Path(__file__).parents[3]
AXE = ROOT / "viewer" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 360, "height": 740}
PROMPT = "an old man with a white beard, no glasses"


def describe(page: Page, prompt: str) -> None:
    """Type a prompt, and wait for what is understood of it."""
    with page.expect_response("**/understanding"):
        page.get_by_label("Who should it be?").fill(prompt)
    page.locator(".chip").first.wait_for()


def draw(page: Page, prompt: str = PROMPT) -> str:
    """Draw somebody; the avatar's id."""
    describe(page, prompt)
    page.get_by_role("button", name="Draw", exact=True).click()
    return shown(page, prompt)


def shown(page: Page, title: str, but: str = "") -> str:
    """The id of the avatar of that title, once it can be turned; another than that of `but`."""
    page.wait_for_function(
        """([title, but]) => location.hash.length > 1 && location.hash !== `#${but}`
          && document.querySelector(".avatar-title").textContent === title
          && document.querySelector(".over").hidden && document.querySelector("canvas.rv-canvas") !== null""",
        arg=[title, but],
    )
    return str(page.evaluate("location.hash.slice(1)"))


def told(page: Page, path: str) -> Any:
    """What the server tells this person."""
    return page.evaluate("async (path) => (await fetch(path)).json()", path)


def history(page: Page) -> list[dict[str, Any]]:
    return list(told(page, "avatars")["avatars"])


def pixels(page: Page) -> np.ndarray:
    """[H, W, 3] what is seen of the avatar."""
    with Image.open(io.BytesIO(page.locator(".rv-stage").screenshot())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


# ---- describing


def test_what_is_understood_is_shown_as_one_types(visit: Visit) -> None:
    page = visit()
    describe(page, "an old man, no glasses, with a goatee and a parrot")
    chips = page.locator(".chips li")
    said = {kind: page.locator(f".chip.{kind}").all_text_contents() for kind in ("asked", "denied", "unread", "drawn")}
    assert "understood: elderly (old man)" in said["asked"]
    assert "understood: chin beard (goatee)" in said["asked"]
    assert said["denied"] == ["not wanted: glasses"]
    assert page.locator(".chip.denied s").text_content() == "glasses", "marked by more than its colour"
    assert said["unread"] == ["not read: parrot"]
    assert len(said["drawn"]) > 3
    assert chips.count() == sum(map(len, said.values()))
    with page.expect_response("**/understanding"):
        page.get_by_label("Who should it be?").fill("")
    chips.first.wait_for(state="detached")


def test_every_example_is_understood(visit: Visit) -> None:
    page = visit()
    for example in page.locator(".describe .example").all():
        with page.expect_response("**/understanding") as answer:
            example.click()
        found = answer.value.json()
        assert found["unread"] == []
        assert len(found["asked"]) + len(found["denied"]) >= 2


def test_pickers_write_the_prompt_and_follow_it(visit: Visit, until: Until) -> None:
    page = visit()
    prompt = page.get_by_label("Who should it be?")
    page.locator("summary").filter(has_text="Hair and beard").click()
    page.get_by_role("group", name="Hair colour").get_by_role("radio", name="red").check(force=True)
    until(lambda: "red" in prompt.input_value())
    page.get_by_role("group", name="Beard").get_by_role("radio", name="none").check(force=True)
    until(lambda: "no beard" in prompt.input_value())
    page.locator("summary").filter(has_text="Person").click()
    age = page.get_by_role("slider", name="Age")
    age.focus()
    age.press("End")
    until(lambda: "elderly" in prompt.input_value())
    page.get_by_role("button", name="Age: leave it to chance").click()
    until(lambda: "elderly" not in prompt.input_value())
    assert "red" in prompt.input_value()
    describe(page, "a girl with a blue bob and freckles")
    until(lambda: age.get_attribute("aria-valuetext") == "child")
    page.locator("summary").filter(has_text="Hair and beard").click()
    assert page.get_by_role("group", name="Hair colour").get_by_role("radio", name="blue").is_checked()
    assert page.get_by_role("group", name="Hair", exact=True).get_by_role("radio", name="bob").is_checked()
    assert page.get_by_role("group", name="Beard").get_by_role("radio", name="by chance").is_checked()


def test_there_is_a_picker_for_every_attribute(visit: Visit) -> None:
    page = visit()
    for attribute in told(page, "model")["attributes"]:
        name = re.compile(f"^{re.escape(attribute['label'])}")
        pickers = page.get_by_role("group", name=name, include_hidden=True)
        sliders = page.get_by_role("slider", name=name, include_hidden=True)
        assert pickers.count() + sliders.count() >= 1, attribute["label"]


def test_a_seed_can_be_thrown_and_draws_the_same_again(visit: Visit) -> None:
    page = visit()
    page.locator("summary").filter(has_text="Chance and care").click()
    seed = page.get_by_label("Seed", exact=True)
    before = seed.input_value()
    page.get_by_role("button", name="Another seed").click()
    assert seed.input_value() != before
    seed.fill("7")
    first = draw(page)
    assert told(page, f"avatars/{first}")["seed"] == 7
    page.get_by_role("button", name="Draw", exact=True).click()
    second = shown(page, PROMPT, but=first)
    one, other = (
        page.request.get(f"{page.url.split('#')[0]}avatars/{name}.png?size=64").body() for name in (first, second)
    )
    assert one == other


def test_an_avatar_tells_what_it_was_drawn_for(visit: Visit) -> None:
    page = visit()
    draw(page, "an old man with a parrot")
    facts = page.locator(".facts").text_content() or ""
    assert "elderly" in facts
    assert "Not readparrot" in facts


# ---- the avatar


def test_it_turns_under_the_pointer_and_the_keys(visit: Visit) -> None:
    page = visit()
    draw(page)
    canvas = page.get_by_role("application", name=re.compile(PROMPT))
    box = canvas.bounding_box()
    assert box is not None
    before = pixels(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 3, y + 30, steps=4)
    page.mouse.up()
    canvas.press("ArrowLeft")
    page.wait_for_function("() => /from|degrees/.test(document.querySelector('.stage > [role=status]').textContent)")
    page.wait_for_timeout(500)  # the whole picture comes when it rests
    assert np.abs(pixels(page) - before).max() > 20


def test_a_wheel_recolours_it_and_the_colours_can_be_kept(visit: Visit, until: Until) -> None:
    page = visit()
    first = draw(page)
    assert page.get_by_role("tab", name="Colours").get_attribute("aria-selected") == "true"
    keep = page.get_by_role("button", name="Keep these colours")
    assert keep.is_disabled()
    before = pixels(page)
    page.get_by_role("radio", name="Hair").check(force=True)
    page.get_by_label("Code").fill("#20c040")
    page.wait_for_timeout(500)
    assert np.abs(pixels(page) - before).max() > 40
    keep.click()
    second = shown(page, PROMPT, but=first)
    kept, was = (told(page, f"avatars/{name}") for name in (second, first))
    assert kept["palette"]["hair"] == "#20c040"
    assert was["palette"]["hair"] != "#20c040", "nothing is overwritten"
    assert kept["parent"] == first
    assert page.get_by_label("Code").input_value() == "#20c040"
    until(lambda: page.locator(".thumb").count() == 2)


def test_words_change_it_and_both_can_be_compared(visit: Visit) -> None:
    page = visit()
    first = draw(page)
    page.get_by_role("tab", name="Change").click()
    page.get_by_label("What should be different?").fill("a red hat")
    page.get_by_role("button", name="Change", exact=True).click()
    page.wait_for_function("first => location.hash.length > 1 && location.hash !== `#${first}`", arg=first)
    page.locator(".over").wait_for(state="hidden")
    second = page.evaluate("location.hash.slice(1)")
    record = told(page, f"avatars/{second}")
    assert record["parent"] == first
    assert "red hat" in record["edit"]
    page.get_by_role("button", name="Before and after").click()
    for alt, name in (("Before", first), ("After", second)):
        picture = page.get_by_role("img", name=alt, exact=True)
        assert f"avatars/{name}.png" in (picture.get_attribute("src") or "")
        page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
    slider = page.get_by_role("slider", name="Before or after")
    cut = "getComputedStyle(document.querySelector('.pair')).getPropertyValue('--cut')"
    slider.press("End")
    assert page.evaluate(cut) == "100%"
    page.get_by_role("button", name="Flip").click()
    assert page.evaluate(cut) == "0%"
    pair = page.locator(".pair").bounding_box()
    assert pair is not None
    page.mouse.move(pair["x"] + 10, pair["y"] + 50)
    page.mouse.down()
    page.mouse.move(pair["x"] + pair["width"] / 4, pair["y"] + 50)
    page.mouse.up()
    assert page.evaluate(cut) == "25%"
    page.get_by_role("button", name="Turn it again").click()
    page.locator(".over").wait_for(state="hidden")


def test_two_avatars_are_mixed_and_one_is_varied(visit: Visit, until: Until) -> None:
    page = visit()
    first = draw(page, "a young woman")
    page.get_by_role("tab", name="Change").click()
    assert page.get_by_role("button", name="Mix").is_hidden(), "there is nobody to mix it with"
    second = draw(page, "an old man")
    until(lambda: page.locator(".thumb").count() == 2)
    page.get_by_role("radio", name="a young woman").check(force=True)
    part = page.get_by_role("slider", name="How much of the other")
    part.fill("25")
    page.get_by_role("button", name="Mix").click()
    page.wait_for_function("second => location.hash.length > 1 && location.hash !== `#${second}`", arg=second)
    page.locator(".over").wait_for(state="hidden")
    mixed = history(page)[0]
    assert mixed["kind"] == "mix"
    assert mixed["parent"] in (first, second)
    assert "25" in mixed["edit"]
    page.get_by_role("button", name="Draw four relatives").click()
    cards = page.locator(".card")
    until(lambda: cards.count() == 4)
    cards.nth(2).click()
    page.locator(".strip").wait_for(state="detached")
    assert history(page)[0]["kind"] == "vary"


def test_a_surprise_of_eight_is_chosen_from_and_refined(visit: Visit, until: Until) -> None:
    page = visit()
    page.get_by_role("tab", name="Surprise me").click()
    page.get_by_role("button", name="Surprise me").click()
    cards = page.locator(".card")
    until(lambda: cards.count() == 8)
    drafts = history(page)
    cards.nth(3).click()
    page.wait_for_function("() => location.hash.length > 1")
    page.locator(".over").wait_for(state="hidden")
    newest = history(page)[0]
    assert newest["kind"] == "again"
    assert newest["parent"] in {draft["id"] for draft in drafts}
    assert newest["sampling"]["steps"] > drafts[0]["sampling"]["steps"]


# ---- waiting


def test_progress_is_shown_and_a_drawing_can_be_cancelled(visit: Visit, held: Held, until: Until) -> None:
    page = visit()
    describe(page, PROMPT)
    with held():
        page.get_by_role("button", name="Draw", exact=True).click()
        until(lambda: "Shaping" in (page.locator(".saying").text_content() or ""))
        assert page.get_by_role("button", name="Draw", exact=True).is_disabled()
        other = visit()
        describe(other, "a young woman")
        other.get_by_role("button", name="Draw", exact=True).click()
        until(lambda: "queue" in (other.locator(".saying").text_content() or ""))
        page.get_by_role("button", name="Cancel").click()
    page.locator(".drawing").wait_for(state="detached")
    assert page.locator(".empty").is_visible()
    assert page.get_by_role("button", name="Draw", exact=True).is_enabled()
    assert history(page) == []
    shown(other, "a young woman")


def test_a_picture_of_what_is_being_drawn_is_shown(visit: Visit, held: Held) -> None:
    page = visit()
    describe(page, PROMPT)
    with held():
        page.get_by_role("button", name="Draw", exact=True).click()
        page.wait_for_function("() => document.querySelector('.drawing .preview')?.naturalWidth > 0")
    shown(page, PROMPT)


def test_a_reload_goes_on_with_a_drawing(visit: Visit, held: Held, until: Until) -> None:
    page = visit()
    describe(page, PROMPT)
    with held():
        page.get_by_role("button", name="Draw", exact=True).click()
        page.locator(".drawing").wait_for()
        page.reload()
        page.locator(".drawing").wait_for()
        until(lambda: "Shaping" in (page.locator(".saying").text_content() or ""))
    shown(page, PROMPT)


# ---- history


def test_the_history_survives_a_reload(visit: Visit, until: Until) -> None:
    page = visit()
    first = draw(page, "a young woman")
    second = draw(page, "an old man")
    page.reload()
    assert shown(page, "an old man") == second, "what was open is open"
    until(lambda: page.locator(".thumb").count() == 2)
    page.locator(".thumb").nth(1).click()
    assert shown(page, "a young woman") == first
    stranger = visit()
    assert history(stranger) == []
    assert stranger.locator(".thumb").count() == 0


def test_deleting_is_asked_twice(visit: Visit, until: Until) -> None:
    page = visit()
    draw(page)
    remove = page.get_by_role("button", name=f"Delete {PROMPT}")
    remove.focus()
    remove.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Keep it").click()
    assert len(history(page)) == 1
    remove.press("Enter")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    until(lambda: page.locator(".thumb").count() == 0)
    assert history(page) == []
    assert page.locator(".empty").is_visible(), "what is gone is not shown any more"


# ---- taking away


def taken(page: Page, label: str, **options: str) -> Download:
    page.get_by_role("tab", name="Download").click()
    page.get_by_role("radio", name=re.compile(f"^{label}")).check()
    for name, value in options.items():
        field = page.locator(".options label:visible").filter(has_text=name).locator("input, select")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    return download.value


def test_files_are_what_they_are_called(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    draw(page)
    found: dict[str, bytes] = {}
    for label, options in (
        ("Page", {}),
        ("GLB", {"Faces": "5000", "Height in metres": "0.5"}),
        ("OBJ", {"Faces": "5000"}),
        ("STL", {"Faces": "5000", "Height in millimetres": "120"}),
        ("PNG", {"Size": "512", "Background": "ffffff"}),
        ("GIF", {"Size": "256"}),
        ("Avatar file", {}),
    ):
        download = taken(page, label, **options)
        assert download.suggested_filename.startswith("an-old-man-with-a-white-beard-no-glasses.")
        path = tmp_path / download.suggested_filename
        download.save_as(path)
        found[download.suggested_filename.partition(".")[2]] = path.read_bytes()
        page.wait_for_function("() => document.querySelector('.take [role=status]').textContent.startsWith('Saved')")
    assert sorted(found) == ["gif", "glb", "html", "png", "rodin.safetensors", "stl", "zip"]
    assert b"RodinViewer" in found["html"]
    magic, _, _, length, kind = struct.unpack("<4sIII4s", found["glb"][:20])
    assert (magic, kind) == (b"glTF", b"JSON")
    document = json.loads(found["glb"][20 : 20 + length])
    highs = [
        accessor["max"][1] for accessor in document["accessors"] if "max" in accessor and len(accessor["max"]) == 3
    ]
    lows = [accessor["min"][1] for accessor in document["accessors"] if "min" in accessor and len(accessor["min"]) == 3]
    assert max(highs) - min(lows) == pytest.approx(0.5, abs=0.01), "as high as was asked for"
    with zipfile.ZipFile(io.BytesIO(found["zip"])) as archive:
        assert {Path(name).suffix for name in archive.namelist()} >= {".obj", ".mtl"}
    faces = struct.unpack("<I", found["stl"][80:84])[0]
    assert 100 < faces <= 5000
    assert len(found["stl"]) == 84 + 50 * faces
    corners = np.frombuffer(
        found["stl"][84:], np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])
    )["corners"].reshape(-1, 3)
    assert np.ptp(corners, axis=0).max() >= 119
    with Image.open(io.BytesIO(found["png"])) as picture:
        assert (picture.format, picture.size) == ("PNG", (512, 512))
        assert picture.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)
    with Image.open(io.BytesIO(found["gif"])) as film:
        assert (film.format, film.size) == ("GIF", (256, 256))
        assert getattr(film, "n_frames", 1) > 10


def test_colours_that_are_not_kept_are_taken_along(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    first = draw(page)
    page.get_by_role("radio", name="Hair").check(force=True)
    page.get_by_label("Code").fill("#c02020")
    taken(page, "Avatar file").save_as(tmp_path / "a.rodin.safetensors")
    newest = history(page)[0]
    assert newest["id"] != first
    assert newest["palette"]["hair"] == "#c02020"
    from rodin.avatars.avatar import Avatar
    from rodin.materials import MATERIALS

    palette = Avatar.load(tmp_path / "a.rodin.safetensors").palette
    assert palette is not None
    assert palette[MATERIALS.index("hair")].tolist() == pytest.approx([0xC0 / 255, 0x20 / 255, 0x20 / 255], abs=1e-3)


# ---- portraits


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    """A head of a kind: a cut-out with a round face, on transparency."""
    from PIL import ImageDraw

    picture = Image.new("RGBA", (240, 200), (0, 0, 0, 0))
    drawing = ImageDraw.Draw(picture)
    drawing.ellipse((70, 30, 170, 160), fill=(200, 150, 120, 255))
    drawing.rectangle((60, 150, 180, 199), fill=(60, 90, 160, 255))
    picture.save(tmp_path / "head.png")
    return tmp_path / "head.png"


def dropped(page: Page, path: Path) -> None:
    """A file is let fall somewhere on the page."""
    transfer = page.evaluate_handle(
        """bytes => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "../evil<b>.png", { type: "image/png" }));
          return transfer;
        }""",
        list(path.read_bytes()),
    )
    page.locator(".stage").dispatch_event("drop", {"dataTransfer": transfer})
    page.locator(".portrait-work").wait_for()


def crop_of(page: Page) -> dict[str, int]:
    values = page.locator(".crop-fields input").evaluate_all("fields => fields.map(field => field.valueAsNumber)")
    return dict(zip(("left", "top", "size"), values, strict=True))


def test_a_portrait_is_dropped_cropped_and_drawn(visit: Visit, portrait: Path) -> None:
    page = visit()
    dropped(page, portrait)
    before = crop_of(page)
    crop = page.get_by_role("application", name=re.compile("^Crop"))
    box = crop.bounding_box()
    assert box is not None
    with page.expect_response("**/crop") as answer:  # by the pointer
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2 + 20, box["y"] + box["height"] / 2 + 10, steps=3)
        page.mouse.up()
    moved = crop_of(page)
    assert moved["left"] > before["left"]
    assert moved["top"] > before["top"]
    assert moved["size"] == before["size"]
    assert answer.value.json()["crop"] == moved
    corner = page.locator(".corner.se").bounding_box()
    assert corner is not None
    with page.expect_response("**/crop"):  # at a corner
        page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
        page.mouse.down()
        page.mouse.move(corner["x"] - 20, corner["y"] - 20, steps=3)
        page.mouse.up()
    pulled = crop_of(page)
    assert pulled["size"] < moved["size"]
    assert (pulled["left"], pulled["top"]) == (moved["left"], moved["top"])
    with page.expect_response("**/crop"):  # by keys
        crop.press("Shift+ArrowLeft")
        crop.press("+")
    assert crop_of(page)["size"] > pulled["size"]
    with page.expect_response("**/crop") as answer:  # by numbers
        page.get_by_role("spinbutton", name="Left").fill("5")
        page.get_by_role("spinbutton", name="Left").press("Enter")
    assert answer.value.json()["crop"]["left"] == 5
    page.locator(".portrait .primary").click()
    shown(page, "Of a portrait")
    assert history(page)[0]["kind"] == "portrait"


def test_a_background_is_mended_by_a_brush(visit: Visit, portrait: Path) -> None:
    page = visit()
    dropped(page, portrait)
    page.get_by_role("radio", name="Background").check(force=True)
    tint = page.get_by_role("application", name=re.compile("^Background"))
    undo = page.get_by_role("button", name="Undo")
    assert undo.is_disabled()
    box = tint.bounding_box()
    assert box is not None

    def stroke() -> np.ndarray:
        """The matte that the server has after a stroke over the middle of the picture."""
        with page.expect_response("**/matte") as answer:
            page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + box["height"] / 2)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] * 0.65, box["y"] + box["height"] / 2, steps=4)
            page.mouse.up()
        return matte(answer.value.json()["matte_url"])

    def matte(address: str) -> np.ndarray:
        with Image.open(io.BytesIO(page.request.get(page.url.split("/#")[0].rstrip("/") + address).body())) as picture:
            return np.asarray(picture.convert("L")).astype(int)

    removed = stroke()
    row = removed[removed.shape[0] // 2]
    assert row[int(0.5 * len(row))] == 0
    page.get_by_role("radio", name="Bring back").check(force=True)
    assert stroke()[removed.shape[0] // 2, removed.shape[1] // 2] == 255
    with page.expect_response("**/matte") as answer:
        undo.click()
    assert np.array_equal(matte(answer.value.json()["matte_url"]), removed)
    with page.expect_response("**/matte"):
        tint.focus()
        tint.press("ArrowRight")
        tint.press(" ")


def test_what_is_no_picture_is_said_where_it_was_dropped(visit: Visit, tmp_path: Path) -> None:
    page = visit(wrong="Failed to load resource")
    page.get_by_role("tab", name="Portrait").click()
    (tmp_path / "a.png").write_text("no picture")
    page.locator("#portrait-file").set_input_files(tmp_path / "a.png")
    problem = page.locator(".portrait [role=alert]")
    problem.wait_for()
    assert "image" in (problem.text_content() or "").lower()
    assert page.locator(".portrait-work").is_hidden()


# ---- what goes wrong


def test_words_that_mean_nothing_are_said_in_a_line(visit: Visit) -> None:
    page = visit(wrong="Failed to load resource")
    describe(page, "un homme avec des lunettes")
    page.get_by_role("button", name="Draw", exact=True).click()
    problem = page.locator(".stage > [role=alert]")
    problem.wait_for()
    assert "English" in (problem.text_content() or "")
    assert page.get_by_role("button", name="Draw", exact=True).is_enabled()
    page.get_by_label("Who should it be?").fill("")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_text("Describe somebody first").wait_for()


def test_a_lost_server_is_said_and_recovered_from(visit: Visit, until: Until) -> None:
    page = visit(wrong="ERR_INTERNET_DISCONNECTED")
    draw(page)
    banner = page.locator(".lost")
    assert banner.is_hidden()
    page.context.set_offline(True)
    page.get_by_label("Who should it be?").fill("a young woman")
    banner.wait_for()
    page.context.set_offline(False)
    banner.wait_for(state="hidden")
    draw(page, "a young man")


def test_a_drawing_goes_on_over_a_lost_connection(visit: Visit, held: Held, until: Until) -> None:
    page = visit(wrong="ERR_INTERNET_DISCONNECTED")
    describe(page, PROMPT)
    with held():
        page.get_by_role("button", name="Draw", exact=True).click()
        until(lambda: "Shaping" in (page.locator(".saying").text_content() or ""))
        page.context.set_offline(True)
        page.get_by_label("Who should it be?").fill("a young woman")
        page.locator(".lost").wait_for()
        page.context.set_offline(False)
    shown(page, PROMPT)


def test_a_job_that_the_server_has_forgotten_is_said(visit: Visit) -> None:
    page = visit(wrong="Failed to load resource")
    page.evaluate("sessionStorage.setItem('rodin-job', 'no-such-job')")
    page.reload()
    page.get_by_text("The studio was started anew").wait_for()
    assert page.get_by_role("button", name="Draw", exact=True).is_enabled()
    page.reload()
    page.locator(".empty").wait_for()
    assert page.get_by_text("The studio was started anew").count() == 0


def test_words_are_shown_as_words(visit: Visit) -> None:
    page = visit()
    prompt = 'an old man <img src=x onerror="window.hurt=1"><b>bold</b>'
    draw(page, prompt)
    assert page.evaluate("window.hurt") is None
    assert page.locator(".avatar-title b, .thumb b, .chips b, .chips img").count() == 0
    assert page.locator(".thumb-title").first.text_content() == prompt


def test_without_graphics_it_is_a_picture(visit: Visit) -> None:
    page = visit(graphics=False)
    describe(page, PROMPT)
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_text("no WebGL 2").wait_for()
    assert page.get_by_role("img", name=f"{PROMPT}, from the front").is_visible()
    assert taken(page, "PNG").suggested_filename.endswith(".png")


# ---- for everybody


def test_it_is_used_by_keys_alone(visit: Visit, until: Until) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Describe"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Portrait"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "prompt"
    page.keyboard.type("an old man")
    page.keyboard.press("Control+Enter")
    shown(page, "an old man")
    assert page.evaluate("document.activeElement.textContent") == "an old man", "who hears the page is told of it"


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed; npm ci --prefix viewer")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_no_serious_fault(size: str, scheme: str, visit: Visit, portrait: Path, until: Until) -> None:
    page = visit(color_scheme=scheme, **({"viewport": PHONE, "has_touch": True} if size == "phone" else {}))

    def faults() -> list[Any]:
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        return [
            (one["id"], node["html"][:120], node.get("failureSummary", "")[:300])
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert faults() == []
    describe(page, "an old man with a goatee, no glasses and a parrot")
    for summary in page.locator("summary").all():
        summary.click()
        assert faults() == []
    draw(page)
    page.get_by_role("tab", name="Change").click()
    page.get_by_label("What should be different?").fill("a red hat")
    first = page.evaluate("location.hash")
    page.get_by_role("button", name="Change", exact=True).click()
    page.wait_for_function("first => location.hash.length > 1 && location.hash !== first", arg=first)
    page.locator(".over").wait_for(state="hidden")
    until(lambda: page.locator(".thumb").count() == 2)
    assert faults() == []
    page.get_by_role("button", name="Before and after").click()
    dropped(page, portrait)
    page.get_by_role("tab", name="Download").click()
    assert faults() == []
    page.get_by_role("radio", name="Background").check(force=True)
    page.get_by_role("tab", name="Colours").click()
    page.get_by_role("button", name="Delete", exact=False).first.dispatch_event("click")
    page.get_by_role("dialog").wait_for()
    assert faults() == []


def test_nothing_sticks_out_at_any_width(visit: Visit) -> None:
    page = visit()
    describe(page, "an old man with long wavy red hair, no glasses and a flabbergastingly unpronounceable contraption")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.wait_for_function("() => location.hash.length > 1 && document.querySelector('.over').hidden")
    for width in (320, 360, 768, 1100, 1920):
        page.set_viewport_size({"width": width, "height": 740})
        first, *tabs = page.get_by_role("tab").all()
        for opener in (*tabs, first, *page.locator("summary").all()):
            opener.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
