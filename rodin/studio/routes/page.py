"""The page, and the page of the API."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from rodin.studio.page import ASSETS, PAGE_POLICY, api_page, asset, page_without_bundle, styled_policy

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page itself."""
    text = asset("studio.html")
    policy = styled_policy() if text is None else PAGE_POLICY
    return HTMLResponse(text or page_without_bundle(), headers={"Content-Security-Policy": policy})


@router.get("/assets/{name}", include_in_schema=False)
async def page_asset(name: str) -> Response:
    """What it is made of."""
    text = asset(name) if name in ASSETS else None
    if text is None:
        raise HTTPException(404, "assets: there is none of this name")
    return Response(text, headers={"Content-Type": ASSETS[name], "Cache-Control": "no-cache"})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """A page of every request and answer."""
    return HTMLResponse(api_page(request.app.openapi()), headers={"Content-Security-Policy": styled_policy()})
