"""Answers: results as they leave the service, with links in place of paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.results import verdict_at
from service.jobs import Job

STORED_ONLY = ("files", "status")


def answer_of(result: Mapping[str, Any], threshold: float | None = None) -> dict[str, Any]:
    """Return a stored result as the service answers it.

    Args:
        result: as it is stored, and stays.
        threshold: adds ``verdict_at_threshold``, the verdict that another threshold would have given.
    """
    links = {role: f"/results/{result['id']}/files/{path}" for role, path in result.get("files", {}).items()}
    answer = {key: value for key, value in result.items() if key not in STORED_ONLY}
    answer["links"] = {"self": f"/results/{result['id']}", **links}
    if threshold is not None and "anomaly_score" in result:
        answer["verdict_at_threshold"] = verdict_at(result["anomaly_score"], threshold)
    return answer


def waiting_answer(job: Job, state: str) -> dict[str, Any]:
    """Return what is answered of a job that is not done."""
    return {
        "id": job.id,
        "state": state,
        "kind": job.kind,
        "object_name": job.object_name,
        "received": job.received,
        "photos": list(job.names),
        "links": {"self": f"/results/{job.id}"},
    }
