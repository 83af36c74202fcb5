"""Who is let in, and what browsers are told: the studio's walls, around everything that is behind them.

Refused are hosts that are not this one (a page elsewhere whose name suddenly leads here), writes from other pages,
requests without the token where there is one, and bodies that are too large or too slow. Each person is known by a
cookie. Every answer says that it is not to be framed, guessed at or passed on.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rodin.studio.limits import Limits

PERSON, TOKEN = "rodin_person", "rodin_token"
PERSON_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
PORT = re.compile(r":\d+$")
YEAR = 365 * 24 * 3600  # seconds
SLOWEST = 60.0  # seconds between two pieces of a body
SAFE = ("GET", "HEAD")
NOTHING_LOADS = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Stands before an app. `scope["state"]["person"]` is who asks.

    Args:
        hosts: names of this one; None takes any, where a token is wanted.
        token: that has to be shown; None wants none.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, token: str | None, limits: Limits) -> None:
        self.app, self.hosts, self.token, self.limits = app, hosts, token, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, cookies = Headers(scope=scope), _cookies(scope)
        person = cookies.get(PERSON, "")
        known = PERSON_PATTERN.fullmatch(person) is not None
        if not known:
            person = secrets.token_urlsafe(16)
        # A page elsewhere that links here gets no cookie of ours sent; a new one would take its person's history away.
        introduces = not known and headers.get("sec-fetch-site") != "cross-site"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                written = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    written.setdefault(name, value)
                written.setdefault("Content-Security-Policy", NOTHING_LOADS)
                written.setdefault("Cache-Control", "no-store")
                if introduces and message["status"] < 400:
                    kept = f"Max-Age={YEAR}; Path=/; HttpOnly; SameSite=Strict"
                    written.append("Set-Cookie", f"{PERSON}={person}; {kept}")
            await send(message)

        refusal = self._refusal(scope, headers, cookies)
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        scope.setdefault("state", {})["person"] = person
        await self.app(scope, self._bounded(receive, headers), answer)

    def _refusal(self, scope: Scope, headers: Headers, cookies: dict[str, str]) -> Response | None:
        """What is answered instead; None where somebody is let in."""
        host = headers.get("host", "").lower()
        if self.hosts is not None and PORT.sub("", host) not in self.hosts:
            return _error(403, "host: this studio answers to its own address alone")
        if scope["method"] not in SAFE:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site")
            if origin is not None and urlsplit(origin).netloc.lower() != host:
                return _error(403, "origin: nothing is changed from other pages")
            if site is not None and site not in ("same-origin", "none"):
                return _error(403, "sec-fetch-site: nothing is changed from other pages")
        if self.token is None:
            return None
        shown = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))).get("token")
        if scope["path"] == "/" and scope["method"] == "GET" and shown is not None and self._is_token(shown):
            entered = RedirectResponse("/", status_code=303)
            kept = f"Max-Age={YEAR}; Path=/; HttpOnly; SameSite=Lax"
            entered.headers.append("Set-Cookie", f"{TOKEN}={self.token}; {kept}")
            return entered
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_token(cookies.get(TOKEN, "")) or self._is_token(bearer):
            return None
        return _error(401, "token: open the address that rodin studio printed, or send it as Authorization: Bearer")

    def _is_token(self, shown: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(shown.encode(), self.token.encode())

    def _bounded(self, receive: Receive, headers: Headers) -> Receive:
        """What gives a body piece by piece, as long as it is small and quick enough."""
        picture = headers.get("content-type", "").startswith("image/")
        most = self.limits.upload_bytes if picture else self.limits.document_bytes
        said = headers.get("content-length", "0")
        size, whole = 0, False

        async def bounded() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()  # waits for the end of the connection
            if not said.isdigit() or int(said) > most:
                raise HTTPException(413, f"body: {said} bytes; send at most {most}")
            try:
                message = await asyncio.wait_for(receive(), SLOWEST)
            except TimeoutError as error:
                raise HTTPException(408, "body: it came too slowly; send it again") from error
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > most:
                raise HTTPException(413, f"body: more than {most} bytes")
            return message

        return bounded


def _error(status: int, line: str) -> Response:
    return JSONResponse({"error": line}, status_code=status)


def _cookies(scope: Scope) -> dict[str, str]:
    """What the browser sent; nothing where it makes no sense."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found |= {key: morsel.value for key, morsel in SimpleCookie(value.decode("latin-1")).items()}
            except CookieError:
                continue
    return found
