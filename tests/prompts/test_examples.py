"""Contract: every prompt that the documents and the help show is understood to its last word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rodin.prompts.completion import complete
from rodin.prompts.grammar import understand

ROOT = Path(__file__).parents[2]
WHERE = ("README.md", "docs/guide.md", "weights/README.md", "rodin/cli/avatars.py", "rodin/avatars/pipeline.py")
#: How a prompt stands in a command, a call, a flag's default and a flag's help.
SHOWN = re.compile(
    r"--(?:source-)?text \"([^\"]+)\"(?! --sentences)|\bpipe\(\"([^\"]+)\"|edit\(\w+, \"([^\"]+)\""
    r"|understand\(\"([^\"]+)\""
    r"|\b(?:text|edit): str = \"([^\"]+)\"|such as \"([a-z][a-z ]+)\"(?!\))"
)


def shown() -> list[tuple[str, str]]:
    texts = [(where, (ROOT / where).read_text(encoding="utf-8")) for where in WHERE]
    return [(where, next(filter(None, found))) for where, text in texts for found in SHOWN.findall(text)]


@pytest.mark.parametrize(("where", "prompt"), shown())
def test_examples_are_understood(where: str, prompt: str) -> None:
    found = understand(prompt)
    assert found.unread == (), f"{where}: {found.line()}"
    assert found.named
    assert complete(found, 0).caption(absences=True)


def test_examples_are_found() -> None:
    """Else the test above could not fail."""
    assert {where for where, _ in shown()} == set(WHERE)
    assert "an old man with a white beard" in {prompt for _, prompt in shown()}
