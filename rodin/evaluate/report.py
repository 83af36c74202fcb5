"""A report as a document: sections of text, tables, pictures and charts, written as HTML, as Markdown and as numbers.

index.html      for the eye
report.md       the same, for terminals and code hosts
results.json    every number
*.webp, *.svg   what the two show
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from rodin.errors import UserError
from rodin.files import atomic_path, write_json, write_text
from rodin.images import to_bytes
from rodin.web_page import document, escaped

RESULTS_NAME = "results.json"
WEBP_QUALITY = 85
ROW_REM = 60.0  # of a gallery in Markdown


@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells; a note below. `protocol` sets it as a list of names and values."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    protocol: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row must have {len(self.header)} cells, got {row}")


@dataclass(frozen=True)
class Picture:
    """Pixels [H, W, 3] in [0, 1], or an SVG, to be written as `name`; a caption."""

    name: str
    content: Tensor | str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, as many as fit; none narrower than `width_rem` (a letter's height is 1 rem)."""

    pictures: list[Picture]
    width_rem: float = 60.0


@dataclass(frozen=True)
class Section:
    """A heading, and below it paragraphs, tables and pictures."""

    title: str
    blocks: Sequence[str | Table | Gallery]


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Args:
        summary: the paragraph under the title.
        figures: every number of the report, as JSON values.
    """

    title: str
    summary: str
    sections: list[Section]
    figures: dict[str, Any]

    def write(self, out: Path) -> None:
        """Write the report's folder, whole or not at all; an older report there is replaced.

        Raises:
            UserError: `out` holds something else, or cannot be written.
        """
        check_place(out)
        pictures = [p for s in self.sections for b in s.blocks if isinstance(b, Gallery) for p in b.pictures]
        names = [picture.name for picture in pictures]
        assert len(set(names)) == len(names), names
        with atomic_path(Path(out)) as folder:
            folder.mkdir()
            for picture in pictures:
                _write_picture(folder / picture.name, picture.content)
            write_text(folder / "index.html", self.html())
            write_text(folder / "report.md", self.markdown())
            write_json(folder / RESULTS_NAME, self.figures)

    def html(self) -> str:
        """The report as a page without scripts, its pictures beside it."""
        body = [f"<h1>{escaped(self.title)}</h1>", f"<p>{escaped(self.summary)}</p>"]
        for section in self.sections:
            body.append(f"<h2>{escaped(section.title)}</h2>")
            body += [_block_html(block) for block in section.blocks]
        return document(self.title, "\n".join(body))

    def markdown(self) -> str:
        """The report as Markdown, its pictures beside it."""
        parts = [f"# {self.title}", self.summary]
        for section in self.sections:
            parts.append(f"## {section.title}")
            for block in section.blocks:
                if isinstance(block, str):
                    parts.append(block)
                elif isinstance(block, Table):
                    ruler = ("---", *("---:" for _ in block.header[1:]))
                    parts.append(_table_markdown(block.header, ruler, *block.rows))
                    parts += [f"*{block.note}*"] if block.note else []
                elif block.pictures:
                    parts.append(_gallery_markdown(block))
        return "\n\n".join(parts) + "\n"


def check_place(out: Path) -> None:
    """Raise UserError if `out` holds anything but a report: writing would replace it."""
    out = Path(out)
    if out.is_dir() and any(out.iterdir()) and not (out / RESULTS_NAME).is_file():
        raise UserError(f"{out}: holds other files than a report; choose another folder for it")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose a folder for the report")


def _write_picture(path: Path, content: Tensor | str) -> None:
    if isinstance(content, str):
        write_text(path, content)
        return
    with atomic_path(path) as temporary:
        Image.fromarray(to_bytes(content).numpy()).save(temporary, quality=WEBP_QUALITY, method=6)


def _block_html(block: str | Table | Gallery) -> str:
    if isinstance(block, str):
        return f"<p>{escaped(block)}</p>"
    return _table_html(block) if isinstance(block, Table) else _gallery_html(block)


def _table_html(table: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in table.rows)
    head = "" if table.protocol else f"<thead>{row(table.header, 'th')}</thead>\n"
    kind = ' class="protocol"' if table.protocol else ""
    note = f'\n<p class="note">{escaped(table.note)}</p>' if table.note else ""
    return f'<div class="wide"><table{kind}>\n{head}<tbody>\n{body}\n</tbody></table></div>{note}'


def _gallery_html(gallery: Gallery) -> str:
    figures = "\n".join(
        f'<figure><img src="{escaped(p.name)}" alt="{escaped(p.caption)}">'
        f"<figcaption>{escaped(p.caption)}</figcaption></figure>"
        for p in gallery.pictures
    )
    return f'<div class="gallery" style="--least: {gallery.width_rem:g}rem">\n{figures}\n</div>'


def _table_markdown(*rows: Sequence[str]) -> str:
    return "\n".join(f"| {' | '.join(map(_one_cell, cells))} |" for cells in rows)


def _gallery_markdown(gallery: Gallery) -> str:
    """A grid, or one picture below the other where no two fit into ROW_REM.

    Markdown's only grid is a table. Captions have rows of their own, so that pictures line up above captions of any
    length; the first pictures are the header that a table must have.
    """
    columns = min(int(ROW_REM // gallery.width_rem), len(gallery.pictures))
    if columns < 2:
        return "\n\n".join(f"![{p.caption}]({p.name})\n\n{p.caption}" for p in gallery.pictures)
    rows: list[list[str]] = []
    for start in range(0, len(gallery.pictures), columns):
        pictures = gallery.pictures[start : start + columns]
        empty = [""] * (columns - len(pictures))
        rows.append([f"![{picture.caption}]({picture.name})" for picture in pictures] + empty)
        rows.append([picture.caption for picture in pictures] + empty)
    return _table_markdown(rows[0], ["---"] * columns, *rows[1:])


def _one_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
