"""Contract of the studio's OpenAPI document: the server takes what it describes, refuses what it does not, and answers
as it says; schemathesis makes the requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

DRAWS = ("POST /avatars", "POST /avatars/{id}/edits")  # whose jobs are given up at once


@pytest.fixture(scope="module")
def document(served: Any) -> dict[str, Any]:
    return json.loads(served.person().ask("GET", "/openapi.json").content)


def test_every_request_and_answer_is_described(document: dict[str, Any]) -> None:
    operations = [(path, one) for path, methods in document["paths"].items() for one in methods.values()]
    assert len(operations) == 24
    for path, operation in operations:
        assert operation["description"], path
        assert "HTTPValidationError" not in json.dumps(operation), path
        for status in ("401", "403", "422", "429"):
            assert operation["responses"][status]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


def test_the_page_of_the_api_names_every_request_without_a_script(served: Any, document: dict[str, Any]) -> None:
    page = served.person().ask("GET", "/docs").content.decode()
    assert "<script" not in page
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in page


@pytest.fixture(scope="module")
def described(served: Any, document: dict[str, Any]) -> Any:
    """The API as schemathesis sees it, at the studio's address."""
    config = schemathesis.Config.from_dict({"seed": 1})
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=served.address)
    return schema


@pytest.fixture(scope="module", autouse=True)
def nobody_draws(served: Any) -> Iterator[None]:
    """What is asked for by chance need not be drawn: it waits until it is given up."""
    with served.busy():
        yield
        for job in list(served.studio.queue._jobs.values()):
            served.studio.queue.cancel(job)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_does_as_it_says(case: schemathesis.Case, served: Any) -> None:
    response = case.call()
    case.validate_response(response)
    for job in list(served.studio.queue._jobs.values()):
        if job.person != "somebody else":
            served.studio.queue.cancel(job)
