"""How far something is that was asked for."""

from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from rodin.studio.documents import JobTold
from rodin.studio.service import PNG, AJob, Person, Serving
from rodin.studio.told import job_told

router = APIRouter()
EVENT = {
    "type": "object",
    "properties": {
        "event": {"const": "job"},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobTold"},
        },
    },
    "required": ["event", "id", "data"],
}


@router.get("/jobs/{id}")
async def job(serving: Serving, job: AJob) -> JobTold:
    """How far something is that was asked for."""
    return job_told(serving.studio, job)


@router.delete("/jobs/{id}")
async def cancel(serving: Serving, job: AJob, person: Person) -> JobTold:
    """Cancel a job: at once where it waits, else after the step that it is in."""
    if job.person != person:
        raise HTTPException(403, "job: another asked for it")
    serving.studio.queue.cancel(job)
    return job_told(serving.studio, job)


@router.get(
    "/jobs/{id}/events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {"schema": EVENT}}, "description": "The job, often"},
        204: {"description": "It is over, and the one who asks knows how it ended"},
    },
)
async def follow(
    serving: Serving, job: AJob, last_event_id: Annotated[str | None, Header(max_length=64)] = None
) -> Response:
    """The job at each change, as server-sent events of the kind `job`; ends with it."""
    if serving.events.known(job, last_event_id):
        return Response(status_code=204)  # tells a browser not to come back
    serving.events.check_room()
    return StreamingResponse(serving.events.stream(job, last_event_id), media_type="text/event-stream")


@router.get("/jobs/{id}/preview.png", responses=PNG, response_class=Response)
async def preview(job: AJob) -> Response:
    """What is being drawn, as far as it has come."""
    if job.preview is None:
        raise HTTPException(404, "preview: there is nothing to see yet")
    return Response(job.preview, media_type="image/png")
