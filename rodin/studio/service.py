"""What every address of the studio stands on: the studio itself, and whose the things are that a request names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from starlette.exceptions import HTTPException

from rodin.studio.documents import JobStarted
from rodin.studio.events import Events
from rodin.studio.history import Record, owner_of
from rodin.studio.jobs import Job, QueueFull
from rodin.studio.lane import Lane
from rodin.studio.portraits import Found
from rodin.studio.told import job_told
from rodin.studio.work import Studio


@dataclass
class Service:
    """A studio that is open.

    Args:
        studio: does the work.
        events: tells how far jobs are.
        quick, slow: for what takes a moment, and for what takes longer.
        uploads: pictures that are being sent.
    """

    studio: Studio
    events: Events
    quick: Lane
    slow: Lane
    uploads: int = 0


Name = Annotated[str, Path(max_length=64)]


def service_of(request: Request) -> Service:
    """The one that the application was made of."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]


def person_of(request: Request) -> str:
    """Who asks, as the guard has found out."""
    return str(request.state.person)


Person = Annotated[str, Depends(person_of)]


def named(serving: Service, name: str, what: str) -> Record:
    """An avatar that a field of a document names."""
    record = serving.studio.history.get(name)
    if record is None:
        raise HTTPException(404, f"{what}: there is no avatar of this id")
    return record


def avatar_of(serving: Serving, id: Name) -> Record:
    """The avatar that the address names."""
    record = serving.studio.history.get(id)
    if record is None:
        raise HTTPException(404, "avatar: there is none of this id")
    return record


AnAvatar = Annotated[Record, Depends(avatar_of)]


def own_avatar_of(record: AnAvatar, person: Person) -> Record:
    """Likewise, if it is in the history of the one who asks."""
    if record.owner != owner_of(person):
        raise HTTPException(403, "avatar: it is in another's history")
    return record


OwnAvatar = Annotated[Record, Depends(own_avatar_of)]


def job_of(serving: Serving, id: Name) -> Job:
    """The job that the address names."""
    job = serving.studio.queue.get(id)
    if job is None:
        raise HTTPException(404, "job: there is none of this id, or it was over long ago")
    return job


AJob = Annotated[Job, Depends(job_of)]


def own_portrait(serving: Service, name: str, person: str) -> Found:
    """A portrait of the one who asks."""
    found = serving.studio.portraits.get(name, person)
    if found is None:
        raise HTTPException(404, "portrait: you have none of this id")
    return found


def portrait_of(serving: Serving, id: Name, person: Person) -> Found:
    """The portrait that the address names."""
    return own_portrait(serving, id, person)


OwnPortrait = Annotated[Found, Depends(portrait_of)]


async def sent_picture(serving: Serving, request: Request) -> AsyncIterator[bytes]:
    """The picture in a body, of which only so many are sent at once."""
    if not request.headers.get("content-type", "").startswith("image/"):
        raise HTTPException(415, "body: send the picture itself, as Content-Type: image/jpeg or another image")
    if serving.uploads >= serving.studio.limits.uploads:
        raise QueueFull("too many pictures are being sent at once; try again in a moment")
    serving.uploads += 1
    try:
        yield await request.body()
    finally:
        serving.uploads -= 1


SentPicture = Annotated[bytes, Depends(sent_picture)]


def started(serving: Service, job: Job) -> JobStarted:
    """A job that has begun to wait."""
    return JobStarted(job=job_told(serving.studio, job))


def binary(*media: str, description: str = "A file") -> dict[int | str, dict[str, Any]]:
    """What the API's document says of an address that answers with bytes."""
    content = {one.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}} for one in media}
    return {200: {"content": content, "description": description}}


PNG = binary("image/png", description="A picture")
KEPT = {"Cache-Control": "private, max-age=3600"}  # of what never changes
