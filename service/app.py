"""The web service: the application, and the routes that tell of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from service.core import Service
from service.guard import COOKIE, Guard, refusal_response, same, session_of
from service.judging_routes import judging_routes
from service.learning_routes import learning_routes
from service.objects import Served
from service.page import page_routes
from service.refusals import RefusalError
from service.result_routes import result_routes
from service.schemas import Health, ServedObjects, problems
from utils.version import __version__

ABOUT = """Judges photos of trained objects: good or defective.

A photo is stored before it is queued, and its result before it is answered: after a crash nothing that was accepted is
lost. Errors are JSON with one sentence in `detail`."""


def make_app(service: Service, token: str = "") -> FastAPI:
    """Return the application.

    Args:
        service: not yet started; it starts and ends with the application.
        token: that requests must carry; empty: none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await run_in_threadpool(service.stop)

    app = FastAPI(
        title="Pose-agnostic anomaly detection",
        description=ABOUT,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from the network
        redoc_url=None,
    )
    app.add_middleware(
        Guard,
        metrics=service.metrics,
        token=token,
        host_names=service.config.host_names(),
        max_bytes=int(service.config.max_request_mb * 1e6),
        check_place=service.worker.check_place,
    )
    app.add_exception_handler(RefusalError, lambda _, error: refusal_response(error))
    app.add_exception_handler(RequestValidationError, lambda _, error: validation_response(error))
    for routes in (judging_routes, result_routes, learning_routes, page_routes):
        app.include_router(routes(service))
    app.include_router(state_routes(service, token))
    return app


def validation_response(error: RequestValidationError) -> JSONResponse:
    """Return one sentence on the first field that is wrong."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return JSONResponse({"detail": f"The field {field[:100]!r} is wrong: {first['msg']}."}, 422)


def state_routes(service: Service, token: str) -> APIRouter:
    """Return the routes that tell of the service itself, and the one that begins the page's session."""
    router = APIRouter(tags=["state"])

    @router.get("/objects", response_model=ServedObjects, responses=problems(401))
    def list_objects() -> dict[str, Any]:
        """List the objects that are served."""
        return {"objects": [object_answer(each) for each in service.objects.all()]}

    @router.get("/health", response_model=Health, responses={503: {"model": Health, "description": "Not ready."}})
    def read_health() -> JSONResponse:
        """Tell whether photos can be judged: 200 or 503."""
        ready = service.objects.ready and service.worker.alive
        objects = [object_answer(each) for each in service.objects.all()]
        state = {"ready": ready, "objects": objects, "queue_length": service.worker.length, "version": __version__}
        return JSONResponse(state, 200 if ready else 503)

    @router.get("/metrics", responses=problems(401))
    def read_metrics() -> Response:
        """Give counts and times in Prometheus' format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.post("/session", status_code=204, responses=problems(401))
    def begin_session(request: Request, given: Annotated[str, Form(alias="token")]) -> Response:
        """Exchange the token for a cookie, for the page."""
        if not token or not same(given, token):
            raise RefusalError(401, "This is not the token of the service.")
        response = Response(status_code=204)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=secure)
        return response

    return router


def object_answer(served: Served) -> dict[str, Any]:
    """Return what is told of one object."""
    answer: dict[str, Any] = {"object_name": served.name, "state": served.state, "error": served.error or None}
    if served.model is not None:
        size = served.model.intrinsics
        answer |= {"threshold": served.model.scorer.threshold, "width": size.width, "height": size.height}
    return answer
