"""The studio over HTTP: every address, what it takes and what it answers; `rodin.studio.work` does the work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import rodin
from rodin import framing
from rodin.avatars.drawing import Sampling
from rodin.avatars.portrait import Crop
from rodin.errors import UserError
from rodin.images import parse_colour
from rodin.materials import MATERIALS
from rodin.prompts.attributes import prompt_of
from rodin.studio.documents import (
    LIMITS,
    Again,
    AttributeOffered,
    AvatarRequest,
    AvatarTold,
    Choices,
    Colours,
    CropChoice,
    Edit,
    Error,
    FileRequest,
    FromPortrait,
    FromPrompt,
    HistoryTold,
    JobStarted,
    JobTold,
    LimitsTold,
    Mix,
    ModelTold,
    PortraitTold,
    PromptWritten,
    Surprise,
    Understood,
    Vary,
    Words,
    plain,
)
from rodin.studio.events import Events
from rodin.studio.files import FORMATS, MEDIA_TYPES, OPTIONS, Format, suffix_of
from rodin.studio.guard import Guard
from rodin.studio.history import PICTURE_SIZE, Record, owner_of
from rodin.studio.jobs import DEFECT, Job, QueueFull
from rodin.studio.lane import Lane
from rodin.studio.page import (
    ASSETS,
    DOWNLOAD_POLICY,
    PAGE_POLICY,
    api_page,
    asset,
    page_without_bundle,
    styled_policy,
)
from rodin.studio.portraits import Found
from rodin.studio.told import avatar_told, job_told, portrait_told, sampling_told
from rodin.studio.understanding import offered, read_prompt
from rodin.studio.work import DRAFT, Studio, chosen_sampling, new_seed, png_bytes

DESCRIPTION = (
    "Avatars drawn from words, a portrait or nothing; changed by words and colours; taken away in any format. "
    'Errors are {"error": "one line"}.'
)
QUICK_SIDE = 512  # pixels of a picture that takes no time
HISTORY_PAGE = 60  # avatars
KEPT = {"Cache-Control": "private, max-age=3600"}  # of what never changes
BACKGROUND = r"^(transparent|[0-9a-fA-F]{6})$"
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
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}, "description": "A picture"}
}
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

Name = Annotated[str, Path(max_length=64)]


def make_app(studio: Studio, *, hosts: frozenset[str] | None, token: str | None) -> ASGIApp:
    """The studio as an ASGI application.

    Args:
        hosts: see `Guard`.
        token: see `Guard`.
    """
    return Guard(_routes(studio), hosts=hosts, token=token, limits=studio.limits)


def _routes(studio: Studio) -> FastAPI:
    events, quick, slow = Events(studio), Lane(studio.limits.small_queue), Lane(studio.limits.small_queue)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.queue.start(studio.warm_up)
        yield
        quick.close()
        slow.close()
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
    _say_errors_in_a_line(app, studio)

    def person_of(request: Request) -> str:
        return str(request.state.person)

    Person = Annotated[str, Depends(person_of)]

    def avatar_of(id: Name) -> Record:
        record = studio.history.get(id)
        if record is None:
            raise HTTPException(404, "avatar: there is none of this id")
        return record

    def named(name: str, what: str) -> Record:
        record = studio.history.get(name)
        if record is None:
            raise HTTPException(404, f"{what}: there is no avatar of this id")
        return record

    def own_avatar_of(id: Name, person: Person) -> Record:
        record = avatar_of(id)
        if record.owner != owner_of(person):
            raise HTTPException(403, "avatar: it is in another's history")
        return record

    def job_of(id: Name) -> Job:
        job = studio.queue.get(id)
        if job is None:
            raise HTTPException(404, "job: there is none of this id, or it was over long ago")
        return job

    def portrait_of(id: Name, person: Person) -> Found:
        found = studio.portraits.get(id, person)
        if found is None:
            raise HTTPException(404, "portrait: you have none of this id")
        return found

    AnAvatar = Annotated[Record, Depends(avatar_of)]
    OwnAvatar = Annotated[Record, Depends(own_avatar_of)]
    AJob = Annotated[Job, Depends(job_of)]
    OwnPortrait = Annotated[Found, Depends(portrait_of)]

    uploads = 0

    async def sent_picture(request: Request) -> AsyncIterator[bytes]:
        nonlocal uploads
        if not request.headers.get("content-type", "").startswith("image/"):
            raise HTTPException(415, "body: send the picture itself, as Content-Type: image/jpeg or another image")
        if uploads >= studio.limits.uploads:
            raise QueueFull("too many pictures are being sent at once; try again in a moment")
        uploads += 1
        try:
            yield await request.body()
        finally:
            uploads -= 1

    SentPicture = Annotated[bytes, Depends(sent_picture)]

    def started(job: Job) -> JobStarted:
        return JobStarted(job=job_told(studio, job))

    # ---- the page

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        text = asset("studio.html")
        policy = styled_policy() if text is None else PAGE_POLICY
        return HTMLResponse(text or page_without_bundle(), headers={"Content-Security-Policy": policy})

    @app.get("/assets/{name}", include_in_schema=False)
    async def page_asset(name: str) -> Response:
        text = asset(name) if name in ASSETS else None
        if text is None:
            raise HTTPException(404, "assets: there is none of this name")
        return Response(text, headers={"Content-Type": ASSETS[name], "Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(api_page(app.openapi()), headers={"Content-Security-Policy": styled_policy()})

    # ---- the model, and words

    @app.get("/model")
    async def model() -> ModelTold:
        """What draws here: what can be asked for, how avatars are sampled unless one says otherwise, the limits."""
        pipe, limits = studio.pipe, studio.limits
        return ModelTold(
            name="rodin",
            hash=pipe.model_hash,
            version=rodin.__version__,
            understands=pipe.understands,
            materials=list(MATERIALS) if pipe.palette is not None else [],
            attributes=[AttributeOffered(**one) for one in offered(pipe)],
            formats=[kind for kind in FORMATS if _can_be_made(kind)],
            options={name: list(kinds) for name, kinds in OPTIONS.items()},
            defaults=sampling_told(Sampling()),
            draft=sampling_told(DRAFT),
            limits=LimitsTold(**{name: getattr(limits, name) for name in LimitsTold.model_fields}),
        )

    @app.post("/understanding")
    async def understanding(words: Words) -> Understood:
        """What a prompt means, also while it is typed."""
        return Understood(**await run_in_threadpool(read_prompt, studio.pipe, words.prompt, words.seed))

    @app.post("/descriptions")
    async def descriptions(choices: Choices) -> PromptWritten:
        """The prompt that asks for what pickers have; understood, it is that again."""
        return PromptWritten(prompt=prompt_of(plain(choices.attributes)))

    # ---- portraits

    @app.post("/portraits", status_code=201, openapi_extra=PICTURE_BODY)
    async def add_portrait(person: Person, content: SentPicture) -> PortraitTold:
        """A picture of a head: what of it the model would see, and what of that is the person."""
        return portrait_told(await slow.run(studio.portraits.add, person, content))

    @app.get("/portraits/{id}.png", responses=PNG, response_class=Response)
    async def portrait_picture(found: OwnPortrait) -> Response:
        """The upright picture."""
        return FileResponse(studio.portraits.picture(found.id), media_type="image/png")

    @app.get("/portraits/{id}/matte.png", responses=PNG, response_class=Response)
    async def portrait_matte(found: OwnPortrait) -> Response:
        """What of the picture is the person, as grey."""
        return FileResponse(studio.portraits.matte(found.id), media_type="image/png")

    @app.get("/portraits/{id}/framed.png", responses=PNG, response_class=Response)
    async def portrait_framed(found: OwnPortrait) -> Response:
        """What the model will see."""
        portrait = await slow.run(studio.portraits.framed, found)
        return Response(await slow.run(png_bytes, portrait.pixels), media_type="image/png")

    @app.put("/portraits/{id}/crop")
    async def crop_portrait(found: OwnPortrait, crop: CropChoice) -> PortraitTold:
        """Let the model see another part of the picture."""
        return portrait_told(await slow.run(studio.portraits.crop, found, Crop(crop.left, crop.top, crop.size)))

    @app.put("/portraits/{id}/matte", openapi_extra=PICTURE_BODY)
    async def take_matte(found: OwnPortrait, content: SentPicture) -> PortraitTold:
        """A matte drawn by hand: a PNG, white where the person is, of the picture's size."""
        return portrait_told(await slow.run(studio.portraits.take_matte, found, content))

    # ---- drawing

    @app.post("/avatars", status_code=202)
    async def draw(person: Person, asked: Annotated[AvatarRequest, Body()]) -> JobStarted:
        """Avatars for words, a portrait or nothing; varied, drawn again, or between two others. Follow the job."""
        return started(await run_in_threadpool(_begin, person, asked))

    def _begin(person: str, asked: Any) -> Job:
        if isinstance(asked, Mix):
            return studio.mix(person, named(asked.first, "first"), named(asked.second, "second"), asked.part)
        chosen = plain(asked.sampling)
        if isinstance(asked, Again):
            return studio.again(person, named(asked.avatar, "avatar"), sampling=chosen_sampling(Sampling(), chosen))
        seed = new_seed() if asked.seed is None else asked.seed
        if isinstance(asked, FromPrompt):
            sampling = chosen_sampling(Sampling(), chosen)
            return studio.draw_prompt(
                person, asked.prompt, count=asked.count, seed=seed, sampling=sampling, literal=asked.literal
            )
        if isinstance(asked, FromPortrait):
            found = studio.portraits.get(asked.portrait, person)
            if found is None:
                raise HTTPException(404, "portrait: you have none of this id")
            return studio.draw_portrait(
                person,
                studio.portraits.framed(found),
                count=asked.count,
                seed=seed,
                sampling=chosen_sampling(Sampling(), chosen),
                refine=asked.refine,
            )
        if isinstance(asked, Vary):
            record = named(asked.avatar, "avatar")
            sampling = chosen_sampling(record.sampling, chosen)
            return studio.vary(person, record, count=asked.count, seed=seed, sampling=sampling)
        assert isinstance(asked, Surprise)
        sampling = chosen_sampling(DRAFT if asked.count > 1 else Sampling(), chosen)
        return studio.surprise(person, count=asked.count, seed=seed, sampling=sampling)

    @app.post("/avatars/{id}/edits", status_code=202)
    async def edit(record: AnAvatar, person: Person, asked: Edit) -> JobStarted:
        """Change what words name, materials' colours, or both, and keep the rest; colours alone are there at once."""
        prompt = None if asked.prompt is None or not asked.prompt.strip() else asked.prompt
        if prompt is None and not asked.colours:
            raise HTTPException(400, "prompt, colours: nothing to change; give one of them")
        job = await quick.run(
            studio.edit, person, record, prompt=prompt, colours=asked.colours, strength=asked.strength
        )
        return started(job)

    @app.post("/avatars/{id}/colours")
    async def recolour(record: AnAvatar, person: Person, asked: Colours) -> AvatarTold:
        """Other colours of some materials, as a new avatar; no network runs."""
        return avatar_told(await quick.run(studio.recolour, person, record, asked.colours))

    # ---- jobs

    @app.get("/jobs/{id}")
    async def job(job: AJob) -> JobTold:
        """How far something is that was asked for."""
        return job_told(studio, job)

    @app.delete("/jobs/{id}")
    async def cancel(job: AJob, person: Person) -> JobTold:
        """Cancel a job: at once where it waits, else after the step that it is in."""
        if job.person != person:
            raise HTTPException(403, "job: another asked for it")
        studio.queue.cancel(job)
        return job_told(studio, job)

    @app.get(
        "/jobs/{id}/events",
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": EVENT}}, "description": "The job, often"},
            204: {"description": "It is over, and the one who asks knows how it ended"},
        },
    )
    async def follow(job: AJob, last_event_id: Annotated[str | None, Header(max_length=64)] = None) -> Response:
        """The job at each change, as server-sent events of the kind `job`; ends with it."""
        if events.known(job, last_event_id):
            return Response(status_code=204)  # tells a browser not to come back
        events.check_room()
        return StreamingResponse(events.stream(job, last_event_id), media_type="text/event-stream")

    @app.get("/jobs/{id}/preview.png", responses=PNG, response_class=Response)
    async def preview(job: AJob) -> Response:
        """What is being drawn, as far as it has come."""
        if job.preview is None:
            raise HTTPException(404, "preview: there is nothing to see yet")
        return Response(job.preview, media_type="image/png")

    # ---- avatars

    @app.get("/avatars")
    async def history(person: Person, after: Annotated[str | None, Query(max_length=64)] = None) -> HistoryTold:
        """Your avatars, the newest first. `next`, where there is more, is what to give as `after`."""
        records = studio.history.of(person)
        start = next((k + 1 for k, record in enumerate(records) if record.id == after), 0)
        shown = records[start : start + HISTORY_PAGE]
        more = start + HISTORY_PAGE < len(records)
        return HistoryTold(avatars=[avatar_told(one) for one in shown], next=shown[-1].id if more else None)

    @app.get("/avatars/{id}.png", responses=PNG, response_class=Response)
    async def picture(
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
            return FileResponse(studio.history.picture(record.id), media_type="image/png", headers=headers)
        colour = None if background == "transparent" else parse_colour(f"#{background}")
        lane = quick if size <= QUICK_SIDE else slow
        content = await lane.run(studio.picture, record, size, azimuth, elevation, colour)
        return Response(content, media_type="image/png", headers=headers)

    @app.get("/avatars/{id}.rodin", response_class=Response, responses=_binary("application/octet-stream"))
    async def viewer_file(record: AnAvatar) -> Response:
        """The avatar for the viewer of a page."""
        content = await quick.run(studio.web_file, record)
        return Response(content, media_type="application/octet-stream", headers=KEPT)

    @app.get("/avatars/{id}.safetensors", response_class=Response, responses=_binary("application/octet-stream"))
    async def avatar_file(record: AnAvatar) -> Response:
        """The avatar file, which `rodin render`, `edit` and `export` take."""
        headers = KEPT | _disposition(record, "rodin.safetensors", True)
        return FileResponse(studio.history.file(record.id), media_type="application/octet-stream", headers=headers)

    @app.get("/avatars/{id}.{format}", response_class=Response, responses=_binary(*MEDIA_TYPES.values()))
    async def file(
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
        job = studio.make_file(person, record, format, asked.options(), _address(record, asked))
        await events.over(job)
        path = studio.file(record, format, asked.options())
        if job.error is not None:
            raise HTTPException(500 if job.error == DEFECT else 400, job.error)
        if not path.is_file():
            raise HTTPException(409, "file: making it was cancelled; ask again")
        headers = KEPT | _disposition(record, suffix_of(format), download)
        if format == "html":
            headers["Content-Security-Policy"] = DOWNLOAD_POLICY
        return FileResponse(path, media_type=MEDIA_TYPES[format], headers=headers)

    @app.post("/avatars/{id}/files", status_code=202)
    async def make_file(record: AnAvatar, person: Person, asked: FileRequest) -> JobStarted:
        """Make a file, and say with the job how far it is; `file` is its address once it is there."""
        return started(studio.make_file(person, record, asked.format, asked.options(), _address(record, asked)))

    @app.get("/avatars/{id}")
    async def avatar(record: AnAvatar) -> AvatarTold:
        """How an avatar came about, and where its files are."""
        return avatar_told(record)

    @app.delete("/avatars/{id}", status_code=204, response_class=Response)
    async def delete(record: OwnAvatar) -> Response:
        """Take an avatar out of your history, and delete its file."""
        await run_in_threadpool(studio.remove, record)
        return Response(status_code=204)

    return app


def _say_errors_in_a_line(app: FastAPI, studio: Studio) -> None:
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


def _binary(*media: str) -> dict[int | str, dict[str, Any]]:
    """What is answered with a file."""
    content = {one.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}} for one in media}
    return {200: {"content": content, "description": "A file"}}


def _can_be_made(kind: Format) -> bool:
    """Whether the package that a format wants is installed."""
    wants = {"mp4": "av", "usdz": "xatlas"}.get(kind)
    return wants is None or find_spec(wants) is not None


def _address(record: Record, asked: FileRequest) -> str:
    """From where a file can be fetched."""
    options = "".join(f"{name}={value}&" for name, value in plain(asked).items() if name != "format")
    return f"/avatars/{record.id}.{asked.format}?{options}download=1"


def _disposition(record: Record, suffix: str, download: bool) -> dict[str, str]:
    """How a browser calls a file that it is to keep."""
    return {"Content-Disposition": f'attachment; filename="rodin-{record.id[:8]}.{suffix}"'} if download else {}
