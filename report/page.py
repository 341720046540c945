"""``report.html``: one self-contained page about one tested object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from evaluation.pixel_metrics import fit_mask
from evaluation.results import (
    DEFECTIVE,
    GOOD,
    ErrorStatistics,
    Interval,
    Metrics,
    ObjectReport,
    QueryResult,
    mean_seen_share,
    query_seconds,
)
from report.charts import histogram_chart, roc_chart, style_class
from report.heatmap import HeatScale, heat_colours, heat_opacity, heat_overlay, heat_scale, outline_path
from report.template import load_template, read_assets
from utils.checkpoint import write_atomically
from utils.images import to_data_url
from utils.text import format_fraction, format_number, natural_key

MAX_SIDE, MIN_SIDE = 400, 200  # pixels of an image's longer side in the page
FULL_SIZE_QUERIES = 120  # with more queries the images shrink, so that the page stays about as large


@dataclass(frozen=True)
class QueryImages:
    """The images that the page shows of one query."""

    query: np.ndarray  # (height, width, 3) uint8
    reference: np.ndarray | None  # (height, width, 3) uint8; None where no pose was found to render it at
    anomaly_map: Tensor  # (height, width) float32
    mask: Tensor | None = None  # (rows, columns) bool; None for good queries and where there is no ground truth
    unseen: Tensor | None = None  # (height, width) bool: where no training view showed the surface; None for nowhere


ImagesOf = Callable[[str], QueryImages]  # by query name; called when needed, nothing is kept


def write_report(path: Path, report: ObjectReport, images_of: ImagesOf, scale: HeatScale | None = None) -> None:
    """Write the page atomically; memory holds one query's images at a time.

    Args:
        path: the HTML file.
        report: without any defect types the page shows verdicts only.
        images_of: query name → its images; called once a query, twice where ``scale`` is not given.
        scale: the heat maps' colour scale; None: computed from the maps (see ``report.heatmap.heat_scale``).

    Raises:
        InputError: where a mask does not fit its query.
    """
    scale = scale or heat_scale(report.queries, lambda name: images_of(name).anomaly_map)
    stream = load_template("report.html").stream(
        **_head(report), legend=_legend(scale), cards=_cards(report, images_of, scale)
    )
    stream.enable_buffering(64)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            stream.dump(file, encoding="utf-8")

    write_atomically(path, write)


def defect_types_of(queries: Sequence[QueryResult]) -> list[str]:
    """Return the types of defect among the labels, sorted."""
    return sorted({query.defect_type for query in queries if query.defect_type is not None} - {GOOD})


def _head(report: ObjectReport) -> dict[str, Any]:
    """Return the template's variables, those of the cards and the legend excepted."""
    queries, kinds, threshold = report.queries, defect_types_of(report.queries), threshold_of(report)
    labels = ([GOOD] if any(query.defect_type == GOOD for query in queries) else []) + kinds
    scores = {label: np.array([q.anomaly_score for q in queries if q.defect_type == label]) for label in labels}
    if not labels:
        scores = {"queries": np.array([query.anomaly_score for query in queries])}
    return {
        "report": report,
        "labelled": bool(labels),
        "provenance": _provenance(report.environment),
        "kinds": labels,
        "counts": _counts(queries),
        "rows": _rows(report),
        "facts": _facts(report),
        "roc": roc_chart(scores, threshold),
        "histogram": histogram_chart(scores, threshold),
        "style": read_assets("report.css"),
        "script": read_assets("report.js"),
        "threshold": format_number(threshold),
    }


def _counts(queries: Sequence[QueryResult]) -> dict[str, int]:
    good = [query for query in queries if query.defect_type == GOOD]
    others = [query for query in queries if query.defect_type != GOOD]
    return {
        "queries": len(queries),
        "defective": sum(query.verdict == DEFECTIVE for query in queries),
        "found": sum(query.mistaken is False for query in others),
        "missed": sum(bool(query.mistaken) for query in others),
        "alarms": sum(bool(query.mistaken) for query in good),
        "good": len(good),
        "lost": sum(not query.pose_found for query in queries),
    }


