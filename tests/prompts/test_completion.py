"""Contract of rodin.prompts.completion: whatever a prompt says is true of the avatar that is drawn for it; the rest
hangs on the seed alone, goes together, and puts nothing on that nobody asked for."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.prompts.completion import complete
from rodin.prompts.grammar import understand
from rodin.prompts.understanding import NONE, TRAITS, VALUES
from rodin.synth.recipe import make_recipe
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import paraphrases

SEEDS = st.integers(0, 2**29)
PROMPTS = st.builds(lambda seed, index, k: paraphrases(make_recipe(seed, index), k + 1)[k], SEEDS, st.integers(0, 500),
                    st.integers(0, 5))  # fmt: skip


@given(PROMPTS, SEEDS)
@settings(deadline=None, max_examples=80)
def test_what_is_said_is_true(prompt: str, seed: int) -> None:
    found = complete(understand(prompt), seed)
    for name in found.understanding.named:
        if name in TRAITS:
            assert (getattr(found.recipe.traits, name) > 0) == (found.understanding.allowed(name) == ("+",))
            continue
        value = getattr(found.recipe, name)
        assert {True: "yes", False: NONE}.get(value, value) in found.understanding.allowed(name), prompt
    again = understand(found.caption(absences=True))
    assert all(set(again.allowed(name)) <= set(found.understanding.allowed(name)) for name in set(again.named))


@given(SEEDS)
@settings(deadline=None, max_examples=40)
def test_the_same_seed_draws_the_same_and_a_word_more_leaves_the_rest(seed: int) -> None:
    one, other = (complete(understand("a man with short brown hair"), seed) for _ in range(2))
    assert one == other
    more = complete(understand("a man with short brown hair and glasses"), seed)
    assert {k: v for k, v in more.drawn.items() if not k.startswith("glasses")} == one.drawn


def test_an_old_man_with_a_white_beard() -> None:
    drawn = [complete(understand("an old man with a white beard"), seed) for seed in range(60)]
    assert {(one.recipe.sex, one.recipe.age, one.recipe.hair_color, one.recipe.beard) for one in drawn} == {
        ("man", "elderly", "white", "full beard")
    }
    assert len({one.recipe.skin for one in drawn}) == 5
    assert len({one.recipe.top_color for one in drawn}) > 6
    assert {(one.recipe.glasses, one.recipe.hat) for one in drawn} == {(NONE, NONE)}


def test_what_is_open_goes_together() -> None:
    everybody = [complete(understand("a person"), seed).recipe for seed in range(300)]
    assert {one.hair_color for one in everybody if one.age == "elderly"} == {"grey", "white"}
    assert not {one.hair_color for one in everybody} & {"pink", "blue", "green", "purple"}
    assert {one.skin for one in everybody} == set(VALUES["skin"])
    assert {one.sex for one in everybody} == set(VALUES["sex"])
    assert all(one.beard == one.glasses == one.hat == NONE for one in everybody)
    red = [complete(understand("a woman with red hair"), seed).recipe for seed in range(40)]
    assert {(one.hair_color, one.age) for one in red} == {("red", "young")}
    assert {one.skin for one in red} <= {"pale", "light"}
    assert all(complete(understand("a beard"), seed).recipe.sex == "man" for seed in range(40))


def test_the_colour_of_a_hat_makes_a_hat() -> None:
    found = [complete(understand("a girl with a hat"), seed).recipe for seed in range(30)]
    assert {one.hat for one in found} == {"beanie", "baseball cap", "fedora"}
    assert not {one.hair for one in found} & {"quiff", "mohawk", "bun", "ponytail", "afro"}


def test_it_says_what_was_drawn() -> None:
    found = complete(understand("a young man with pale skin, a red bob and a parrot"), 3)
    assert found.line().startswith("understood: man, young, pale skin, bob, red hair; drawn: ")
    assert found.line().endswith("; not read: parrot")
    assert set(found.drawn) == {"top", "top_color", "expression", "face_shape", "lighting"}
    assert json.loads(json.dumps(found.to_json()))["drawn"] == found.drawn


def test_absences_are_said_to_models_that_learned_them_alone() -> None:
    found = complete(understand("a man"), 0)
    assert "no glasses" in found.caption(absences=True)
    assert "no " not in found.caption(absences=False)
    assert found.caption(absences=False).startswith(make_caption(found.recipe, absences=False, eyes=False))
