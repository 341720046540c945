"""The routes that accept photos and parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Header, Query, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from service.answers import answer_of, waiting_answer
from service.core import Masks, Service
from service.jobs import PART, PHOTO, shown_name
from service.refusals import RefusalError
from service.schemas import Result, problems
from service.uploads import Upload
from service.worker import StoppingError

REFUSED = problems(400, 401, 404, 409, 413, 415, 422, 500, 503, 504, 507)
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": Result, "description": "Stored, and not done yet."}}
AFTER_RESTART = 10  # seconds after which a result may be asked for again where the service ends

Photo = Annotated[UploadFile, File(description="PNG, JPEG, WebP, TIFF or BMP")]
Photos = Annotated[list[UploadFile], File(description="photos of one part, from several sides")]
Mask = Annotated[UploadFile | None, File(description="white where the object is")]
PartMasks = Annotated[list[UploadFile] | None, File(description="NAME.png for the photo NAME.jpg")]
Finding = Annotated[Literal["none", "auto"], Form(description="auto: finds masks, for photos with real backgrounds")]
ObjectName = Annotated[str, Form(alias="object", description="needed where several objects are served")]
PartName = Annotated[str, Form(description="what the part is called, as a serial number")]
Wait = Annotated[bool, Query(description="false: answer 202 with the id at once")]
Key = Annotated[str, Header(alias="Idempotency-Key", description="sent again with it, the same is not judged again")]
Accept = Callable[[], tuple[str, Future[dict[str, Any]] | None]]


def judging_routes(service: Service) -> APIRouter:
    """Return the routes that accept photos and parts."""
    router = APIRouter(tags=["judging"], responses=REFUSED | ACCEPTED)

    @router.post("/photos", response_model=Result)
    async def judge_photo(
        photo: Photo,
        mask: Mask = None,
        masks: Finding = "none",
        object_name: ObjectName = "",
        wait: Wait = True,
        key: Key = "",
    ) -> Response:
        """Judge one photo."""
        given = chosen_masks([] if mask is None else [mask], masks)
        return await answer(service, lambda: service.accept(PHOTO, object_name, uploads([photo]), given, key), wait)

    @router.post("/parts", response_model=Result)
    async def judge_part(
        photos: Photos,
        mask: PartMasks = None,
        masks: Finding = "none",
        object_name: ObjectName = "",
        name: PartName = "",
        wait: Wait = True,
        key: Key = "",
    ) -> Response:
        """Judge one part by all its photos together."""
        given, called = chosen_masks(mask or [], masks), shown_name(name) if name else ""
        return await answer(
            service, lambda: service.accept(PART, object_name, uploads(photos), given, key, called), wait
        )

    return router


def uploads(files: Sequence[UploadFile]) -> list[Upload]:
    """Return files of a form."""
    return [Upload(file.filename or "photo", file.file) for file in files]


def chosen_masks(files: Sequence[UploadFile], masks: Literal["none", "auto"]) -> Masks:
    """Return the masks that were sent, or "auto"; a RefusalError where both are asked for."""
    if files and masks == "auto":
        raise RefusalError(422, "Send a mask or masks=auto, not both.")
    return "auto" if masks == "auto" else uploads(files)


async def answer(service: Service, accept: Accept, wait: bool) -> Response:
    """Accept a photo or a part, and answer with its result, or with where that will be."""
    job_id, future = await run_in_threadpool(accept)
    if wait and future is not None:
        waited = asyncio.wrap_future(future)
        waited.add_done_callback(lambda done: done.exception())  # that nobody may ask for it is no fault
        await asyncio.wait([waited], timeout=service.config.max_wait)
        if not waited.done():
            took = f"It is not done after {service.config.max_wait:g} seconds; its result will be at result."
            return problem(504, took, job_id, retry_after=max(1, int(service.config.max_wait)))
        if isinstance(waited.exception(), StoppingError):
            return problem(503, "It is stored, and is judged after the next start.", job_id, AFTER_RESTART)
    result = await run_in_threadpool(service.store.result, job_id)
    if result is None:
        job = await run_in_threadpool(service.store.job, job_id)
        if job is None:
            raise RefusalError(404, "The result was removed while it was asked for; send the photo again.")
        location = {"Location": f"/results/{job_id}", "Retry-After": "1"}
        return JSONResponse(waiting_answer(job, service.worker.state(job_id)), 202, location)
    if result["state"] == "failed":
        return problem(result["status"], result["error"], job_id)
    return JSONResponse(answer_of(result))


def problem(status: int, sentence: str, job_id: str, retry_after: int | None = None) -> JSONResponse:
    """Return an error about a job that is stored."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"detail": sentence, "id": job_id, "result": f"/results/{job_id}"}, status, headers)
