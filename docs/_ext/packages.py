"""Writes a page for each package of Rodin, docs/api/PACKAGE.rst, which docstrings fill; and one for what all share."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

PACKAGE = "rodin"
ELSEWHERE = {"rodin.render.triton_kernel", "rodin.synth.blender"}  # imported where there is a GPU, or Blender


def page(name: str, modules: list[str]) -> str:
    """A package's page: what it is, then its modules."""
    parts = [name, "=" * len(name), f".. automodule:: {name}\n   :members:"]
    for module in modules:
        parts += [f"{module}\n{'-' * len(module)}", f".. automodule:: {module}\n   :members:\n   :show-inheritance:"]
    return f"{parts[0]}\n{parts[1]}\n\n" + "\n\n".join(parts[2:]) + "\n"


def write_pages(app: Sphinx) -> None:
    """Write the pages anew, and leave those alone that are as they should be."""
    root = Path(app.srcdir).parent / PACKAGE
    out = Path(app.srcdir) / "api"
    out.mkdir(exist_ok=True)
    wanted = {}
    for start in (root / "__init__.py", *sorted(root.glob("*/__init__.py"))):
        folder = start.parent
        name = ".".join(folder.relative_to(root.parent).parts)
        files = folder.glob("*.py") if folder == root else folder.rglob("*.py")
        modules = (".".join(path.relative_to(root.parent).with_suffix("").parts) for path in files)
        named = sorted(
            module for module in modules if module not in ELSEWHERE and not module.endswith(("__init__", "__main__"))
        )
        wanted[f"{name}.rst"] = page(name, named)
    for path in out.iterdir():
        if path.name not in wanted:
            path.unlink()
    for file, text in wanted.items():
        path = out / file
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages, priority=100)  # before sources are looked for
    return {"parallel_read_safe": True, "parallel_write_safe": True}
