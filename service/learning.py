"""Learning from a result: a good photo that was called defective is confirmed as good, which can be taken back.

Both run in the worker's thread, between two jobs, after which the object is loaded again. Stored verdicts stay.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.config import Config
from pipeline.history import Change
from pipeline.learning import confirm_good, undo
from service.core import Service
from service.jobs import PHOTO, is_id
from service.judge import masks_of
from service.refusals import RefusalError
from service.store import PHOTOS
from utils.errors import InputError

CONFIRMED = "confirmed_good"  # key of a result: number of the change that it made


def confirm(service: Service, job_id: str, note: str) -> dict[str, Any]:
    """Confirm a photo as good; return what that changed.

    Raises:
        RefusalError: where the result is not that of a photo which was called defective, or nothing can be learned.
    """
    result = service.store.result(job_id) if is_id(job_id) else None
    job = service.store.job(job_id) if result is not None else None
    if result is None or job is None:
        raise RefusalError(404, f"There is no result {job_id[:60]!r}; it was removed, or never accepted.")
    if job.kind != PHOTO or result.get("verdict") != "defective" or not result.get("pose_found"):
        raise RefusalError(409, "Only a photo that was called defective, and whose pose was found, can be confirmed.")
    if CONFIRMED in result:
        raise RefusalError(409, "This photo has been confirmed as good already.")
    place = service.store.place(job_id)
    masks = masks_of(job, place)
    try:
        change = confirm_good(config_of(service, job.object_name), [place / PHOTOS / job.files[0]], masks, note)
    except InputError as error:
        raise RefusalError(422, str(error).replace(f"{place}/", "")) from None
    service.store.finish(job, {**result, CONFIRMED: change.number})
    service.objects.reload(job.object_name)
    return change_answer(change)


def take_back(service: Service, object_name: str, note: str) -> dict[str, Any]:
    """Take back the last change of an object; return which it was.

    Raises:
        RefusalError: where there is none.
    """
    object_name = service.objects.named(object_name)
    try:
        change = undo(config_of(service, object_name), note)
    except InputError as error:
        raise RefusalError(409, str(error)) from None
    for job_id in service.store.newest(object_name):
        result, job = service.store.result(job_id), service.store.job(job_id)
        if result is not None and job is not None and result.get(CONFIRMED) == change.number:
            service.store.finish(job, {key: value for key, value in result.items() if key != CONFIRMED})
    service.objects.reload(object_name)
    return change_answer(change)


def config_of(service: Service, object_name: str) -> Config:
    """Return an object's settings; a RefusalError (503) where it is not loaded."""
    service.objects.check_ready(object_name)
    served = service.objects.get(object_name)
    assert served is not None and served.model is not None  # that is what ready means
    return served.model.config


def change_answer(change: Change) -> dict[str, Any]:
    """Return what is told of a change: all but where its photos lie."""
    return {key: value for key, value in asdict(change).items() if key != "photos"}
