"""What the model is, and what words mean to it."""

from importlib.util import find_spec

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

import rodin
from rodin.avatars.drawing import Sampling
from rodin.materials import MATERIALS
from rodin.prompts.attributes import prompt_of
from rodin.prompts.grammar import understand
from rodin.studio.documents import (
    AttributeOffered,
    Choices,
    LimitsTold,
    ModelTold,
    PromptWritten,
    Understood,
    Words,
    plain,
)
from rodin.studio.files import FORMATS, OPTIONS, Format
from rodin.studio.service import Serving
from rodin.studio.told import sampling_told
from rodin.studio.understanding import offered, read_prompt
from rodin.studio.work import DRAFT

router = APIRouter()


@router.get("/model")
async def model(serving: Serving) -> ModelTold:
    """What draws here: what can be asked for, how avatars are sampled unless one says otherwise, the limits."""
    pipe, limits = serving.studio.pipe, serving.studio.limits
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


@router.post("/understanding")
async def understanding(serving: Serving, words: Words) -> Understood:
    """What a prompt means, also while it is typed."""
    return Understood(**await run_in_threadpool(read_prompt, serving.studio.pipe, words.prompt, words.seed))


@router.post("/descriptions")
async def descriptions(choices: Choices) -> PromptWritten:
    """The prompt that asks for what pickers have; understood, it is that again."""
    before = understand(choices.prompt)
    return PromptWritten(prompt=prompt_of(plain(choices.attributes), before))


def _can_be_made(kind: Format) -> bool:
    """Whether the package that a format wants is installed."""
    wants = {"mp4": "av", "usdz": "xatlas"}.get(kind)
    return wants is None or find_spec(wants) is not None
