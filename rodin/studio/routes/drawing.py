"""What draws avatars and changes them; all but colours by a job."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from rodin.avatars.drawing import Sampling
from rodin.studio.documents import (
    Again,
    AvatarRequest,
    AvatarTold,
    Colours,
    Edit,
    FromPortrait,
    FromPrompt,
    JobStarted,
    Mix,
    Surprise,
    Vary,
    plain,
)
from rodin.studio.jobs import Job
from rodin.studio.service import AnAvatar, Person, Service, Serving, named, own_portrait, started
from rodin.studio.told import avatar_told
from rodin.studio.work import DRAFT, chosen_sampling, new_seed

router = APIRouter()


@router.post("/avatars", status_code=202)
async def draw(serving: Serving, person: Person, asked: Annotated[AvatarRequest, Body()]) -> JobStarted:
    """Avatars for words, a portrait or nothing; varied, drawn again, or between two others. Follow the job."""
    return started(serving, await run_in_threadpool(_begin, serving, person, asked))


def _begin(serving: Service, person: str, asked: Any) -> Job:
    if isinstance(asked, Mix):
        return serving.studio.mix(
            person, named(serving, asked.first, "first"), named(serving, asked.second, "second"), asked.part
        )
    chosen = plain(asked.sampling)
    if isinstance(asked, Again):
        return serving.studio.again(
            person, named(serving, asked.avatar, "avatar"), sampling=chosen_sampling(Sampling(), chosen)
        )
    seed = new_seed() if asked.seed is None else asked.seed
    if isinstance(asked, FromPrompt):
        sampling = chosen_sampling(Sampling(), chosen)
        return serving.studio.draw_prompt(
            person, asked.prompt, count=asked.count, seed=seed, sampling=sampling, literal=asked.literal
        )
    if isinstance(asked, FromPortrait):
        found = own_portrait(serving, asked.portrait, person)
        return serving.studio.draw_portrait(
            person,
            serving.studio.portraits.framed(found),
            count=asked.count,
            seed=seed,
            sampling=chosen_sampling(Sampling(), chosen),
            refine=asked.refine,
        )
    if isinstance(asked, Vary):
        record = named(serving, asked.avatar, "avatar")
        sampling = chosen_sampling(record.sampling, chosen)
        return serving.studio.vary(person, record, count=asked.count, seed=seed, sampling=sampling)
    assert isinstance(asked, Surprise)
    sampling = chosen_sampling(DRAFT if asked.count > 1 else Sampling(), chosen)
    return serving.studio.surprise(person, count=asked.count, seed=seed, sampling=sampling)


@router.post("/avatars/{id}/edits", status_code=202)
async def edit(serving: Serving, record: AnAvatar, person: Person, asked: Edit) -> JobStarted:
    """Change what words name, materials' colours, or both, and keep the rest; colours alone are there at once."""
    prompt = None if asked.prompt is None or not asked.prompt.strip() else asked.prompt
    if prompt is None and not asked.colours:
        raise HTTPException(400, "prompt, colours: nothing to change; give one of them")
    job = await serving.quick.run(
        serving.studio.edit, person, record, prompt=prompt, colours=asked.colours, strength=asked.strength
    )
    return started(serving, job)


@router.post("/avatars/{id}/colours")
async def recolour(serving: Serving, record: AnAvatar, person: Person, asked: Colours) -> AvatarTold:
    """Other colours of some materials, as a new avatar; no network runs."""
    return avatar_told(await serving.quick.run(serving.studio.recolour, person, record, asked.colours))
