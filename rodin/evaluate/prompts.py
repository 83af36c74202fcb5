"""Prompts that avatars are drawn from to be judged, and the attributes that each names.

A file of prompts has one JSON object a line: {"text": ..., "attributes": {name: value, ...}}, where the attributes are
exactly those that the text names, in the words of the training data. A list of values allows any of them.

A line may also hold a pair of opposites, of which each is a prompt: {"texts": [one, other], "attribute": name,
"values": [values of the one, values of the other]}.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rodin.errors import UserError, shown
from rodin.evaluate.subjects import RealSet
from rodin.files import parse_json

CAPTIONS = "captions"  # name of the set that the held-out subjects' captions make


@dataclass(frozen=True)
class Prompt:
    """A text and the attributes that it names; of a tuple of values any will do."""

    text: str
    attributes: dict[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class PromptSet:
    """Prompts that are judged together, under the name of their file."""

    name: str
    prompts: list[Prompt]

    @property
    def texts(self) -> list[str]:
        """What is drawn."""
        return [prompt.text for prompt in self.prompts]

    @property
    def truth(self) -> list[dict[str, str | tuple[str, ...]]]:
        """What should be seen."""
        return [prompt.attributes for prompt in self.prompts]


def read_prompts(paths: Sequence[Path], training: Sequence[dict[str, Any]]) -> list[PromptSet]:
    """Read files of prompts.

    Args:
        training: attributes of the training subjects; no other value can be judged.

    Raises:
        UserError: a file is missing or malformed, two have one name, or an attribute or a value is not one that all
            training subjects tell.
    """
    sets: dict[str, PromptSet] = {}
    for path in paths:
        if path.stem in (*sets, CAPTIONS):
            raise UserError(f"--prompts: {path}: the name {path.stem!r} is taken; rename the file")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--prompts: {path}: cannot be read ({error}); give a file of JSON lines") from error
        found = [
            prompt
            for k, line in enumerate(lines, 1)
            if line.strip()
            for prompt in _prompts(line, f"{path}: line {k}", training)
        ]
        if not found:
            raise UserError(f"--prompts: {path}: holds no prompts; write one a line")
        sets[path.stem] = PromptSet(path.stem, found)
    return list(sets.values())


def _prompts(line: str, where: str, training: Sequence[dict[str, Any]]) -> list[Prompt]:
    """The prompt of a line, or the two of a pair."""
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON ({error}); mend the line") from error
    if isinstance(value, dict) and set(value) == {"texts", "attribute", "values"}:
        texts, name, values = value["texts"], value["attribute"], value["values"]
        if not (isinstance(texts, list) and isinstance(values, list) and len(texts) == len(values) == 2):
            raise UserError(f"{where}: expected two texts, and the values of each; mend the line")
        if not isinstance(name, str):
            raise UserError(f"{where}: attribute is {shown(name)}; give its name")
        told = [(text, {name: of_text}) for text, of_text in zip(texts, values, strict=True)]
    elif isinstance(value, dict) and set(value) == {"text", "attributes"}:
        told = [(value["text"], value["attributes"])]
    else:
        raise UserError(f'{where}: expected {{"text": ..., "attributes": ...}} and nothing else; mend the line')
    return [_prompt(text, attributes, where, training) for text, attributes in told]


def _prompt(text: object, attributes: object, where: str, training: Sequence[dict[str, Any]]) -> Prompt:
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: text is {shown(text)}; describe an avatar")
    if not isinstance(attributes, dict):
        raise UserError(f"{where}: attributes is {shown(attributes)}; give a JSON object")
    for name, words in attributes.items():
        missing = sum(name not in one for one in training)
        if 0 < missing < len(training):
            raise UserError(f"{where}: {missing} of {len(training)} training subjects have no {name}; leave it out")
        known = sorted({str(one[name]) for one in training if name in one})
        for word in words if isinstance(words, list) and words else [words]:
            if str(word) not in known:
                raise UserError(
                    f"{where}: {name} is {shown(word)}; the training subjects' are {', '.join(known) or 'none'}"
                )
    return Prompt(
        text,
        {name: tuple(map(str, word)) if isinstance(word, list) else str(word) for name, word in attributes.items()},
    )


def caption_prompts(held_out: RealSet, training: Sequence[dict[str, Any]], count: int) -> PromptSet:
    """The captions of the first `count` held-out subjects, with what they say of attributes that can be learned.

    Raises:
        UserError: one of these subjects has no caption.
    """
    first = held_out.first(count)
    names = learnable(training)
    known = {name: {str(one[name]) for one in training} for name in names}
    prompts = []
    for folder, caption, attributes in zip(first.folders, first.captions, first.attributes, strict=True):
        if not caption.strip():
            raise UserError(f"{folder}: has no caption to draw from; add one to its transforms.json, or give --prompts")
        said = {name: attributes[name] for name in names if mentioned(caption, name, attributes.get(name, False))}
        prompts.append(Prompt(caption, {name: str(word) for name, word in said.items() if str(word) in known[name]}))
    return PromptSet(CAPTIONS, prompts)


def learnable(attributes: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the attributes that all subjects have, as words or yes and no that repeat among them and differ."""
    names = sorted({name for one in attributes for name in one})
    found = []
    for name in names:
        values = [one.get(name) for one in attributes]
        distinct = len(set(map(str, values)))
        if all(isinstance(value, (str, bool)) for value in values) and 1 < distinct <= len(values) // 2:
            found.append(name)
    return found


def mentioned(caption: str, name: str, value: object) -> bool:
    """Whether a caption says that the attribute has this value: by the value's words, or, where it is yes, its name."""
    if value is False:
        return False
    words = name.replace("_", " ") if value is True else str(value)
    return re.search(rf"\b{re.escape(words.lower())}\b", caption.lower()) is not None
