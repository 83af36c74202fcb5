"""A studio on loopback, its model a tiny one that knows materials and understands prompts, and the people who use it.

The server is the real one, in a thread of the tests' process, so that they can hold its queue still.
"""

from __future__ import annotations

import dataclasses
import http.client
import http.cookiejar
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rodin.avatars.avatar import Avatar
    from rodin.avatars.pipeline import RodinPipeline
    from rodin.studio.jobs import Job
    from rodin.studio.limits import Limits
    from rodin.studio.work import Studio

FACTS: dict[str, Any] = {"kind": "surprise", "understood": "", "drawn": {}, "unread": (), "parent": None, "edit": None}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server says."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class Person:
    """Somebody with a browser's cookies, who knows nothing of the server but its API."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar), _NoRedirects()
        )

    @property
    def name(self) -> str:
        """By which the server knows who this is."""
        return next(str(cookie.value) for cookie in self.jar if cookie.name == "rodin_person")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """An answer, whatever its status. A body that is not bytes goes as JSON; headers have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            named.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.address + path, content, named, method=method)
        try:
            with self._opener.open(request) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def get(self, path: str, **headers: str) -> Any:
        answer = self.ask("GET", path, **headers)
        assert answer.status == 200, answer.content
        return answer.json()

    def start(self, path: str, body: Any) -> Any:
        """A job that was taken."""
        answer = self.ask("POST", path, body)
        assert answer.status == 202, answer.content
        return answer.json()["job"]

    def follow(self, job: Any) -> list[Any]:
        """All that is told of a job, to its end."""
        text = self.ask("GET", f"/jobs/{job['id']}/events").content.decode()
        return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]

    def draw(self, path: str, body: Any) -> Any:
        """A job's end."""
        end = self.follow(self.start(path, body))[-1]
        assert end["state"] == "done", end["error"]
        return end


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclasses.dataclass(frozen=True)
class Served:
    """A studio that is up."""

    address: str
    studio: Studio

    def person(self) -> Person:
        """Somebody new, who has looked in."""
        person = Person(self.address)
        assert person.ask("GET", "/model").status == 200
        return person

    def give(self, person: Person, avatar: Avatar, **facts: Any) -> str:
        """The id of an avatar that is now a person's."""
        return self.studio.history.add(person.name, avatar, {**FACTS, **facts}).id

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While this runs nobody's job begins."""
        from rodin.studio.jobs import Job

        begun, end = threading.Event(), threading.Event()

        def wait(_: Job) -> None:
            begun.set()
            end.wait()

        self.studio.queue.put(Job("file", "somebody else", wait))
        begun.wait()
        try:
            yield
        finally:
            end.set()


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(scope="session")
def pipe(trained_on_materials: Path) -> RodinPipeline:
    """The tiny model of materials, as if it had learned its words from captions of rodin synth."""
    import torch

    from rodin.avatars.pipeline import RodinPipeline
    from rodin.models.folder import load_model
    from rodin.models.prior import Prior, PriorConfig
    from rodin.synth.recipe import make_recipe
    from rodin.synth.words.caption import make_caption
    from rodin.train.phrases import learn_reader

    captions = [[make_caption(make_recipe(5, index))] for index in range(150)]
    generator = torch.Generator().manual_seed(0)
    latents = torch.nn.functional.normalize(torch.randn(150, 512, generator=generator), dim=1)
    reader = learn_reader(captions, latents)
    prior = Prior(PriorConfig(width=32, layers=1, heads=2, text_width=reader.text_width)).eval().requires_grad_(False)
    torch.nn.init.normal_(prior.head.weight, generator=generator)  # it is zero, and so would latents be
    model = load_model(trained_on_materials / "model")
    return RodinPipeline(dataclasses.replace(model, words=reader, prior=prior))


@pytest.fixture(scope="session")
def serve(pipe: RodinPipeline) -> Serve:
    """with serve(folder, limits=, token=, local=) as served: a studio on a free port of loopback."""
    import uvicorn

    from rodin.studio.app import make_app
    from rodin.studio.limits import Limits
    from rodin.studio.server import bound_socket, own_hosts
    from rodin.studio.work import Studio

    @contextmanager
    def started(
        folder: Path, limits: Limits | None = None, token: str | None = None, local: bool = True
    ) -> Iterator[Served]:
        studio = Studio(pipe, folder, limits or Limits())
        app = make_app(studio, hosts=own_hosts("127.0.0.1") if local else None, token=token)
        listening = bound_socket("127.0.0.1", 0)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", studio)
        finally:
            server.should_exit = True
            thread.join()
            listening.close()

    return started


@pytest.fixture(scope="session", autouse=True)
def _coarse_meshes() -> Iterator[None]:
    """Meshes of a sixty-fourth of the points: a fine one takes seconds."""
    from rodin.studio import files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "RESOLUTION", 32)
        yield


@pytest.fixture(scope="session")
def served(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio that many tests use: each with people of its own."""
    with serve(tmp_path_factory.mktemp("studio")) as one:
        yield one


@pytest.fixture
def person_at() -> Callable[[str], Person]:
    """person_at(address): somebody who has not looked in yet."""
    return Person


@pytest.fixture
def person(served: Served) -> Person:
    """Somebody who uses that studio."""
    return served.person()
