"""Reports of made-up results, for the tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.results import Evaluation, Metrics, ObjectReport, PoseMetrics, QueryResult


def report(
    object_name: str,
    settings: Mapping[str, Any],
    queries: Sequence[QueryResult] = (),
    pixel_auroc: float | None = None,
    image_auroc: float | None = None,
) -> ObjectReport:
    """A report with these overall figures."""
    overall = Metrics(1, image_auroc=image_auroc, pixel_auroc=pixel_auroc)
    return ObjectReport(object_name, 0.5, Evaluation(overall, {}, PoseMetrics(0.0)), queries, config=settings)
