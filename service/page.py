"""The page on which photos are dropped."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from report.template import load_template, read_assets
from service.core import Service
from service.uploads import FORMATS
from utils.version import __version__

TEMPLATES = Path(__file__).resolve().parent / "templates"


def page_routes(service: Service) -> APIRouter:
    """Return the routes of the page, its style sheet and its script; none of them tells anything of results."""
    config = service.config
    text = load_template("page.html", TEMPLATES).render(
        version=__version__,
        formats=FORMATS,
        max_photos=config.max_photos,
        max_photo_mb=config.max_photo_mb,
        learn=config.learn,
    )
    style = read_assets("report.css") + (TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(text)

    @router.get("/page.css")
    async def read_style() -> Response:
        return Response(style, media_type="text/css")

    @router.get("/page.js")
    async def read_script() -> Response:
        return Response(script, media_type="text/javascript")

    return router
