"""What the studio tells of words: as they are typed, and of what pickers chose."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rodin.avatars.pipeline import RodinPipeline
from rodin.prompts.attributes import attributes, values_of
from rodin.prompts.completion import complete
from rodin.prompts.grammar import understand
from rodin.prompts.understanding import NONE, values_in_words

LITERAL = "read as it stands"  # by a model that was not trained on the words of `rodin synth`


def read_prompt(pipe: RodinPipeline, prompt: str, seed: int) -> dict[str, Any]:
    """What of a prompt is understood, denied, not read and drawn beside; of words that mean nothing, just that.

    Raises no error for any prompt: it may be half typed.
    """
    if not pipe.understands:
        nothing: dict[str, Any] = {"asked": [], "denied": [], "drawn": [], "attributes": {}}
        return {**nothing, "line": LITERAL if prompt.strip() else "", "unread": list(pipe.unread(prompt))}
    found = understand(prompt)
    drawn = complete(found, seed).drawn if found.named or not found.unread else {}

    def said(name: str, values: tuple[str, ...], label: str) -> dict[str, Any]:
        return {"attribute": name, "values": list(values), "label": label, "words": found.words.get(name, "")}

    return {
        "line": found.line() if prompt.strip() else "",
        "asked": [
            said(name, values, values_in_words(name, values))
            for name, values in found.asked.items()
            if values != (NONE,)
        ],
        "denied": [
            *(
                said(name, values, values_in_words(name, values))
                for name, values in found.asked.items()
                if values == (NONE,)
            ),
            *(said(name, values, denial(name, found.allowed(name), values)) for name, values in found.denied.items()),
        ],
        "unread": list(found.unread),
        "drawn": drawn_of(drawn),
        "attributes": values_of(found),
    }


def denial(name: str, allowed: tuple[str, ...], denied: tuple[str, ...]) -> str:
    """What is ruled out, for reading."""
    return values_in_words(name, allowed) if allowed == (NONE,) else f"not {values_in_words(name, denied)}"


def drawn_of(drawn: dict[str, str]) -> list[dict[str, str]]:
    """What was drawn beside a prompt, with labels."""
    return [
        {"attribute": name, "value": value, "label": values_in_words(name, (value,))} for name, value in drawn.items()
    ]


def offered(pipe: RodinPipeline) -> list[dict[str, Any]]:
    """What pickers offer; nothing of a model that reads prompts as they stand."""
    if not pipe.understands:
        return []
    return [
        {
            "name": one.name,
            "label": one.label,
            "values": [asdict(value) for value in one.values],
            "optional": one.optional,
        }
        for one in attributes()
    ]
