"""Give the subjects of a rendered set the words of today, without rendering them again."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from rodin import checksums
from rodin.errors import UserError
from rodin.files import read_json, write_json
from rodin.synth.recipe import make_recipe
from rodin.synth.subject import words_of


def rewrite_words(data: Path) -> None:
    """Write caption and paraphrases anew into every transforms.json of the set `data`; all else stays as it is.

    Raises:
        UserError: there is no synthetic subject, or one was made by another version of the recipe.
    """
    paths = sorted(data.glob("[0-9]*/transforms.json"))
    if not paths:
        raise UserError(f"{data}: holds no subjects of rodin synth; give the folder that was its --out")
    for path in tqdm(paths, unit="subject", desc="words", delay=0.5):  # no bar where the set is refused
        document = read_json(path)
        updated = document | _words_for(path, document)
        if updated != document and (path.parent / checksums.NAME).exists():
            checksums.finish(path.parent, path.name, updated)
        elif updated != document:
            write_json(path, updated)


def _words_for(path: Path, document: object) -> dict[str, object]:
    """The words of the subject whose transforms.json is `document`."""
    seed, index = (document.get("seed"), document.get("index")) if isinstance(document, dict) else (None, None)
    if not isinstance(document, dict) or type(seed) is not int or type(index) is not int or min(seed, index) < 0:
        raise UserError(f"{path}: has no seed and index, so no recipe; give a folder that rodin synth wrote")
    recipe = make_recipe(seed, index)
    if document.get("attributes") != recipe.attributes():
        made = document.get("generator")
        raise UserError(
            f"{path}: was made by another version of the recipe ({made}); render the set again, or keep its words"
        )
    return words_of(recipe)
