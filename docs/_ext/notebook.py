"""Notebooks as pages, with the outputs that they hold: text and PNG pictures. Nothing is run."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.sphinx_ import Parser
from sphinx.application import Sphinx


class NotebookParser(Parser):
    """Reads .ipynb as the Markdown that it amounts to."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        env = document.settings.env
        pictures = Path(env.doctreedir) / "notebooks"
        pictures.mkdir(parents=True, exist_ok=True)
        folder = Path(env.doc2path(env.docname)).parent
        super().parse(markdown_of(json.loads(inputstring), pictures, folder), document)


def markdown_of(notebook: dict[str, Any], pictures: Path, folder: Path) -> str:
    """The cells one after another. Pictures of outputs are written to `pictures`, and named as seen from `folder`."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                content = base64.b64decode("".join(data["image/png"]))
                path = pictures / f"{hashlib.sha256(content).hexdigest()[:16]}.png"
                path.write_bytes(content)
                parts.append(f"![Output of the cell above]({Path(os.path.relpath(path, folder)).as_posix()})")
            else:
                text = "".join(data.get("text/plain", output.get("text", "")))
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