def _provenance(environment: Mapping[str, Any]) -> list[str]:
    """Return date and machine of the test, as far as they are recorded."""
    machine = environment.get("cpu") if environment.get("device") == "cpu" else environment.get("device")
    date = str(environment.get("date") or "").replace("T", " ").replace("Z", " UTC")
    return [str(text) for text in (date, machine) if text]


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{format_fraction(interval[0])}–{format_fraction(interval[1])}"


def _rows(report: ObjectReport) -> list[dict[str, Any]]:
    """Return the rows of the summary table: each defect type, then all defects."""
    evaluation, kinds = report.evaluation, list(report.evaluation.per_defect)

    def row(name: str, style: str, metrics: Metrics) -> dict[str, Any]:
        return {
            "name": name,
            "style": style,
            "queries": metrics.queries,
            "cells": [
                (format_fraction(metrics.image_auroc), _interval(metrics.image_auroc_ci)),
                (format_fraction(metrics.pixel_auroc, 4), ""),
                (format_fraction(metrics.aupro), ""),
                (format_fraction(metrics.aupimo), ""),
                (format_fraction(metrics.image_f1), _interval(metrics.image_f1_ci)),
                (format_fraction(metrics.recall), _interval(metrics.recall_ci)),
            ],
        }

    rows = [row(kind, style_class(kind, kinds), metrics) for kind, metrics in evaluation.per_defect.items()]
    return [*rows, row("All defects", "kind-all", evaluation.overall)] if rows else []


def _facts(report: ObjectReport) -> list[tuple[str, str, str]]:
    """Return name, value and remark of what does not depend on the defect type, as far as it is known."""
    overall, pose = report.evaluation.overall, report.evaluation.pose
    facts: list[tuple[str, str, str]] = []
    if overall.fpr is not None:
        low, high = overall.fpr_ci or (overall.fpr, overall.fpr)
        facts.append(("False alarms", _percent(overall.fpr), f"of good queries, {100 * low:.1f}–{_percent(high)}"))
    facts.append(("Poses found", _percent(pose.found), "of queries"))
    if pose.rotation_deg is not None and pose.translation is not None:
        angle, shift = pose.rotation_deg, pose.translation
        facts += [
            ("Pose error, rotation", f"{format_number(angle.median, 2)}°", _tail(angle, "°")),
            ("Pose error, position", format_number(shift.median, 2), _tail(shift, " units")),
            ("Within 1° and 0.05 units", _percent(pose.within or 0.0), "of queries with a true pose"),
        ]
    if report.surface_seen is not None:
        once, twice = report.surface_seen
        facts.append(("Surface seen", _percent(once), f"by training views; {_percent(twice)} from two sides or more"))
    if (shown := mean_seen_share(report.queries)) is not None:
        facts.append(("Seen of the queries", _percent(shown), "of their object's pixels; the others are not judged"))
    if report.threshold_ci is not None:
        low, high = report.threshold_ci
        facts.append(
            (
                "Threshold",
                format_number(threshold_of(report)),
                f"95 % interval {format_number(low)}–{format_number(high)}",
            )
        )
    if report.psnr is not None:
        facts.append(("PSNR", f"{report.psnr:.1f} dB", "views held out of training"))
    return facts + _comparison(report) + _times(report)


def _comparison(report: ObjectReport) -> list[tuple[str, str, str]]:
    """Return which comparison ran, and whose pretrained networks the method had where not the paper's."""
    score, backbone = report.config.get("score"), report.config.get("backbone", "")
    return [("Comparison", str(score), f"backbone {backbone}" if report.remark else "")] if score else []


