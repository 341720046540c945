"""The routes of results and their files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, JSONResponse

from service.answers import answer_of, waiting_answer
from service.core import Service
from service.jobs import is_id
from service.judging_routes import ACCEPTED
from service.refusals import RefusalError
from service.schemas import History, Result, problems

MAX_LISTED = 200  # results in one answer
TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".bmp": "image/bmp",
    ".html": "text/html; charset=utf-8",
}
PHOTO_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"  # style of a browser's own view
PART_POLICY = (  # of the pages that judging writes: each has its own style and script inside
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

ObjectName = Annotated[str, Query(alias="object", description="of this object only")]
Before = Annotated[str, Query(description="only those older than this id")]
Limit = Annotated[int, Query(ge=1, le=MAX_LISTED)]
Threshold = Annotated[float | None, Query(allow_inf_nan=False, description="adds what it would have said")]


def result_routes(service: Service) -> APIRouter:
    """Return the routes of results and their files."""
    router, store = APIRouter(responses=problems(401, 404, 422), tags=["results"]), service.store

    @router.get("/results", response_model=History, response_model_exclude_unset=True)
    def list_results(
        object_name: ObjectName = "", before: Before = "", limit: Limit = 50, threshold: Threshold = None
    ) -> dict[str, Any]:
        """List results, the newest first."""
        found: list[dict[str, Any]] = []
        for job_id in store.newest(object_name, before):
            if len(found) == limit:
                return {"results": found, "next_before": found[-1]["id"]}
            result = store.result(job_id)
            if result is not None:  # else it was removed meanwhile
                found.append(answer_of(result, threshold))
        return {"results": found, "next_before": None}

    @router.get("/results/{job_id}", response_model=Result, responses=ACCEPTED)
    def read_result(job_id: str, threshold: Threshold = None) -> Response:
        """Give one result; 202 while it waits or is being judged."""
        result = store.result(job_id) if is_id(job_id) else None
        if result is not None:
            return JSONResponse(answer_of(result, threshold))
        job = store.job(job_id) if is_id(job_id) else None
        if job is None:
            raise RefusalError(404, f"There is no result {job_id[:60]!r}; it was removed, or never accepted.")
        return JSONResponse(waiting_answer(job, service.worker.state(job_id)), 202, {"Retry-After": "1"})

    @router.get("/results/{job_id}/files/{file:path}", response_class=FileResponse)
    def read_file(job_id: str, file: str) -> FileResponse:
        """Give a file of a result: a photo, a heat map, a reference, a part's page."""
        path = store.file(job_id, file)
        kind = TYPES.get(path.suffix) if path else None
        if path is None or kind is None:
            raise RefusalError(404, "There is no such file; the links of a result name those that there are.")
        policy = PART_POLICY if path.suffix == ".html" else PHOTO_POLICY
        return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": policy})

    return router
