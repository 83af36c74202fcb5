"""Contract of rodin.prompts.attributes: whatever pickers choose, the prompt that says so is understood as that;
and what words said that pickers cannot have, and leave alone, is said still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodin.prompts.attributes import ANY, attributes, prompt_of, values_of
from rodin.prompts.grammar import understand
from rodin.prompts.understanding import NONE, VALUES

OFFERED = {one.name: [value.value for value in one.values] for one in attributes()}
EVERY = [(name, value) for name, values in OFFERED.items() for value in values]
CHOICES = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([*values, None]) for name, values in OFFERED.items()}
)


def settled(chosen: dict[str, str | None]) -> dict[str, str | None]:
    """What is to come back: what is absent has no colour, and what has a colour is there."""
    wanted = {name: chosen.get(name) for name in OFFERED}
    for thing in ("glasses", "hat"):
        if wanted[thing] == NONE:
            wanted[f"{thing}_color"] = None
        elif wanted[f"{thing}_color"] is not None:
            wanted[thing] = wanted[thing] or ANY
    return wanted


@pytest.mark.parametrize(("name", "value"), EVERY)
def test_every_value_comes_back(name: str, value: str) -> None:
    understood = understand(prompt_of({name: value}))
    assert understood.unread == ()
    assert values_of(understood) == settled({name: value})


@given(CHOICES)
def test_all_choices_come_back_together(chosen: dict[str, str | None]) -> None:
    understood = understand(prompt_of(chosen))
    assert understood.unread == ()
    assert values_of(understood) == settled(chosen)


def test_every_value_that_can_be_asked_for_is_offered() -> None:
    unsaid = {"mouth_width", "eye_spacing", "eye_tilt", "chin", "weight"}  # traits that no word names
    assert set(VALUES) - set(OFFERED) == unsaid
    for name, values in OFFERED.items():
        assert set(values) - {ANY} == set(VALUES[name])
    labels = [value.label for one in attributes() for value in one.values]
    assert all(label.strip() for label in labels)


def test_what_is_open_says_nothing() -> None:
    assert prompt_of({}) == prompt_of(dict.fromkeys(OFFERED)) == ""
    assert set(values_of(understand("")).values()) == {None}


def test_words_leave_open_what_they_do_not_settle() -> None:
    found = values_of(understand("dark hair, glasses, no hat"))
    assert found["hair_color"] is None, "black or brown"
    assert (found["glasses"], found["hat"]) == (ANY, NONE)


@pytest.mark.parametrize(
    "words",
    [
        "a woman, not red hair", "a man with black or grey hair", "dark hair", "not bald", "glasses but not sunglasses",
        "not dark skinned", "not old", "not smiling", "a woman with a red or blue hat", "not long hair",
        "a blue or green top, not a hoodie", "no red hair and no round glasses",
    ],
)  # fmt: skip
def test_what_pickers_cannot_say_stays(words: str) -> None:
    before = understand(words)
    written = prompt_of({**values_of(before), "eyes": "green"}, before)
    found = understand(written)
    assert found.unread == ()
    assert found.allowed("eyes") == ("green",)
    for name in before.named:
        assert set(found.allowed(name)) == set(before.allowed(name)), written


def test_what_pickers_choose_counts_more_than_what_stood_there() -> None:
    before = understand("not red hair, a hat or glasses")
    found = understand(prompt_of({**values_of(before), "hair_color": "red", "hat": NONE}, before))
    assert found.allowed("hair_color") == ("red",)
    assert found.allowed("hat") == (NONE,)


@given(CHOICES)
def test_a_prompt_that_pickers_wrote_loses_nothing_to_them(chosen: dict[str, str | None]) -> None:
    before = understand(prompt_of(chosen))
    assert prompt_of(values_of(before), before) == prompt_of(values_of(before))
