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
    query_seconds,
)
from report.charts import histogram_chart, kind_class, roc_chart
from report.heatmap import HeatScale, heat_colours, heat_opacity, heat_overlay, heat_scale, outlines
from report.template import load_template, read_assets
from utils.checkpoint import write_atomically
from utils.images import to_data_url
from utils.text import format_fraction, format_number, natural_key

LARGEST_SIDE, SMALLEST_SIDE = 400, 200  # of a picture in the page, pixels
FULL_SIZE_QUERIES = 120  # above so many queries the pictures shrink, so that the page stays about as large


@dataclass(frozen=True)
class QueryImages:
    """What the page shows of one query."""

    query: np.ndarray  # (height, width, 3) uint8
    reference: np.ndarray | None  # (height, width, 3) uint8; None where no pose was found to render it at
    anomaly_map: Tensor  # (height, width) float32
    mask: Tensor | None = None  # (rows, columns) bool; None for good queries and where there is no ground truth


ImagesOf = Callable[[str], QueryImages]  # by query name; called when needed, nothing is kept


def write_report(path: Path, report: ObjectReport, images_of: ImagesOf, scale: HeatScale | None = None) -> None:
    """Writes the page, whole or not at all; memory holds one query's pictures at a time.

    Args:
        path: the HTML file.
        report: labels may be missing (None): then the page shows verdicts only.
        images_of: query name → its pictures; called once a query, twice where ``scale`` is not given.
        scale: the heat maps' colour scale; None: found from the maps (see ``report.heatmap.heat_scale``).

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


def kinds_of(queries: Sequence[QueryResult]) -> list[str]:
    """The kinds of defect among the labels, sorted."""
    return sorted({query.defect_type for query in queries if query.defect_type is not None} - {GOOD})


# ----------------------------------------------------------------------------------------------- the page's head


def _head(report: ObjectReport) -> dict[str, Any]:
    queries, kinds = report.queries, kinds_of(report.queries)
    labels = ([GOOD] if any(query.defect_type == GOOD for query in queries) else []) + kinds
    scores = {label: np.array([q.anomaly_score for q in queries if q.defect_type == label]) for label in labels}
    if not labels:
        scores = {"queries": np.array([query.anomaly_score for query in queries])}
    return {
        "report": report,
        "labelled": bool(labels),
        "made": _made(report.environment),
        "kinds": [(kind, kind_class(kind, kinds)) for kind in labels],
        "counts": {
            "queries": len(queries),
            "defective": sum(query.verdict == DEFECTIVE for query in queries),
            "found": sum(query.mistaken is False and query.defect_type != GOOD for query in queries),
            "missed": sum(bool(query.mistaken) and query.defect_type != GOOD for query in queries),
            "alarms": sum(bool(query.mistaken) and query.defect_type == GOOD for query in queries),
            "good": sum(query.defect_type == GOOD for query in queries),
            "lost": sum(not query.pose_found for query in queries),
        },
        "rows": _rows(report),
        "facts": _facts(report),
        "roc": roc_chart(scores, threshold_of(report)),
        "histogram": histogram_chart(scores, threshold_of(report)),
        "style": read_assets("report.css"),
        "script": read_assets("report.js"),
        "threshold": format_number(threshold_of(report)),
    }


def _made(environment: Mapping[str, Any]) -> list[str]:
    """When and on what the test ran, as far as the record says."""
    machine = environment.get("cpu") if environment.get("device") == "cpu" else environment.get("device")
    date = str(environment.get("date") or "").replace("T", " ").replace("Z", " UTC")
    return [str(words) for words in (date, machine) if words]


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{format_fraction(interval[0])}–{format_fraction(interval[1])}"


def _rows(report: ObjectReport) -> list[dict[str, Any]]:
    """The summary table: each kind of defect, then all of them."""
    evaluation, kinds = report.evaluation, list(report.evaluation.per_defect)

    def row(name: str, style: str, figures: Metrics) -> dict[str, Any]:
        return {
            "name": name,
            "style": style,
            "queries": figures.queries,
            "cells": [
                (format_fraction(figures.image_auroc), _interval(figures.image_auroc_ci)),
                (format_fraction(figures.pixel_auroc, 4), ""),
                (format_fraction(figures.aupro), ""),
                (format_fraction(figures.image_f1), _interval(figures.image_f1_ci)),
                (format_fraction(figures.recall), _interval(figures.recall_ci)),
            ],
        }

    rows = [row(kind, kind_class(kind, kinds), figures) for kind, figures in evaluation.per_defect.items()]
    return [*rows, row("All defects", "kind-all", evaluation.overall)] if rows else []


def _facts(report: ObjectReport) -> list[tuple[str, str, str]]:
    """Name, value and remark of what is not by kind of defect; only what is known."""
    overall, pose = report.evaluation.overall, report.evaluation.pose
    spent = {**report.seconds, **query_seconds(report.queries)}
    facts: list[tuple[str, str, str]] = []
    if overall.fpr is not None:
        low, high = overall.fpr_ci or (overall.fpr, overall.fpr)
        facts.append(
            ("False alarms", f"{100 * overall.fpr:.1f} %", f"of good queries, {100 * low:.1f}–{100 * high:.1f} %")
        )
    facts.append(("Poses found", f"{100 * pose.found:.1f} %", "of queries"))
    if pose.rotation_deg is not None and pose.translation is not None:
        angle, shift = pose.rotation_deg, pose.translation
        facts += [
            ("Pose error, rotation", f"{format_number(angle.median, 2)}°", _tail(angle, "°")),
            ("Pose error, position", format_number(shift.median, 2), _tail(shift, " units")),
            ("Within 1° and 0.05 units", f"{100 * (pose.within or 0):.1f} %", "of queries with a true pose"),
        ]
    if report.psnr is not None:
        facts.append(("PSNR", f"{report.psnr:.1f} dB", "views held out of training"))
    if spent["query_median"] is not None:
        facts.append(
            ("Time a query", f"{format_number(spent['query_median'])} s", f"p90 {format_number(spent['query_p90'])} s")
        )
        stages = [f"{name} {format_number(value, 2)}" for name, value in spent["stages"].items()]
        if stages:
            facts[-1] = (*facts[-1][:2], f"{facts[-1][2]} · {', '.join(stages)}")
    names = {"train": "Training", "gallery": "Gallery", "calibrate": "Calibration"}
    facts += [
        (names[key], f"{format_number(spent[key])} s", "once an object") for key in names if spent.get(key) is not None
    ]
    return facts


def _tail(errors: ErrorStatistics, unit: str) -> str:
    return f"p90 {format_number(errors.p90, 2)}, max {format_number(errors.max, 2)}{unit}"


def _legend(scale: HeatScale) -> dict[str, Any]:
    shares = np.linspace(0.0, 1.0, 13)
    cover = heat_opacity(shares)[:, None]
    colours = np.round(235.0 * (1 - cover) + heat_colours(shares) * cover).astype(int)
    stops = ", ".join(f"rgb({r} {g} {b}) {100 * share:.0f}%" for share, (r, g, b) in zip(shares, colours, strict=True))
    usual = None if scale.usual is None else 100 * (scale.usual - scale.low) / (scale.high - scale.low)
    return {"stops": stops, "low": format_number(scale.low), "high": format_number(scale.high), "usual": usual}


# ------------------------------------------------------------------------------------------------ the page's cards


def _cards(report: ObjectReport, images_of: ImagesOf, scale: HeatScale) -> Iterator[dict[str, Any]]:
    """One card a query, the most anomalous first, made when the page asks for it."""
    kinds, names = kinds_of(report.queries), sorted((query.name for query in report.queries), key=natural_key)
    place = {name: index for index, name in enumerate(names)}
    side = max(SMALLEST_SIDE, min(LARGEST_SIDE, int(LARGEST_SIDE * (FULL_SIZE_QUERIES / max(len(names), 1)) ** 0.5)))
    for query in sorted(report.queries, key=lambda query: -query.anomaly_score):
        pictures = images_of(query.name)
        height, width = pictures.query.shape[:2]
        heat = heat_overlay(pictures.query, pictures.anomaly_map, scale)
        yield {
            "query": query,
            "place": place[query.name],
            "score": format_number(query.anomaly_score),
            "ratio": _bar(query.anomaly_score, threshold_of(report)),
            "style": kind_class(query.defect_type, kinds),
            "judgement": _judgement(query),
            "seconds": format_number(query.seconds, 2),
            "width": width,
            "height": height,
            "photo": to_data_url(pictures.query, side),
            "reference": None if pictures.reference is None else to_data_url(pictures.reference, side),
            "heat": to_data_url(heat, side),
            "outline": "" if pictures.mask is None else _path(fit_mask(pictures.mask, height, width, query.name)),
        }


def _judgement(query: QueryResult) -> tuple[str, str]:
    """Style class and words that set the verdict against the label."""
    if query.mistaken is None:
        return "", ""
    if query.mistaken:
        return ("wrong", "missed defect") if query.verdict == GOOD else ("wrong", "false alarm")
    return "right", "correct"


def threshold_of(report: ObjectReport) -> float:
    """The threshold that this page is drawn around."""
    if report.threshold is None:
        raise ValueError(f"{report.object_name} has no threshold; this page is for tests of this program.")
    return report.threshold


def _bar(score: float, threshold: float) -> float:
    """Length in per cent of a bar on which the threshold stands in the middle and twice as much fills it."""
    if threshold <= 0:
        return 100.0 if score > threshold else 0.0
    return float(min(100.0, max(0.0, 50.0 * score / threshold)))


def _path(mask: Tensor) -> str:
    """The mask's outlines as an SVG path in the query's pixels."""
    lines = ("L".join(f"{x:.1f} {y:.1f}" for x, y in outline) for outline in outlines(mask))
    return "".join(f"M{line}Z" for line in lines)
