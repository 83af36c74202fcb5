"""How the studio says no: every error is {"error": "one line"}."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from rodin.errors import UserError
from rodin.studio.documents import Error
from rodin.studio.jobs import DEFECT, QueueFull
from rodin.studio.work import Studio

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "A value cannot be used"},
    401: {"model": Error, "description": "The token is missing"},
    403: {"model": Error, "description": "From another page, or not yours"},
    404: {"model": Error, "description": "There is none"},
    409: {"model": Error, "description": "It does not fit what there is"},
    413: {"model": Error, "description": "Too large"},
    415: {"model": Error, "description": "Of another kind"},
    422: {"model": Error, "description": "Not as described"},
    429: {"model": Error, "description": "Too much waits already"},
}


def say_errors_in_a_line(app: FastAPI, studio: Studio) -> None:
    """Answer every error as {"error": "one line"}."""

    @app.exception_handler(UserError)
    async def cannot_be_used(_: Request, error: UserError) -> Response:
        return JSONResponse({"error": studio.say(error)}, 400)

    @app.exception_handler(QueueFull)
    async def full(_: Request, error: QueueFull) -> Response:
        return JSONResponse({"error": str(error)}, 429, headers={"Retry-After": "30"})

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_as_described(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"error": _in_a_line(error)}, 422)

    @app.exception_handler(Exception)
    async def defect(_: Request, __: Exception) -> Response:
        return JSONResponse({"error": DEFECT}, 500)


def _in_a_line(error: RequestValidationError) -> str:
    """The first thing that is not as described: where, and what."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "body: it is no JSON"
    source, *where = first["loc"]
    if where and isinstance(error.body, dict) and where[0] == error.body.get("kind"):
        where = where[1:]  # which kind it is
    return f"{'.'.join(map(str, where)) or source}: {first['msg']}"
