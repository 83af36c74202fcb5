"""What goes over the wire, as the API's page describes it: the studio's requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from rodin.avatars.seeds import LARGEST_SEED
from rodin.diffusion.config import Sampler
from rodin.materials import MATERIALS
from rodin.prompts.attributes import attributes
from rodin.studio.files import FileOptions, Format
from rodin.studio.jobs import JobStage, State
from rodin.studio.limits import Limits

LIMITS = Limits()


def _whole(value: Any) -> Any:
    """5 for 5.0, which are the same in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
HEX_COLOUR = r"^#[0-9a-fA-F]{6}$"
Colour = Annotated[str, Field(pattern=HEX_COLOUR)]
Material = Literal[MATERIALS]  # type: ignore[valid-type]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Prompt = Annotated[str, Field(max_length=LIMITS.prompt)]
Positive = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Steps = Annotated[int, Field(ge=1, le=LIMITS.steps), WHOLE]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED - LIMITS.count), WHOLE]
Side = Annotated[int, Field(ge=-(2**20), le=2**20), WHOLE]


class Document(BaseModel):
    """One that has no other fields than it says, and takes no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


# ---- requests


class SamplingChoice(Document):
    """How the networks are sampled, as far as it is not left to the model."""

    steps: Steps | None = None
    sampler: Sampler | None = None
    guidance_scale: Positive | None = None
    prior_guidance_scale: Positive | None = None
    temperature: Positive | None = None
    upsampling_steps: Steps | None = None
    candidates: Annotated[int, Field(ge=1, le=LIMITS.candidates), WHOLE] | None = None
    emphasis: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None


class _Asked(Document):
    seed: Seed | None = None
    count: Annotated[int, Field(ge=1, le=LIMITS.count), WHOLE] = 1
    sampling: SamplingChoice = SamplingChoice()


class FromPrompt(_Asked):
    """Avatars for words."""

    kind: Literal["prompt"]
    prompt: Prompt
    literal: bool = False


class FromPortrait(_Asked):
    """Avatars that follow a portrait."""

    kind: Literal["portrait"]
    portrait: Id
    refine: Annotated[int, Field(ge=0, le=LIMITS.refine), WHOLE] = 0


class Surprise(_Asked):
    """Avatars from nothing; several are drawn as drafts, of which one can be drawn again."""

    kind: Literal["surprise"]


class Vary(_Asked):
    """The same person with other noise."""

    kind: Literal["vary"]
    avatar: Id


class Again(Document):
    """The same avatar in other steps."""

    kind: Literal["again"]
    avatar: Id
    sampling: SamplingChoice = SamplingChoice()


class Mix(Document):
    """The avatar between two others."""

    kind: Literal["mix"]
    first: Id
    second: Id
    part: Annotated[float, Field(ge=0, le=1, strict=False, allow_inf_nan=False)]


AvatarRequest = Annotated[
    FromPrompt | FromPortrait | Surprise | Vary | Again | Mix,
    Field(discriminator="kind"),
]


class Edit(Document):
    """What is changed of an avatar: by words, by colours, or both."""

    prompt: Prompt | None = None
    colours: dict[Material, Colour] = {}
    strength: Annotated[float, Field(ge=-4, le=4, strict=False, allow_inf_nan=False)] | None = None


class Colours(Document):
    """Materials and what they become."""

    colours: Annotated[dict[Material, Colour], Field(min_length=1)]


class FileRequest(Document):
    """A format, and how a file of it is made."""

    format: Format
    faces: Annotated[int, Field(ge=100, le=LIMITS.faces), WHOLE] | None = None
    height: Annotated[float, Field(ge=0.001, le=1000, strict=False, allow_inf_nan=False)] | None = None
    texture: Annotated[int, Field(ge=64, le=LIMITS.texture), WHOLE] | None = None
    lit: bool | None = None
    size: Annotated[int, Field(ge=16, le=LIMITS.video_side), WHOLE] | None = None

    def options(self) -> FileOptions:
        """As `rodin.studio.files` takes them."""
        return FileOptions(faces=self.faces, height=self.height, texture=self.texture, lit=self.lit, size=self.size)


class Words(Document):
    """A prompt, which may be half typed."""

    prompt: Prompt
    seed: Seed = 0


Attributes = create_model(
    "Attributes",
    __base__=Document,
    __doc__="A value of each attribute, or null for open.",
    **{one.name: (Literal[tuple(value.value for value in one.values)] | None, None) for one in attributes()},  # type: ignore[call-overload]
)


class Choices(Document):
    """What pickers have, and the prompt before; of which stays what pickers cannot say, such as "not red hair"."""

    attributes: Attributes  # type: ignore[valid-type]
    prompt: Prompt = ""


class CropChoice(Document):
    """A square of a portrait's picture, in its pixels; it may reach beyond the picture."""

    left: Side
    top: Side
    size: Side


