"""Results of a test run: one `QueryResult` a query, one `ObjectReport` an object, and the file ``results.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from utils.checkpoint import write_text
from utils.errors import InputError

GOOD = "good"
DEFECTIVE = "defective"
UNDECIDED = "undecided"  # the verdict where no threshold is known
STAND_IN_REMARKS = {  # what results must not be shown without, by what stood in for pretrained networks
    "": "",
    "lite0": "EfficientNet-Lite0 stood in for the pretrained network of the method's paper: these figures are not "
    "those of the method as published.",
    "random": "Random weights stood in for pretrained ones: these figures say nothing about the method.",
}
Interval = tuple[float, float]


@dataclass(frozen=True)
class QueryResult:
    """The result of one query."""

    name: str  # "<defect type>/<stem>" in a test folder, e.g. "Burrs/0"; any relative name for the user's own images
    anomaly_score: float
    verdict: str  # GOOD or DEFECTIVE, the score compared with the stored threshold; or UNDECIDED
    pose_found: bool
    camera_to_world: Tensor | None  # (4, 4) float32; None where no pose was sought
    seconds: float  # of the whole query
    defect_type: str | None = None  # GOOD or the type of defect; None where there is no label
    stage_seconds: Mapping[str, float] = field(default_factory=dict)  # e.g. {"retrieve": 0.01, "refine": 0.2}
    p_value: float | None = None  # probability that a good query scores at least as much
    pose_confidence: float | None = None  # in [0, 1]
    seen_share: float | None = None  # share of the object's pixels that a training view showed, in [0, 1]

    @property
    def mistaken(self) -> bool | None:
        """Whether the verdict contradicts the label; None without a label."""
        return None if self.defect_type is None else (self.defect_type == GOOD) != (self.verdict == GOOD)


@dataclass(frozen=True)
class Metrics:
    """Metrics of one group of defective queries against all good ones; None where a metric is not defined."""

    queries: int  # defective ones in the group
    image_auroc: float | None = None
    image_auroc_ci: Interval | None = None
    image_f1: float | None = None
    image_f1_ci: Interval | None = None
    recall: float | None = None  # share of the group's defective queries above the threshold
    recall_ci: Interval | None = None
    fpr: float | None = None  # share of good queries above the threshold
    fpr_ci: Interval | None = None
    pixel_auroc: float | None = None
    aupro: float | None = None
    aupimo: float | None = None  # mean over the group's queries


@dataclass(frozen=True)
class ErrorStatistics:
    """Median, 90th percentile and maximum of some errors."""

    median: float
    p90: float
    max: float


@dataclass(frozen=True)
class PoseMetrics:
    """Accuracy of the poses; errors are None where no true pose is known."""

    found: float  # share of queries whose pose was found
    rotation_deg: ErrorStatistics | None = None
    translation: ErrorStatistics | None = None
    within: float | None = None  # share of queries within 1 degree and 0.05 scene units


@dataclass(frozen=True)
class Evaluation:
    """All metrics of one object, as `evaluation.metrics.evaluate` computes them."""

    overall: Metrics
    per_defect: Mapping[str, Metrics]
    pose: PoseMetrics


@dataclass(frozen=True)
class ObjectReport:
    """Everything that is recorded about one tested object."""

    object_name: str
    threshold: float | None  # a query is defective where its anomaly_score is above it; None where none is known
    evaluation: Evaluation
    queries: Sequence[QueryResult]
    psnr: float | None = None  # dB, mean over the held-out views
    seconds: Mapping[str, float] = field(default_factory=dict)  # train, gallery, calibrate
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""  # a sentence that every table of these metrics must repeat, as STAND_IN_REMARKS
    threshold_ci: Interval | None = None  # 95 % interval of the threshold
    surface_seen: tuple[float, float] | None = None  # shares of the surface that one training view showed, and two


def verdict_at(anomaly_score: float, threshold: float) -> str:
    """Return DEFECTIVE where the score is above the threshold, else GOOD.

    >>> verdict_at(1.5, 1.0), verdict_at(1.0, 1.0)
    ('defective', 'good')
    """
    return DEFECTIVE if anomaly_score > threshold else GOOD


def query_seconds(queries: Sequence[QueryResult]) -> dict[str, Any]:
    """Return median and 90th percentile of the queries' seconds, and the median of each stage's."""
    if not queries:
        return {"query_median": None, "query_p90": None, "stages": {}}
    total = torch.tensor([query.seconds for query in queries], dtype=torch.float64)
    names = list(dict.fromkeys(name for query in queries for name in query.stage_seconds))
    stages = {}
    for name in names:
        spent = [query.stage_seconds[name] for query in queries if name in query.stage_seconds]
        stages[name] = float(torch.tensor(spent, dtype=torch.float64).quantile(0.5))
    return {"query_median": float(total.quantile(0.5)), "query_p90": float(total.quantile(0.9)), "stages": stages}


def mean_seen_share(queries: Sequence[QueryResult]) -> float | None:
    """Return the mean over the queries of what training views showed of them; None where it is not known of any."""
    known = [query.seen_share for query in queries if query.seen_share is not None]
    return sum(known) / len(known) if known else None


def query_to_json(query: QueryResult) -> dict[str, Any]:
    """Return a query's result as JSON content."""
    pose = None if query.camera_to_world is None else query.camera_to_world.tolist()
    return {**asdict(query), "stage_seconds": dict(query.stage_seconds), "camera_to_world": pose}