def _times(report: ObjectReport) -> list[tuple[str, str, str]]:
    spent = {**report.seconds, **query_seconds(report.queries)}
    times = []
    if spent["query_median"] is not None:
        stages = [f"{name} {format_number(value, 2)}" for name, value in spent["stages"].items()]
        remark = " · ".join([f"p90 {format_number(spent['query_p90'])} s", *filter(None, [", ".join(stages)])])
        times.append(("Time a query", f"{format_number(spent['query_median'])} s", remark))
    names = {"train": "Training", "gallery": "Gallery", "calibrate": "Calibration"}
    known = {names[key]: spent[key] for key in names if spent.get(key) is not None}
    return times + [(name, f"{format_number(seconds)} s", "once an object") for name, seconds in known.items()]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tail(errors: ErrorStatistics, unit: str) -> str:
    return f"p90 {format_number(errors.p90, 2)}, max {format_number(errors.max, 2)}{unit}"


def _legend(scale: HeatScale) -> dict[str, Any]:
    """Return the colour bar of the heat maps as CSS gradient stops, and its numbers."""
    shares = np.linspace(0.0, 1.0, 13)
    opacity = heat_opacity(shares)[:, None]
    colours = np.round(235.0 * (1 - opacity) + heat_colours(shares) * opacity).astype(int)
    stops = ", ".join(f"rgb({r} {g} {b}) {100 * share:.0f}%" for share, (r, g, b) in zip(shares, colours, strict=True))
    usual = None if scale.usual is None else 100 * (scale.usual - scale.low) / (scale.high - scale.low)
    return {"stops": stops, "low": format_number(scale.low), "high": format_number(scale.high), "usual": usual}


def _cards(report: ObjectReport, images_of: ImagesOf, scale: HeatScale) -> Iterator[dict[str, Any]]:
    """Yield one card a query, the most anomalous first, made when the page asks for it."""
    names = sorted((query.name for query in report.queries), key=natural_key)
    place, kinds = {name: index for index, name in enumerate(names)}, defect_types_of(report.queries)
    side = max(MIN_SIDE, min(MAX_SIDE, int(MAX_SIDE * (FULL_SIZE_QUERIES / max(len(names), 1)) ** 0.5)))
    for query in sorted(report.queries, key=lambda query: -query.anomaly_score):
        images = images_of(query.name)
        height, width = images.query.shape[:2]
        mask = None if images.mask is None else fit_mask(images.mask, height, width, query.name)
        yield {
            "query": query,
            "place": place[query.name],
            "score": format_number(query.anomaly_score),
            "bar": bar_length(query.anomaly_score, threshold_of(report)),
            "style": style_class(query.defect_type, kinds),
            "judgement": _judgement(query),
            "unseen": None if images.unseen is None else _percent(1.0 - (query.seen_share or 0.0)),
            "seconds": format_number(query.seconds, 2),
            "width": width,
            "height": height,
            "photo": to_data_url(images.query, side),
            "reference": None if images.reference is None else to_data_url(images.reference, side),
            "heat": to_data_url(heat_overlay(images.query, images.anomaly_map, scale, images.unseen), side),
            "outline": "" if mask is None else outline_path(mask),
        }


def _judgement(query: QueryResult) -> tuple[str, str]:
    """Return style class and text that compare the verdict with the label."""
    if query.mistaken is None:
        return "", ""
    if query.mistaken:
        return ("wrong", "missed defect") if query.verdict == GOOD else ("wrong", "false alarm")
    return "right", "correct"


def threshold_of(report: ObjectReport) -> float:
    """Return the threshold, without which the page cannot be drawn."""
    if report.threshold is None:
        raise ValueError(f"{report.object_name} has no threshold; this page is for tests of this program.")
    return report.threshold


def bar_length(score: float, threshold: float) -> float:
    """Return a bar's length in percent: 50 at the threshold, 100 at twice the threshold.

    >>> bar_length(1.5, 1.0), bar_length(5.0, 1.0), bar_length(1.0, 0.0)
    (75.0, 100.0, 100.0)
    """
    if threshold <= 0:
        return 100.0 if score > threshold else 0.0
    return float(min(100.0, max(0.0, 50.0 * score / threshold)))
