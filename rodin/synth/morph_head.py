"""A morphable head from a file of arrays, such as a converted MakeHuman head: the other kind of `Head`."""

from __future__ import annotations

from pathlib import Path

from rodin.synth.head import Head
from rodin.synth.recipe import AvatarRecipe


def load_morph_model(path: Path) -> object:
    raise NotImplementedError


def build_morph_head(model: object, recipe: AvatarRecipe) -> Head:
    raise NotImplementedError
