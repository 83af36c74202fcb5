"""Contract: a report is written whole, in three forms that say the same, with every picture that they show beside them,
and never over anything but an older report.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from rodin.errors import UserError
from rodin.evaluate.histogram import histogram
from rodin.evaluate.report import Gallery, Picture, Report, Section, Table


def report() -> Report:
    table = Table(("what", "number"), [("a | <b>", "1.5"), ("c", "2")], "a note & more")
    picture = Picture("one.webp", torch.rand(8, 12, 3, generator=torch.Generator().manual_seed(0)), 'a "red" hat')
    chart = Picture("two.svg", histogram({"x": torch.rand(9), "y": torch.rand(4)}, "distance"), "a chart")
    sections = [
        Section("First", ["Some words.", table]),
        Section("Second", [Gallery([picture]), Gallery([chart], 20.0), Table(("", ""), [("k", "v")], protocol=True)]),
    ]
    return Report("Title", "In short.", sections, {"number": 1.5, "list": [1, None]})


class Page(HTMLParser):
    """Collects sources and text, and holds every tag to be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(folder: Path) -> Page:
    page = Page()
    page.feed((folder / "index.html").read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_all_forms_hold_everything_and_every_picture_exists(tmp_path: Path) -> None:
    out = tmp_path / "report"
    report().write(out)
    page, markdown = read_page(out), (out / "report.md").read_text(encoding="utf-8")
    assert page.sources == ["one.webp", "two.svg"]
    assert re.findall(r"\]\((.*?)\)", markdown) == page.sources
    for word in ("Title", "In short.", "First", "Second", "Some words.", "1.5", "a note & more", 'a "red" hat', "v"):
        assert word in page.text
        assert word in markdown
    assert "a | <b>" in page.text  # escaped
    assert r"a \| <b>" in markdown  # no cell of its own
    assert json.loads((out / "results.json").read_text()) == {"number": 1.5, "list": [1, None]}
    assert sorted(path.name for path in out.iterdir()) == [
        "index.html", "one.webp", "report.md", "results.json", "two.svg"
    ]  # fmt: skip
    with Image.open(out / "one.webp") as image:
        assert image.size == (12, 8)


@pytest.mark.parametrize(("width_rem", "columns"), [(15.0, 4), (24.0, 2), (40.0, 1), (60.0, 1)])
def test_a_gallery_in_markdown_is_a_grid(width_rem: float, columns: int) -> None:
    """As many pictures a row as fit, in their order, each above its caption; a `|` or a line's end leaves no cell."""
    captions = [f"no. {k}" for k in range(6)] + ["a | or\nb"]
    pictures = [Picture(f"{k}.webp", "<svg/>", caption) for k, caption in enumerate(captions)]
    markdown = Report("T", "", [Section("S", [Gallery(pictures, width_rem)])], {}).markdown()
    assert re.findall(r"\]\((.*?)\)", markdown) == [picture.name for picture in pictures]
    if columns == 1:
        each = [f"![{text}]({k}.webp)\n\n{text}" for k, text in enumerate(captions)]
        assert markdown == "\n\n".join(["# T", "", "## S", *each]) + "\n"
        return
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {len(row) for row in cells} == {columns}
    assert cells.pop(1) == ["---"] * columns  # below the first row, which Markdown takes for a header
    shown = [text for row in cells[0::2] for text in row]
    told = [text for row in cells[1::2] for text in row]
    escaped = [*captions[:-1], r"a \| or b"]
    assert shown == [f"![{text}]({k}.webp)" for k, text in enumerate(escaped)] + [""] * (-len(captions) % columns)
    assert told == escaped + [""] * (-len(captions) % columns)


def test_a_gallery_of_nothing_or_of_one_picture_needs_no_grid() -> None:
    one = Picture("0.webp", "<svg/>", "a | b")
    for pictures, wanted in (([], ""), ([one], "![a | b](0.webp)\n\na | b")):
        markdown = Report("T", "", [Section("S", [Gallery(pictures, 15.0)])], {}).markdown()
        assert markdown == "\n\n".join(["# T", "", "## S", *filter(None, [wanted])]) + "\n"


def test_an_older_report_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    out = tmp_path / "report"
    report().write(out)
    (out / "stale.png").write_text("old")
    report().write(out)
    assert not (out / "stale.png").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all my work")
    with pytest.raises(UserError, match="holds other files"):
        report().write(precious)
    with pytest.raises(UserError, match="is a file"):
        report().write(precious / "thesis.txt")
    assert (precious / "thesis.txt").read_text() == "all my work"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_unfinished_report_leaves_nothing(tmp_path: Path) -> None:
    broken = Report("T", "", [Section("S", [Gallery([Picture("a.unknown", torch.zeros(2, 2, 3), "")])])], {})
    with pytest.raises(ValueError, match="unknown"):
        broken.write(tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_rows_fit_their_header() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Table(("a", "b"), [("1", "2", "3")])
