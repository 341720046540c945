"""Made-up results of a benchmark, for the tests of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.config import BenchmarkConfig
from bench.runs import Run, RunResult
from evaluation.results import Evaluation, Metrics, ObjectReport, PoseMetrics, QueryResult

MACHINE = {
    "cpu": "Some CPU",
    "device": "cpu",
    "threads": 2,
    "cores": 4,
    "commit": "abc123def456",
    "date": "2026-01-02T03:04:05Z",
    "torch": "2.0",
    "peak_bytes": 2_000_000_000,
    "peak_device_bytes": None,
}


def run(object_name: str, method: str, seed: int = 0, fast: bool = False) -> Run:
    """A run of the usual config."""
    return Run(object_name, method, seed, BenchmarkConfig(fast=fast))


def done(
    where: Run,
    pixel: float | None,
    image: float | None,
    kinds: Mapping[str, tuple[float | None, float | None]] | None = None,
    weights: str = "0123abcd",
    environment: Mapping[str, Any] = MACHINE,
) -> RunResult:
    """A run with these pixel and image AUROCs, of all defects and of some kinds."""
    overall = Metrics(8, image_auroc=image, pixel_auroc=pixel, aupro=0.5, image_f1=0.25, recall=0.75, fpr=0.125)
    per_defect = {kind: Metrics(4, pixel_auroc=p, image_auroc=i) for kind, (p, i) in (kinds or {}).items()}
    queries = [QueryResult(f"good/{n}", 0.1, "good", False, None, second) for n, second in enumerate((0.1, 0.2, 0.9))]
    settings = {"seed": where.seed, "weights": {"resnet18": weights}, **where.config.result_settings()}
    evaluation = Evaluation(overall, per_defect, PoseMetrics(0.0))
    name, seconds = where.object_name, {"fit": 12.5}
    report = ObjectReport(name, 0.5, evaluation, queries, None, seconds, settings, dict(environment))
    return RunResult(where, report)


def failed(where: Run, sentence: str) -> RunResult:
    """A run without result."""
    return RunResult(where, failure=sentence)
