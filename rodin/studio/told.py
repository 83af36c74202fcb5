"""Avatars, portraits and jobs as the API tells of them."""

from __future__ import annotations

from dataclasses import asdict

from rodin.avatars.drawing import Sampling
from rodin.studio.documents import (
    AvatarTold,
    CropTold,
    Drawn,
    FaceTold,
    JobTold,
    Links,
    MatteTold,
    PortraitTold,
    SamplingDone,
)
from rodin.studio.history import Record
from rodin.studio.jobs import Job
from rodin.studio.portraits import Found
from rodin.studio.understanding import drawn_of
from rodin.studio.work import Studio


def sampling_told(sampling: Sampling) -> SamplingDone:
    """How an avatar was sampled."""
    return SamplingDone(**asdict(sampling))


def avatar_told(record: Record) -> AvatarTold:
    """An avatar; whose it is stays here."""
    address = f"/avatars/{record.id}"
    return AvatarTold(
        id=record.id,
        created=record.created,
        kind=record.kind,
        prompt=record.prompt,
        understood=record.understood,
        drawn=[Drawn(**one) for one in drawn_of(record.drawn)],
        unread=list(record.unread),
        seed=record.seed,
        sampling=sampling_told(record.sampling),
        parent=record.parent,
        edit=record.edit,
        palette=record.palette,
        materials=list(record.materials),
        links=Links(picture=f"{address}.png", viewer=f"{address}.rodin", page=f"{address}.html"),
    )


def portrait_told(found: Found) -> PortraitTold:
    """A portrait; whose it is stays here."""
    address = f"/portraits/{found.id}"
    return PortraitTold(
        id=found.id,
        width=found.width,
        height=found.height,
        crop=CropTold(**asdict(found.crop)),
        faces=[FaceTold(**face) for face in found.faces],
        matte=MatteTold(good=not found.doubt, remark=found.doubt),
        remarks=list(found.remarks),
        picture=f"{address}.png",
        matte_url=f"{address}/matte.png",
        framed=f"{address}/framed.png",
    )


def job_told(studio: Studio, job: Job) -> JobTold:
    """A job as it is now."""
    records = [record for name in tuple(job.avatars) if (record := studio.history.get(name)) is not None]
    return JobTold(
        id=job.id,
        kind=job.kind,
        state=job.state,
        place=studio.queue.place(job),
        step=job.step,
        steps=job.steps,
        stage=job.stage,
        preview=None if job.preview is None else f"/jobs/{job.id}/preview.png?step={job.step}",
        avatars=[avatar_told(record) for record in records],
        file=job.file,
        error=job.error,
    )
