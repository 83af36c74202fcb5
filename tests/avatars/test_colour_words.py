"""Contract: prompts of colours alone are told from those that ask for more, and by which materials they mean."""

from __future__ import annotations

import pytest

from rodin.avatars.colour_words import coloured_materials


@pytest.mark.parametrize(
    ("prompt", "materials"),
    [
        ("red hair", {"hair"}),
        ("with Red Hair and a navy top", {"hair", "top"}),
        ("a pink-dyed beard", {"hair"}),
        ("dark skin", {"skin"}),
        ("green eyes, red lipstick", {"iris", "lips"}),
        ("wearing a yellow T-shirt and a grey fedora", {"top", "hat"}),
        ("gold glasses", {"frame"}),
    ],
)
def test_colours_alone(prompt: str, materials: set[str]) -> None:
    assert coloured_materials(prompt) == materials


@pytest.mark.parametrize(
    "prompt",
    [
        "long red hair",
        "an old man with red hair",
        "without a red hat",
        "no beard",
        "hair",
        "red",
        "sunglasses",
        "curly hair",
        "",
        "a thick beard",
        "rote Haare",
    ],
)
def test_words_that_ask_for_more_or_name_no_colour(prompt: str) -> None:
    assert coloured_materials(prompt) == set()
