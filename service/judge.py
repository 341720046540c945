"""Judging one stored job: the same code for a server's photos and for a watched folder's."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any

from data.import_options import AUTO
from pipeline.inspection import judge_photo
from pipeline.model import Model
from pipeline.part_inspection import judge_part
from service.jobs import PHOTO, Job, safe_stems
from service.store import FOUND, MASKS, PHOTOS
from service.uploads import in_senders_words
from utils.errors import InputError
from utils.text import utc_text

LOG = logging.getLogger("service")
PATHS = ("photo", "heat_map", "reference", "page")  # entries that are paths on this machine
HIDDEN = (*PATHS, "date", "object_name", "name", "part")


def judge(job: Job, model: Model, place: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Judge a job and write heat maps, references and pages into its folder.

    Args:
        job: stored in ``place``.
        model: of its object.
        place: the job's folder.
    Returns:
        The result, and the seconds of each stage. A photo that cannot be judged gives a result, too, with
        ``state`` "failed", one sentence in ``error`` and the status of HTTP that fits in ``status``.
    """
    try:
        verdict, seconds = verdict_of(job, model, place)
        return {**head(job, "done"), **verdict}, seconds
    except (InputError, FileNotFoundError) as error:
        return failed(job, 422, sender_sentence(str(error), job, place)), {}
    except OSError:  # a full disk, say: not the photo's fault
        raise
    except Exception as error:  # a fault of the program: the next job may fare better
        LOG.exception("%s failed", job.id)
        kind = type(error).__name__
        return failed(job, 500, f"The program failed at this {job.kind} ({kind}); its log says where."), {}


def verdict_of(job: Job, model: Model, place: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the verdict on a photo or a part as the result has it, and the seconds of each stage."""
    masks = masks_of(job, place)
    if job.kind == PHOTO:
        path = place / PHOTOS / job.files[0]
        detection, entry = judge_photo(model, path, path.stem, masks, place / FOUND)
        return {
            **with_stored_files(entry, place, place / FOUND),
            "stage_seconds": rounded(detection.stage_seconds),
        }, detection.stage_seconds
    folder = place / FOUND / safe_stems([job.name or job.kind])[0]
    photos = {Path(file).stem: place / PHOTOS / file for file in job.files}
    part, found = judge_part(model, photos, masks, folder)
    whole: dict[str, Any] = dict(found)
    seconds: dict[str, float] = {}
    for detection in part.photos:
        for stage, value in detection.stage_seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + value
    called = dict(zip(photos, job.names))
    views = [{**with_stored_files(view, place, folder), "name": called[view["name"]]} for view in whole.pop("photos")]
    verdict = {**with_stored_files(whole, place, folder), "views": views, "stage_seconds": rounded(seconds)}
    return {**verdict, "seconds": round(sum(seconds.values()), 4)}, seconds


def masks_of(job: Job, place: Path) -> Path | None:
    """Return where the masks of a job that is stored in ``place`` come from; see ``judge_photo``."""
    return {"none": None, "given": place / MASKS, "auto": AUTO}[job.masks]


def head(job: Job, state: str) -> dict[str, Any]:
    """Return what every result begins with."""
    return {**job.summary(state), "finished": utc_text()}


def failed(job: Job, status: int, sentence: str) -> dict[str, Any]:
    """Return the result of a job that could not be judged."""
    return {**head(job, "failed"), "status": status, "error": sentence}


def with_stored_files(entry: dict[str, Any], place: Path, folder: Path) -> dict[str, Any]:
    """Return an entry with its files named from the job's folder on, instead of by this machine's paths.

    Args:
        entry: paths in it are absolute, from the working folder on, or from ``folder`` on.
        place: the job's folder.
        folder: that was written to.
    """
    files = {}
    for role in PATHS:
        path = Path(str(entry.get(role) or ""))
        found = next((each for each in (path, folder / path) if each.is_file()), None)
        if found is not None:
            files[role] = Path(os.path.relpath(found, place)).as_posix()
    return {**{key: finite(value) for key, value in entry.items() if key not in HIDDEN}, "files": files}


def finite(value: Any) -> Any:
    """Return a value for JSON, which has no infinity: None stands for it and for what is not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """Return seconds to a tenth of a millisecond."""
    return {stage: round(value, 4) for stage, value in seconds.items()}


def sender_sentence(sentence: str, job: Job, place: Path) -> str:
    """Return a sentence about the job's files in the sender's words."""
    for file, name in zip(job.files, job.names):
        sentence = in_senders_words(sentence, place / PHOTOS / file, name)
        for mask in (place / MASKS).glob(f"{Path(file).stem}.*"):
            sentence = in_senders_words(sentence, mask, f"mask of {name}")
    return sentence.replace(f"{place}/", "").replace(str(place), "the service's folder")