# ---- answers


class Error(BaseModel):
    """What is wrong, in a line."""

    error: str


class SamplingDone(BaseModel):
    """How the networks were sampled."""

    steps: int
    sampler: Sampler | None
    guidance_scale: float
    prior_guidance_scale: float
    temperature: float
    upsampling_steps: int
    candidates: int
    emphasis: float


class ValueOffered(BaseModel):
    """A value of an attribute, what people call it, and its #rrggbb where it is a colour."""

    value: str
    label: str
    colour: str | None


class AttributeOffered(BaseModel):
    """What pickers offer; the last value of an optional one is its absence."""

    name: str
    label: str
    values: list[ValueOffered]
    optional: bool


class LimitsTold(BaseModel):
    """What is refused beyond these numbers."""

    prompt: int
    count: int
    steps: int
    refine: int
    upload_bytes: int
    upload_pixels: int
    picture_side: int
    video_side: int
    faces: int
    texture: int
    queue: int


class ModelTold(BaseModel):
    """The model that draws here."""

    name: str
    hash: str
    version: str
    understands: bool
    materials: list[str]
    attributes: list[AttributeOffered]
    formats: list[Format]
    options: dict[str, list[Format]]
    defaults: SamplingDone
    draft: SamplingDone
    limits: LimitsTold


class Said(BaseModel):
    """What words say of an attribute."""

    attribute: str
    values: list[str]
    label: str
    words: str


class Drawn(BaseModel):
    """What was drawn beside the words."""

    attribute: str
    value: str
    label: str


class Understood(BaseModel):
    """What is understood of a prompt, what is denied, not read, and drawn beside for the seed."""

    line: str
    asked: list[Said]
    denied: list[Said]
    unread: list[str]
    drawn: list[Drawn]
    attributes: dict[str, str | None]


class PromptWritten(BaseModel):
    """The prompt that asks for what pickers have."""

    prompt: str


class CropTold(BaseModel):
    """What of the picture the model sees, in its pixels."""

    left: int
    top: int
    size: int


class FaceTold(BaseModel):
    """Where a face is in the picture, in its pixels."""

    left: float
    top: float
    width: float
    height: float


class MatteTold(BaseModel):
    """Whether the person was told from the background, and what speaks against it."""

    good: bool
    remark: str


class PortraitTold(BaseModel):
    """A portrait: the upright picture, what of it the model sees, and what of that is the person."""

    id: str
    width: int
    height: int
    crop: CropTold
    faces: list[FaceTold]
    matte: MatteTold
    remarks: list[str]
    picture: str
    matte_url: str
    framed: str


class Links(BaseModel):
    """Where an avatar's picture, its file for the viewer and its page are."""

    picture: str
    viewer: str
    page: str


class AvatarTold(BaseModel):
    """An avatar and how it came about."""

    id: str
    created: str
    kind: str
    prompt: str
    understood: str
    drawn: list[Drawn]
    unread: list[str]
    seed: int
    sampling: SamplingDone
    parent: str | None
    edit: str | None
    palette: dict[str, str]
    materials: list[str]
    links: Links


class HistoryTold(BaseModel):
    """A person's avatars, the newest first, and where to go on."""

    avatars: list[AvatarTold]
    next: str | None


class JobTold(BaseModel):
    """Something that was asked for, and how far it is."""

    id: str
    kind: str
    state: State
    place: int
    step: int
    steps: int
    stage: JobStage
    preview: str | None
    avatars: list[AvatarTold]
    file: str | None
    error: str | None


class JobStarted(BaseModel):
    """What waits for its turn now."""

    job: JobTold


def plain(document: BaseModel) -> dict[str, Any]:
    """What somebody chose, without what they left open."""
    return document.model_dump(exclude_none=True)
