"""The studio's page in a real browser: somebody who uses it, and what may never go wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, BrowserContext, Page

WAIT_MS = 600_000  # what takes longer never ends, on whatever machine
DESKTOP = {"width": 1280, "height": 800}


Visit = Callable[..., "Page"]
Await = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def visit(browser_of: Callable[[bool], Browser], served: Any) -> Iterator[Visit]:
    """visit(graphics=, wrong=, **context): the page, for somebody who is new there.

    At the end nothing may have been asked of any other place, and the console have shown no error, a refusal of the
    page's policy among them, but for words in `wrong`.
    """
    contexts: list[BrowserContext] = []
    found: list[str] = []

    def open_(graphics: bool = True, wrong: str | None = None, **settings: Any) -> Page:
        given = {"viewport": DESKTOP, "reduced_motion": "reduce", **settings}
        context = browser_of(graphics).new_context(**given)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()

        def note(text: str) -> None:
            if wrong is None or wrong not in text:
                found.append(text)

        page.on("console", lambda message: note(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: note(str(error)))
        here = (f"{served.address}/", f"blob:{served.address}/", "data:")
        page.on("request", lambda request: None if request.url.startswith(here) else note(request.url))
        page.goto(served.address)
        page.get_by_label("Who should it be?").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert found == []


@pytest.fixture
def held(served: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """with held(): every drawing stands still after its first step."""
    import threading

    gate = threading.Event()
    gate.set()
    preview = served.studio.pipe.preview

    steps = 0

    def waiting(*given: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 1:
            gate.wait()
        return preview(*given)

    monkeypatch.setattr(served.studio.pipe, "preview", waiting)

    @contextmanager
    def hold() -> Iterator[None]:
        nonlocal steps
        steps = 0
        gate.clear()
        try:
            yield
        finally:
            gate.set()

    return hold
