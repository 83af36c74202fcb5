"""The studio over HTTP, put together: addresses, refusals, and the guard before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp

import rodin
from rodin.studio.events import Events
from rodin.studio.guard import Guard
from rodin.studio.lane import Lane
from rodin.studio.refusals import REFUSALS, say_errors_in_a_line
from rodin.studio.routes import avatars, drawing, jobs, page, portraits, words
from rodin.studio.service import Service
from rodin.studio.work import Studio

DESCRIPTION = (
    "Avatars drawn from words, a portrait or nothing; changed by words and colours; taken away in any format. "
    'Errors are {"error": "one line"}.'
)
ROUTERS = (page.router, words.router, portraits.router, drawing.router, jobs.router, avatars.router)


def make_app(studio: Studio, *, hosts: frozenset[str] | None, token: str | None) -> ASGIApp:
    """The studio as an ASGI application.

    Args:
        hosts: see `Guard`.
        token: see `Guard`.
    """
    most = studio.limits.small_queue
    service = Service(studio=studio, events=Events(studio), quick=Lane(most), slow=Lane(most))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.queue.start(studio.warm_up)
        yield
        service.quick.close()
        service.slow.close()
        await run_in_threadpool(studio.close)

    app = FastAPI(
        title="Rodin studio",
        version=rodin.__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
        lifespan=lifespan,
    )
    app.state.service = service
    say_errors_in_a_line(app, studio)
    for router in ROUTERS:
        app.include_router(router)
    return Guard(app, hosts=hosts, token=token, limits=studio.limits)
