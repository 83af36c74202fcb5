"""Links from a page to a file of the repository that is no page, such as ../weights/README.md, lead to the repository.

GitHub follows them as they stand. The site has no such files.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")


def led_to_the_repository(app: Sphinx, page: str, content: list[str]) -> None:
    """Rewrite the links of one page's source."""
    docs = Path(app.srcdir).resolve()
    folder = docs / Path(page).parent
    repository = app.config.html_theme_options["source_repository"]

    def led(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if not target.exists() or (target.is_relative_to(docs) and target.is_file()):
            return match[1]  # Sphinx says so where it is not there
        kind = "tree" if target.is_dir() else "blob"
        return f"{repository}{kind}/main/{target.relative_to(docs.parent).as_posix()}"

    content[0] = LINK.sub(led, content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", led_to_the_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
