"""Docstrings are plain text here: indented paragraphs and columns are code as they stand, `backticks` alone are markup.

This makes reStructuredText of them before the sections (Args, Returns, Raises) are read.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes):$")
COLUMNS = re.compile(r"\S {3,}\S")
QUOTED = re.compile(r"(`[^`]*`)")


def as_rst(lines: list[str]) -> list[str]:
    """A docstring, dedented, as reStructuredText; paragraphs of its sections are prose at any depth."""
    made: list[str] = []
    in_section = False
    for paragraph in paragraphs(lines):
        if not paragraph[0].startswith(" "):
            in_section = bool(SECTION.match(paragraph[0]))
        if not in_section and (paragraph[0].startswith("    ") or COLUMNS.search(paragraph[0])):
            made += ["::", "", *(f"    {line}" for line in paragraph), ""]
        else:
            made += [*(escaped(line) for line in paragraph), ""]
    return made


def paragraphs(lines: list[str]) -> list[list[str]]:
    """Lines between blank ones; indented paragraphs in a row are one, with the blank lines between them."""
    found: list[list[str]] = []
    blank = True
    for line in lines:
        if not line.strip():
            blank = True
            continue
        if blank and found and line.startswith("    ") and found[-1][0].startswith("    "):
            found[-1] += ["", line]
        elif blank:
            found.append([line])
        else:
            found[-1].append(line)
        blank = False
    return found


def escaped(line: str) -> str:
    """A line in which nothing but `backticks` is markup."""
    parts = QUOTED.split(line)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"([*|\\])|(?<=\w)(_)(?=\W|$)", lambda match: f"\\{match[0]}", parts[index])
    return "".join(parts)


def convert(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", convert, priority=100)  # before napoleon's, at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
