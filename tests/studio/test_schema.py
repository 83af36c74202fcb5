"""Contract of the studio's OpenAPI document: the server takes what it describes, refuses what it does not, and answers
as it says; schemathesis makes the requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

OPERATIONS = (
    "GET /model",
    "POST /understanding",
    "POST /descriptions",
    "POST /portraits",
    "GET /portraits/{id}.png",
    "GET /portraits/{id}/matte.png",
    "GET /portraits/{id}/framed.png",
    "PUT /portraits/{id}/crop",
    "PUT /portraits/{id}/matte",
    "POST /avatars",
    "GET /avatars",
    "POST /avatars/{id}/edits",
    "POST /avatars/{id}/colours",
    "GET /avatars/{id}.png",
    "GET /avatars/{id}.rodin",
    "GET /avatars/{id}.safetensors",
    "GET /avatars/{id}.{format}",
    "POST /avatars/{id}/files",
    "GET /avatars/{id}",
    "DELETE /avatars/{id}",
    "GET /jobs/{id}",
    "DELETE /jobs/{id}",
    "GET /jobs/{id}/events",
    "GET /jobs/{id}/preview.png",
)
SLOW = ("/avatars/{id}.png", "/avatars/{id}.{format}")
TAKES_ANYTHING = ("GET /model", "POST /portraits")  # as far as a schema can say
WAIT_SECONDS = 1800  # as conftest.HANG_SECONDS
SOME = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def document(served: Any) -> dict[str, Any]:
    return json.loads(served.person().ask("GET", "/openapi.json").content)


def test_every_request_and_answer_is_described(document: dict[str, Any]) -> None:
    operations = [(path, one) for path, methods in document["paths"].items() for one in methods.values()]
    assert {f"{method.upper()} {path}" for path, one in document["paths"].items() for method in one} == set(OPERATIONS)
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


@pytest.fixture(scope="module")
def owner(served: Any, of_materials: Any) -> dict[str, str]:
    """Somebody with an avatar, a portrait and a job: their ids by where they are, and the person's own."""
    person = served.person()
    avatar = served.give(person, of_materials)
    content = (Path(__file__).parents[2] / "examples" / "portrait.webp").read_bytes()
    portrait = person.ask("POST", "/portraits", content, Content_Type="image/webp").json()
    job = person.draw("/avatars", {"kind": "surprise", "sampling": {"steps": 1, "upsampling_steps": 1}})
    return {"person": person.name, "avatars": avatar, "portraits": portrait["id"], "jobs": job["id"]}


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        (operation, mode)
        for operation in OPERATIONS
        for mode in GenerationMode
        if not (mode is GenerationMode.NEGATIVE and operation in TAKES_ANYTHING)
    ],
)
def test_the_server_does_as_it_says(
    described: Any, served: Any, owner: dict[str, str], operation: str, mode: GenerationMode
) -> None:
    method, path = operation.split()
    found = described[path][method]

    @settings(SOME, max_examples=3 if path in SLOW else 8)
    @given(case=found.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        if mode is GenerationMode.POSITIVE and method != "DELETE" and "id" in case.path_parameters:
            case.path_parameters["id"] = owner[path.split("/")[1]]  # one that there is
        response = case.call(cookies={"rodin_person": owner["person"]}, timeout=WAIT_SECONDS)
        # 400 is for what a schema cannot say, such as that a prompt means something
        unsaid = [positive_data_acceptance] if response.status_code == 400 else []
        case.validate_response(response, excluded_checks=unsaid)
        for job in list(served.studio.queue._jobs.values()):  # nobody waits for what chance asked for
            if job.person == owner["person"] and job.id != owner["jobs"]:
                served.studio.queue.cancel(job)

    ask()
