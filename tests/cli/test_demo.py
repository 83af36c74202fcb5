"""Contract of the demo: one page shows every avatar and needs nothing but the files beside it, which are all there and
sound; the commands on it draw the very same avatars."""

from __future__ import annotations

import html
import re
import shlex
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
import trimesh
from PIL import Image
from safetensors.torch import load_file, save_file

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.contact_sheet import captioned
from rodin.cli import demo, gallery
from rodin.cli.demo_page import Entry, Figure, page
from rodin.cli.main import main

NAMES = ("text", "edit", "portrait", "nothing")
TEXT, EDIT = 'a ball of radius 0.5, "seed" <1> & it\'s red', "a ball of radius 0.6"
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """What a page holds; fails where a tag is not closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.files: list[str] = []
        self.pieces: list[tuple[str, str]] = []  # (innermost tag, text)
        self.framed: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.files += [value for name in ("src", "href", "srcset", "poster") if (value := given.get(name)) is not None]
        if tag == "iframe":
            self.framed.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.pieces.append((self.open[-1], data.strip()))

    def all(self, tag: str) -> list[str]:
        """The texts in a kind of tag."""
        return [text for inner, text in self.pieces if inner == tag]


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Pictures that take no time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("REFINED_SIZE", 48), ("VIEW_SIZE", 24), ("TURNTABLE_SIZE", 16), ("TURNTABLE_FRAMES", 8)):
            patch.setattr(demo, name, value)
        for name, value in (("PICTURE_SIZE", 16), ("TURNTABLE_SIZE", 16), ("TURNTABLE_FRAMES", 2)):
            patch.setattr(gallery, name, value)
        patch.setattr(demo, "REFINE", 5)
        yield


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("given") / "a portrait.png"
    cut_out = Image.new("RGBA", (40, 40))
    cut_out.paste((200, 100, 50, 255), (8, 8, 32, 32))
    cut_out.save(path)
    return path


@pytest.fixture(scope="module")
def out(trained: Path, image: Path, small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `rodin demo` wrote; shared, so leave it as it is."""
    out = tmp_path_factory.mktemp("demo") / "out"
    flags = ["--model", str(trained / "model"), "--image", str(image), "--seed", "3"]
    main(["demo", "--out", str(out), "--text", TEXT, "--edit", EDIT, *flags])
    return out


@pytest.fixture
def shown(out: Path) -> Page:
    return Page((out / "index.html").read_text(encoding="utf-8"))


def test_every_file_is_there_and_none_is_forgotten(out: Path, shown: Page) -> None:
    named = {unquote(name) for name in shown.files}
    assert named == {path.name for path in out.iterdir()} - {"index.html"}
    for name in NAMES:
        for kind in (SUFFIX, ".glb", ".html", "-turntable.gif", "-refined.png", *("-front.png", "-side.png")):
            assert f"{name}{kind}" in named
        assert f"{name}-back.png" in named
    assert "portrait-given.png" in named


