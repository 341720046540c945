"""Answers: results as they leave the service, with links in place of paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.results import verdict_at
from service.jobs import PHOTO, Job

STORED_ONLY = ("files", "status")


def answer_of(result: Mapping[str, Any], threshold: float | None = None) -> dict[str, Any]:
    """Return a stored result as the service answers it.

    Args:
        result: as it is stored, and stays.
        threshold: adds ``verdict_at_threshold`` to a photo's: the verdict that another threshold would have given.
            A part's threshold depends on the number of its photos.
    """
    place = f"/results/{result['id']}"
    answer = {key: value for key, value in result.items() if key not in STORED_ONLY}
    answer["links"] = {"self": place, **links_of(result, place)}
    if "views" in result:
        views = result["views"]
        answer["views"] = [{**without_files(view), "links": links_of(view, place)} for view in views]
    if threshold is not None and result["kind"] == PHOTO and result.get("anomaly_score") is not None:
        answer["verdict_at_threshold"] = verdict_at(result["anomaly_score"], threshold)
    return answer


def links_of(entry: Mapping[str, Any], place: str) -> dict[str, str]:
    """Return the addresses of an entry's files, below ``place``."""
    return {role: f"{place}/files/{path}" for role, path in entry.get("files", {}).items()}


def without_files(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without the names of its files."""
    return {key: value for key, value in entry.items() if key != "files"}


def waiting_answer(job: Job, state: str) -> dict[str, Any]:
    """Return what is answered of a job that is not done."""
    return {**job.summary(state), "links": {"self": f"/results/{job.id}"}}
