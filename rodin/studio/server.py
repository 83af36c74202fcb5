"""The studio as a process: a model, a socket, a browser."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from rodin.avatars.pipeline import RodinPipeline
from rodin.errors import UserError
from rodin.signals import Terminated
from rodin.studio.app import make_app
from rodin.studio.limits import Limits
from rodin.studio.work import Studio

SHORTEST_TOKEN = 16  # characters
FAREWELL = 3  # seconds that those who follow jobs have when the studio closes


def serve(
    folder: Path,
    *,
    model: Path | None,
    host: str,
    port: int,
    token: str | None,
    browser: bool,
    say: Callable[[str], None],
    limits: Limits | None = None,
) -> None:
    """Serve the studio until it is interrupted.

    Args:
        folder: of the history.
        model: its folder; None is the model that comes with the package.
        host: to listen at; beyond this machine a token is wanted, and made where none is given.
        port: 0 takes a free one.
        token: that people have to show.
        browser: open the page.
        say: takes lines for who started it.

    Raises:
        UserError: the address cannot be used, the token is short, or the model or the folder cannot be used.
    """
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isalnum()):
        raise UserError(f"--token: give {SHORTEST_TOKEN} letters and digits or more, or leave it out where one is made")
    local = is_loopback(host)
    if token is None and not local:
        token = secrets.token_hex(16)
    listening = bound_socket(host, port)
    port = listening.getsockname()[1]
    os.umask(0o077)  # what people draw is for them alone
    studio = Studio(RodinPipeline.from_pretrained(model), folder, limits or Limits())
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # it binds nothing  # nosec B104
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    say(f"Rodin studio: {address}")
    if not local:
        say("It answers other machines too, under this one's name: who has the token may draw and look.")
    say(f"The history is in {folder}; stop with Ctrl+C")
    app = make_app(studio, hosts=own_hosts(host) if local else None, token=token)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # which would note tokens
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=FAREWELL,
        limit_concurrency=256,
        h11_max_incomplete_event_size=2**16,
    )
    if browser:
        webbrowser.open(address)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except Terminated:
        raise
    except KeyboardInterrupt:
        say("")


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach a host's address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_hosts(host: str) -> frozenset[str]:
    """The names of a studio that this machine alone can reach; its port may be another's that is led here."""
    return frozenset({f"[{host}]" if ":" in host else host, "localhost", "127.0.0.1", "[::1]"})


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: the host is not this machine's, or the port is taken.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port: {port}; choose 0 to {2**16 - 1}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
        return listening
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror}; choose another, such as --port 0") from error
