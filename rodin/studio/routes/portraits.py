"""Pictures of heads: what of them the model sees, and what of that is the person."""

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from rodin.avatars.portrait import Crop
from rodin.studio.documents import CropChoice, PortraitTold
from rodin.studio.service import PNG, OwnPortrait, Person, SentPicture, Serving
from rodin.studio.told import portrait_told
from rodin.studio.work import png_bytes

router = APIRouter()
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/portraits", status_code=201, openapi_extra=PICTURE_BODY)
async def add_portrait(serving: Serving, person: Person, content: SentPicture) -> PortraitTold:
    """A picture of a head: what of it the model would see, and what of that is the person."""
    return portrait_told(await serving.slow.run(serving.studio.portraits.add, person, content))


@router.get("/portraits/{id}.png", responses=PNG, response_class=Response)
async def portrait_picture(serving: Serving, found: OwnPortrait) -> Response:
    """The upright picture."""
    return FileResponse(serving.studio.portraits.picture(found.id), media_type="image/png")


@router.get("/portraits/{id}/matte.png", responses=PNG, response_class=Response)
async def portrait_matte(serving: Serving, found: OwnPortrait) -> Response:
    """What of the picture is the person, as grey."""
    return FileResponse(serving.studio.portraits.matte(found.id), media_type="image/png")


@router.get("/portraits/{id}/framed.png", responses=PNG, response_class=Response)
async def portrait_framed(serving: Serving, found: OwnPortrait) -> Response:
    """What the model will see."""
    portrait = await serving.slow.run(serving.studio.portraits.framed, found)
    return Response(await serving.slow.run(png_bytes, portrait.pixels), media_type="image/png")


@router.put("/portraits/{id}/crop")
async def crop_portrait(serving: Serving, found: OwnPortrait, crop: CropChoice) -> PortraitTold:
    """Let the model see another part of the picture."""
    return portrait_told(
        await serving.slow.run(serving.studio.portraits.crop, found, Crop(crop.left, crop.top, crop.size))
    )


@router.put("/portraits/{id}/matte", openapi_extra=PICTURE_BODY)
async def take_matte(serving: Serving, found: OwnPortrait, content: SentPicture) -> PortraitTold:
    """A matte drawn by hand: a PNG, white where the person is, of the picture's size."""
    return portrait_told(await serving.slow.run(serving.studio.portraits.take_matte, found, content))
