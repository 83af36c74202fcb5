"""The index of a model folder, `model_index.json`, and where the shipped model lies. Without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rodin.errors import UserError, shown
from rodin.files import check_schema, read_json

SCHEMA = "rodin-model-2"
INDEX_NAME = "model_index.json"
PRESET_NAME = "preset.yaml"  # that a model was trained by
SHIPPED_NAME = "weights"  # the folder of the model that comes with the package


def shipped_folder() -> Path:
    """The model that comes with the package: inside it where a wheel was installed, beside it in the source tree.

    Raises:
        UserError: this installation has none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / SHIPPED_NAME, package.parent / SHIPPED_NAME):
        if (folder / INDEX_NAME).is_file():
            return folder
    raise UserError(
        f"no model comes with this installation (looked in {package} and beside it for {SHIPPED_NAME}/{INDEX_NAME}); "
        "name a model folder, or train one with: rodin train all DATA --run RUN"
    )


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a model folder whose parts are all there.

    Raises:
        UserError: the folder or a part is missing, or the index is damaged or of another schema.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder; train one with: rodin train all DATA --run RUN")
    path = folder / INDEX_NAME
    index = read_json(path)
    found = index.get("schema") if isinstance(index, dict) else None
    check_schema(path, found, [SCHEMA], "train again or get a newer model")
    parts = index.get("parts", [])  # an older index does not list them
    if not isinstance(parts, list) or not all(isinstance(name, str) and len(name) < 100 for name in parts):
        raise UserError(f"{path}: parts is {shown(parts)}; copy the whole folder again")
    for name in parts:
        if not (folder / name).is_dir():
            raise UserError(f"{folder / name}: no such part, which {path.name} names; copy the whole folder again")
    return dict(index)
