"""Contract of rodin.studio.guard: pages elsewhere can neither read nor write here, nobody gets in without the token,
no request is too large, and every answer tells the browser so."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Person = Served = Any  # see conftest.py
PersonAt = Callable[[str], Person]
TOKEN = "a0b1c2d3e4f5a6b7c8d9"
EDGE = {"prompt": "a man"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_a_name_that_suddenly_leads_here_is_refused(person: Person, host: str) -> None:
    answer = person.ask("GET", "/model", Host=host)
    assert answer.status == 403
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:9000", "LOCALHOST:1234"])
def test_this_machines_names_are_let_in_through_any_port(person: Person, host: str) -> None:
    assert person.ask("GET", "/model", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_written_from_other_pages(person: Person, headers: dict[str, str], method: str) -> None:
    answer = person.ask(method, "/understanding", EDGE, **headers)
    assert answer.status == 403
    assert "other pages" in answer.json()["error"]


@pytest.mark.parametrize("headers", [{}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}])
def test_the_page_itself_writes(person: Person, headers: dict[str, str]) -> None:
    for origin in ({}, {"Origin": person.address}):
        assert person.ask("POST", "/understanding", EDGE, **headers, **origin).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/model", "/docs", "/openapi.json", "/avatars", "/nowhere", "/jobs/x", "/assets/x"]
)
def test_every_answer_has_its_headers(person: Person, path: str) -> None:
    headers = person.ask("GET", path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in headers
    assert "Server" not in headers or "uvicorn" in headers["Server"]


def test_a_person_is_known_by_a_cookie_that_scripts_do_not_see(served: Served, person_at: PersonAt) -> None:
    person = person_at(served.address)
    said = person.ask("GET", "/avatars").headers["Set-Cookie"]
    assert all(part in said for part in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert len(person.name) >= 22
    assert person.ask("GET", "/avatars").headers["Set-Cookie"] is None, "it stays"
    assert served.person().name != person.name
    forged = person_at(served.address).ask("GET", "/avatars", Cookie="rodin_person=../../etc")
    assert "rodin_person" in forged.headers["Set-Cookie"]


def test_a_link_from_elsewhere_takes_nobodys_history_away(served: Served, person_at: PersonAt) -> None:
    """Browsers send no strict cookie then, and would keep a new one in its place."""
    answer = person_at(served.address).ask("GET", "/", Sec_Fetch_Site="cross-site")
    assert answer.headers["Set-Cookie"] is None


@pytest.mark.parametrize("kind", ["application/json", "image/png", "text/plain"])
def test_a_body_that_says_it_is_large_is_not_read(person: Person, kind: str) -> None:
    limit = 20 * 2**20 if kind.startswith("image/") else 2**16
    host, port = person.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        path = "/portraits" if kind.startswith("image/") else "/understanding"
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {limit + 1}\r\n\r\n"
        line.sendall(head.encode())
        assert line.recv(64).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_is_read_to_the_limit_alone(person: Person) -> None:
    host, port = person.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = f"POST /understanding HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        for _ in range(5):
            line.sendall(piece)
        assert line.recv(64).startswith(b"HTTP/1.1 413")


# ---- the token


@pytest.fixture(scope="module")
def locked(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("locked"), token=TOKEN, local=False) as one:
        yield one


@pytest.mark.parametrize(
    "path", ["/", "/model", "/docs", "/assets/studio.js", "/?token=wrong", "/model?token=" + TOKEN]
)
def test_nobody_gets_in_without_the_token(locked: Served, person_at: PersonAt, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "rodin_token=wrong"}, {"Cookie": "rodin_token="}):
        answer = person_at(locked.address).ask("GET", path, **headers)
        assert answer.status == 401
        assert TOKEN not in answer.content.decode()
        assert answer.headers["Set-Cookie"] is None


def test_the_address_with_the_token_opens_the_page_and_is_not_kept(locked: Served, person_at: PersonAt) -> None:
    person = person_at(locked.address)
    entered = person.ask("GET", f"/?token={TOKEN}")
    assert (entered.status, entered.headers["Location"]) == (303, "/"), "the token is not in the page's address"
    cookies = entered.headers.get_all("Set-Cookie")
    assert cookies is not None
    assert all("HttpOnly" in one for one in cookies)
    assert person.ask("GET", "/").status == 200
    assert person.ask("GET", "/", Host="any.name.of.this.machine").status == 200
    assert person.ask("POST", "/understanding", EDGE, Origin="https://evil.example").status == 403


def test_programs_show_the_token_in_a_header(locked: Served, person_at: PersonAt) -> None:
    answer = person_at(locked.address).ask("POST", "/understanding", EDGE, Authorization=f"Bearer {TOKEN}")
    assert answer.status == 200


def test_the_folder_is_known_to_nobody(locked: Served, person_at: PersonAt, tmp_path: Path) -> None:
    for path in ("/../in-use", "/%2e%2e/in-use", "/assets/..%2f..%2fetc%2fpasswd", "/avatars/..%2f..%2fin-use.png"):
        answer = person_at(locked.address).ask("GET", path, Authorization=f"Bearer {TOKEN}")
        assert answer.status in (404, 422)
        assert str(tmp_path.parent) not in answer.content.decode()
