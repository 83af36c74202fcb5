"""Contract of rodin.prompts.lexicon: every entry means one thing, and what it means exists."""

from __future__ import annotations

from collections import Counter

import pytest

from rodin.prompts import lexicon
from rodin.prompts.understanding import VALUES

TABLES = {
    name: set(getattr(lexicon, name))
    for name in (
        "PEOPLE", "PRONOUNS", "AGES", "ORIGINS", "HUES", "HAIRED", "NOUNS", "MARKS", "ABSENT", "EXPRESSIONS", "FACES",
        "LIGHTINGS", "TRAITS",
    )
}  # fmt: skip


def test_no_entry_stands_in_two_tables() -> None:
    counts = Counter(entry for entries in TABLES.values() for entry in entries)
    assert [entry for entry, count in counts.items() if count > 1] == []
    assert sum(counts.values()) > 1500


def test_entries_are_spelt_as_prompts_are_split() -> None:
    """In lower case, without hyphens: else none would ever be found."""
    for name, entries in TABLES.items():
        for entry in entries:
            assert entry == " ".join(entry.lower().replace("-", " ").split()), (name, entry)
            assert "," not in entry, (name, entry)


def test_values_are_the_recipe_s() -> None:
    for entry, noun in lexicon.NOUNS.items():
        assert set(noun.values) <= set(VALUES[noun.attribute]), entry
    for name, hues in lexicon.HUES_OF.items():
        assert set(hues) <= set(lexicon.HUES.values()), name
        assert {value for values in hues.values() for value in values} <= set(VALUES[name])
    for meanings in lexicon.PERSON_MEANINGS.values():
        assert all(set(values) <= set(VALUES[name]) for name, values in meanings)
    assert set(lexicon.PEOPLE.values()) == set(lexicon.PERSON_MEANINGS)
    assert {value for key in lexicon.ORIGINS.values() for value in key.split(", ")} <= set(VALUES["skin"])
    for table, name in ((lexicon.AGES, "age"), (lexicon.EXPRESSIONS, "expression"), (lexicon.FACES, "face_shape"),
                        (lexicon.LIGHTINGS, "lighting"), (lexicon.HAIRED, "hair_color")):  # fmt: skip
        assert set(table.values()) <= set(VALUES[name])


def test_a_word_of_two_meanings_is_refused() -> None:
    with pytest.raises(ValueError, match="'jet' means both 'black' and 'white'"):
        lexicon._split({"black": "jet, coal", "white": "milk, jet"})