def test_nothing_comes_from_elsewhere(out: Path) -> None:
    text = (out / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|\burl\(|\bfetch\(|\bimport\(", text)


def test_the_page_names_every_avatar(shown: Page) -> None:
    assert shown.all("h1") == ["Rodin"]
    assert shown.all("h2") == [f"“{TEXT}”", f"“… {EDIT}”", "a portrait.png", "seed 3"]
    assert [given["src"] for given in shown.framed] == [f"{name}.html" for name in NAMES]
    captions = shown.all("figcaption")
    wanted = {"before": 1, "after": 1, "the portrait": 1, "front": 4, "side": 4, "back": 4}
    for caption, count in wanted.items():
        assert captions.count(caption) == count, caption


def test_avatars_turn_in_pages_that_load_when_they_are_seen(out: Path, shown: Page) -> None:
    assert all(given["loading"] == "lazy" for given in shown.framed)
    assert all("allow-same-origin" not in (given["sandbox"] or "") for given in shown.framed)
    assert (out / "index.html").stat().st_size < 50_000
    for name, title in zip(NAMES, shown.all("h2"), strict=True):
        text = (out / f"{name}.html").read_text(encoding="utf-8")
        assert f"<title>{html.escape(title)}</title>" in text


def test_pictures_are_pictures(out: Path, shown: Page) -> None:
    for name in (unquote(name) for name in shown.files if name.endswith((".png", ".webp", ".gif"))):
        with Image.open(out / name) as picture:
            picture.load()
            if name.endswith("-refined.png"):
                assert picture.size == (48, 48)
            elif name.endswith("-turntable.gif"):
                assert picture.n_frames == 8
    for name in NAMES:
        assert trimesh.load(out / f"{name}.glb", force="mesh").volume > 0


def test_the_commands_draw_the_same(out: Path, shown: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)  # where the edited avatar lies
    commands = [shlex.split(line) for line in shown.all("pre")]
    assert [words[1] for words in commands] == ["generate", "edit", "generate", "generate"]
    for name, words in zip(NAMES, commands, strict=True):
        words[words.index("--out") + 1] = str(tmp_path / name)
        assert words[0] == "rodin"
        main(words[1:])
        one, other = Avatar.load(out / f"{name}{SUFFIX}"), Avatar.load(tmp_path / name / f"avatar-000{SUFFIX}")
        assert one.drawing == other.drawing
        assert torch.equal(one.latent, other.latent)
        assert torch.equal(one.planes, other.planes)


def test_without_a_portrait_there_is_none(trained: Path, small: None, tmp_path: Path) -> None:
    main(["demo", "--out", str(tmp_path), "--model", str(trained / "model"), "--text", "a ball", "--edit", "red"])
    assert not list(tmp_path.glob("portrait*"))
    assert len(Page((tmp_path / "index.html").read_text(encoding="utf-8")).all("h2")) == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--image", "none.png"), "none.png: no such image"),
        (("--text", ""), "prompt: it is empty"),
        (("--model", "none"), "none: no such model folder"),
        (("--out", __file__), "test_demo.py is a file; choose a folder"),
    ],
)
def test_mistakes_are_said_and_leave_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    given = {"--model": str(trained / "model"), "--out": str(tmp_path / "out"), **dict([flags])}
    with pytest.raises(SystemExit) as ended:
        main(["demo", *(word for pair in given.items() for word in pair)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_avatar_without_a_surface_is_named(
    trained: Path, small: None, mended_checksums: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planes of nothing but empty space, as a model that learned nothing draws them."""
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    weights = model / "decoder" / "model.safetensors"
    save_file({name: value * 0 - (name == "density.bias") * 9 for name, value in load_file(weights).items()}, weights)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--out", str(tmp_path / "out"), "--model", str(model), "--text", "a ball"])
    assert ended.value.code == 2
    assert re.search(r"From words, '“a ball”': no mesh \(threshold: no density .*\); train", capsys.readouterr().err)
    assert not (tmp_path / "out" / "index.html").exists()


def test_words_on_the_page_are_words_alone() -> None:
    figure = Figure(file="a b&c#1.png", caption="<script>alert(1)</script>")
    entry = Entry(
        kind="<b>",
        title='"&"',
        large=[figure],
        viewer="t?.html",
        recolours=True,
        small=[figure],
        files=[("<i>", "x%.glb")],
        command="rodin generate --text '<b>&</b>'",
        note="&amp;",
    )
    shown = Page(page("<title>", "a & b", [entry]))
    assert {unquote(name) for name in shown.files} == {"a b&c#1.png", "t?.html", "x%.glb"}
    assert shown.all("h2") == ['"&"']
    assert shown.all("pre") == ["rodin generate --text '<b>&</b>'"]
    assert "&amp;" in [text for _, text in shown.pieces]
    assert shown.all("script") == []


# ---- what the pictures are laid out by


def test_captions_stand_below_their_views() -> None:
    red, clear = torch.zeros(8, 8, 4), torch.zeros(8, 8, 4)
    red[..., 0] = red[..., 3] = 1.0
    words = "one two three four five six seven"
    sheet = captioned([([red, clear], ""), ([clear, red], words), ([red, red], "")], 60, columns=2)
    is_red = (sheet[..., 0] > 0.9) & (sheet[..., 1] < 0.1)
    assert int(is_red.sum()) == 4 * 60 * 60
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 2
    assert [int(is_red[rows, columns].sum()) // 3600 for rows, columns in (
        (slice(height), slice(width)), (slice(height), slice(width, None)), (slice(height, None), slice(width))
    )] == [1, 1, 2]  # fmt: skip
    ink = sheet.mean(dim=-1) < 0.6
    inked = (ink & ~is_red).nonzero()
    assert (inked[:, 0] < height).all(), "in the first row of cards"
    assert (inked[:, 1] >= width).all(), "on the second card"
    assert inked[:, 0].min() > is_red[:height].nonzero()[:, 0].max(), "below the views"
    assert inked[:, 0].max() - inked[:, 0].min() > 20, "in more than one line"
