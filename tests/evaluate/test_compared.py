"""Contract: models to compare with are named once each, and a wrong name is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rodin.errors import UserError
from rodin.evaluate.compared import load_models


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (("model",), "NAME=MODEL"),
        (("=model",), "NAME=MODEL"),
        (("a=",), "NAME=MODEL"),
        (("this model=x",), "row already"),
        (("a=x", "a=y"), "row already"),
        (("a=/no/such/folder",), "no such model folder"),
    ],
)
def test_wrong_entries_are_refused(entries: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_models(entries)


def test_models_come_by_name_in_order(trained: Path) -> None:
    models = load_models((f"b={trained / 'model'}", f"a={trained / 'model'}"))
    assert list(models) == ["b", "a"]
    assert models["a"].model_hash == models["b"].model_hash
    assert load_models(()) == {}
