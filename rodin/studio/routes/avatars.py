"""Avatars that are there: the history, pictures, files."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from rodin import framing
from rodin.images import parse_colour
from rodin.studio.documents import LIMITS, AvatarTold, FileRequest, HistoryTold, JobStarted, plain
from rodin.studio.files import MEDIA_TYPES, Format, suffix_of
from rodin.studio.history import PICTURE_SIZE, Record
from rodin.studio.jobs import DEFECT
from rodin.studio.page import DOWNLOAD_POLICY
from rodin.studio.service import KEPT, PNG, AnAvatar, OwnAvatar, Person, Serving, binary, started
from rodin.studio.told import avatar_told

router = APIRouter()
QUICK_SIDE = 512  # pixels of a picture that takes no time
HISTORY_PAGE = 60  # avatars
BACKGROUND = r"^(transparent|[0-9a-fA-F]{6})$"


@router.get("/avatars")
async def history(
    serving: Serving, person: Person, after: Annotated[str | None, Query(max_length=64)] = None
) -> HistoryTold:
    """Your avatars, the newest first. `next`, where there is more, is what to give as `after`."""
    records = serving.studio.history.of(person)
    start = next((k + 1 for k, record in enumerate(records) if record.id == after), 0)
    shown = records[start : start + HISTORY_PAGE]
    more = start + HISTORY_PAGE < len(records)
    return HistoryTold(avatars=[avatar_told(one) for one in shown], next=shown[-1].id if more else None)


@router.get("/avatars/{id}.png", responses=PNG, response_class=Response)
async def picture(
    serving: Serving,
    record: AnAvatar,
    size: Annotated[int, Query(ge=16, le=LIMITS.picture_side)] = QUICK_SIDE,
    azimuth: Annotated[float, Query(ge=-360, le=360, allow_inf_nan=False)] = framing.AZIMUTH_DEG,
    elevation: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)] = framing.ELEVATION_DEG,
    background: Annotated[str, Query(pattern=BACKGROUND)] = "transparent",
    download: bool = False,
) -> Response:
    """A picture of an avatar from any side; angles in degrees, 0 is the front."""
    headers = KEPT | _disposition(record, "png", download)
    usual = (framing.AZIMUTH_DEG, framing.ELEVATION_DEG, "transparent")
    if (azimuth, elevation, background) == usual and size == PICTURE_SIZE:
        return FileResponse(serving.studio.history.picture(record.id), media_type="image/png", headers=headers)
    colour = None if background == "transparent" else parse_colour(f"#{background}")
    lane = serving.quick if size <= QUICK_SIDE else serving.slow
    content = await lane.run(serving.studio.picture, record, size, azimuth, elevation, colour)
    return Response(content, media_type="image/png", headers=headers)


@router.get("/avatars/{id}.rodin", response_class=Response, responses=binary("application/octet-stream"))
async def viewer_file(serving: Serving, record: AnAvatar) -> Response:
    """The avatar for the viewer of a page."""
    content = await serving.quick.run(serving.studio.web_file, record)
    return Response(content, media_type="application/octet-stream", headers=KEPT)


@router.get("/avatars/{id}.safetensors", response_class=Response, responses=binary("application/octet-stream"))
async def avatar_file(serving: Serving, record: AnAvatar) -> Response:
    """The avatar file, which `rodin render`, `edit` and `export` take."""
    headers = KEPT | _disposition(record, "rodin.safetensors", True)
    return FileResponse(serving.studio.history.file(record.id), media_type="application/octet-stream", headers=headers)


@router.get("/avatars/{id}.{format}", response_class=Response, responses=binary(*MEDIA_TYPES.values()))
async def file(
    serving: Serving,
    record: AnAvatar,
    person: Person,
    format: Format,
    faces: Annotated[int | None, Query(ge=100, le=LIMITS.faces)] = None,
    height: Annotated[float | None, Query(ge=0.001, le=1000, allow_inf_nan=False)] = None,
    texture: Annotated[int | None, Query(ge=64, le=LIMITS.texture)] = None,
    lit: bool | None = None,
    size: Annotated[int | None, Query(ge=16, le=LIMITS.video_side)] = None,
    download: bool = False,
) -> Response:
    """The avatar in a format of other programs, once it is made; an OBJ comes as a zip with its materials."""
    asked = FileRequest(format=format, faces=faces, height=height, texture=texture, lit=lit, size=size)
    job = serving.studio.make_file(person, record, format, asked.options(), _address(record, asked))
    await serving.events.over(job)
    path = serving.studio.file(record, format, asked.options())
    if job.error is not None:
        raise HTTPException(500 if job.error == DEFECT else 400, job.error)
    if not path.is_file():
        raise HTTPException(409, "file: making it was cancelled; ask again")
    headers = KEPT | _disposition(record, suffix_of(format), download)
    if format == "html":
        headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    return FileResponse(path, media_type=MEDIA_TYPES[format], headers=headers)


@router.post("/avatars/{id}/files", status_code=202)
async def make_file(serving: Serving, record: AnAvatar, person: Person, asked: FileRequest) -> JobStarted:
    """Make a file, and say with the job how far it is; `file` is its address once it is there."""
    return started(
        serving, serving.studio.make_file(person, record, asked.format, asked.options(), _address(record, asked))
    )


@router.get("/avatars/{id}")
async def avatar(record: AnAvatar) -> AvatarTold:
    """How an avatar came about, and where its files are."""
    return avatar_told(record)


@router.delete("/avatars/{id}", status_code=204, response_class=Response)
async def delete(serving: Serving, record: OwnAvatar) -> Response:
    """Take an avatar out of your history, and delete its file."""
    await run_in_threadpool(serving.studio.remove, record)
    return Response(status_code=204)


def _address(record: Record, asked: FileRequest) -> str:
    """From where a file can be fetched."""
    options = "".join(f"{name}={value}&" for name, value in plain(asked).items() if name != "format")
    return f"/avatars/{record.id}.{asked.format}?{options}download=1"


def _disposition(record: Record, suffix: str, download: bool) -> dict[str, str]:
    """How a browser calls a file that it is to keep."""
    return {"Content-Disposition": f'attachment; filename="rodin-{record.id[:8]}.{suffix}"'} if download else {}
