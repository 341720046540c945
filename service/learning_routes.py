"""The routes that change what an object has learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form

from service.core import Service
from service.learning import confirm, take_back
from service.refusals import RefusalError
from service.schemas import Learned, problems
from service.worker import StoppingError

Note = Annotated[str, Form(max_length=500, description="who, or why; for the object's journal")]


def learning_routes(service: Service) -> APIRouter:
    """Return the routes that change what an object has learned."""
    router = APIRouter(tags=["learning"], responses=problems(401, 403, 404, 409, 422, 503))

    @router.post("/results/{job_id}/confirm_good", response_model=Learned)
    async def confirm_good_photo(job_id: str, note: Note = "") -> dict[str, Any]:
        """Confirm that a photo which was called defective is good; the object's threshold learns from it."""
        return await between_jobs(service, lambda: confirm(service, job_id, note))

    @router.post("/objects/{object_name}/undo", response_model=Learned)
    async def undo_last_change(object_name: str, note: Note = "") -> dict[str, Any]:
        """Take back what the object has learned last."""
        return await between_jobs(service, lambda: take_back(service, object_name, note))

    return router


async def between_jobs(service: Service, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Let the worker do something before its next job, and return what that gives."""
    if not service.config.learn:
        raise RefusalError(403, "Objects learn only where the service was started with --learn.")
    try:
        return await asyncio.wrap_future(service.worker.do(work))
    except StoppingError:
        raise RefusalError(503, "The service is being stopped; try again.", 5) from None