def query_from_json(entry: Mapping[str, Any]) -> QueryResult:
    """Return the result that :func:`query_to_json` described; a TypeError where it is not one of a named query."""
    pose = entry["camera_to_world"]
    if not isinstance(entry["name"], str):
        raise TypeError(f"a query is called {entry['name']!r}")
    return QueryResult(**{**entry, "camera_to_world": None if pose is None else torch.tensor(pose)})


def report_to_json(report: ObjectReport) -> dict[str, Any]:
    """Return the content of ``results.json`` as plain lists and dictionaries; AUROCs are fractions in [0, 1]."""
    evaluation = report.evaluation
    overall = asdict(evaluation.overall)
    return {
        "object_name": report.object_name,
        "queries_defective": overall.pop("queries"),
        **overall,
        "remark": report.remark,
        "threshold": report.threshold,
        "threshold_ci": report.threshold_ci,
        "surface_seen": report.surface_seen,
        "seen_share": mean_seen_share(report.queries),
        "per_defect": {kind: asdict(metrics) for kind, metrics in evaluation.per_defect.items()},
        "psnr": report.psnr,
        "pose": asdict(evaluation.pose),
        "seconds": {**report.seconds, **query_seconds(report.queries)},
        "queries": [query_to_json(query) for query in report.queries],
        "config": dict(report.config),
        "environment": dict(report.environment),
    }


def _metrics_from_json(entry: Mapping[str, Any], queries: int) -> Metrics:
    values = {item.name: entry[item.name] for item in fields(Metrics) if item.name != "queries"}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Metrics(queries=queries, **values)


def _pair(values: Sequence[float] | None) -> Interval | None:
    return None if values is None else (values[0], values[1])


def report_from_json(content: Mapping[str, Any]) -> ObjectReport:
    """Return the report that :func:`report_to_json` described."""
    pose = dict(content["pose"])
    for name in ("rotation_deg", "translation"):
        pose[name] = None if pose[name] is None else ErrorStatistics(**pose[name])
    evaluation = Evaluation(
        overall=_metrics_from_json(content, content["queries_defective"]),
        per_defect={kind: _metrics_from_json(entry, entry["queries"]) for kind, entry in content["per_defect"].items()},
        pose=PoseMetrics(**pose),
    )
    derived = ("query_median", "query_p90", "stages")
    return ObjectReport(
        object_name=content["object_name"],
        threshold=content["threshold"],
        evaluation=evaluation,
        queries=tuple(query_from_json(entry) for entry in content["queries"]),
        threshold_ci=_pair(content.get("threshold_ci")),
        surface_seen=_pair(content.get("surface_seen")),
        psnr=content["psnr"],
        seconds={name: value for name, value in content["seconds"].items() if name not in derived},
        config=content["config"],
        environment=content["environment"],
        remark=content["remark"],
    )


def write_results(path: Path, report: ObjectReport) -> None:
    """Write ``results.json`` atomically.

    Raises:
        InputError: where a number is NaN or infinite, which JSON cannot hold.
    """
    content = report_to_json(report)
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path}: not written, a number in {_first_not_finite(content)} is NaN or infinite") from error
    write_text(path, text)


def _first_not_finite(content: Any, key: str = "") -> str | None:
    if isinstance(content, float) and not math.isfinite(content):
        return key
    pairs: Iterable[tuple[Any, Any]] = content.items() if isinstance(content, Mapping) else ()
    if isinstance(content, (list, tuple)):
        pairs = enumerate(content)
    found = (_first_not_finite(value, f"{key}.{name}" if key else str(name)) for name, value in pairs)
    return next((name for name in found if name is not None), None)


def read_results(path: Path) -> ObjectReport:
    """Read a file that :func:`write_results` wrote.

    Raises:
        FileNotFoundError: where there is no such file.
        InputError: where the file is not JSON, or has other keys, as those of older versions do.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no results here; run auroc_test.py for this object first")
    try:
        return report_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); test the object again with --overwrite") from error
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: no results file of this version ({error!r}); test the object again with --overwrite"
        ) from error


def anomaly_map_path(output_folder: Path, name: str) -> Path:
    """Return the path of the map of query ``name``, in the layout that MVTec AD's evaluation reads.

    >>> anomaly_map_path(Path("output/toy"), "Burrs/0").as_posix()
    'output/toy/anomaly_maps/test/Burrs/0.tiff'

    Raises:
        InputError: where the name would leave the folder.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.name:
        raise InputError(f"query name {name!r}: expected <defect type>/<stem> without '..'")
    return output_folder / "anomaly_maps" / "test" / parts.parent / f"{parts.name}.tiff"
