"""All figures of a benchmark as one long table, a figure a row; every other table is made from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from bench.runs import Run, RunResult
from evaluation.results import Metrics, ObjectReport, query_seconds
from utils.text import natural_key
from utils.weights import stand_in_among

AUROCS = ("pixel_auroc", "image_auroc")  # in the paper's order
FACTS = ("weights", "overrides", "settings", "commit", "date", "machine", "torch")  # how a run was made
COLUMNS = (
    *("object", "method", "seed", "defect_type", "metric", "value", "low", "high", "note"),
    *("stand_in", "fast", *FACTS),
)
DONE, FAILED, NEVER_RUN = "queries", "failed", "never run"  # metrics that say how a run ended; the first has a value


@dataclass(frozen=True)
class Mean:
    """A mean over objects, each of them the mean over its seeds."""

    value: float
    std: float | None  # sample standard deviation of the seeds' means; None without several complete seeds
    objects: int  # that it is over


def results_frame(results: Iterable[RunResult]) -> pd.DataFrame:
    """Return all figures of all runs.

    Columns: ``defect_type`` is empty for all defects together; ``value`` with its 95 % interval ``low`` to ``high`` is
    a fraction, seconds, bytes or degrees; a run that failed has one row, with the reason as its ``note``;
    ``stand_in`` is "lite0" or "random" where that stood in for a pretrained network.
    """
    texts = dict.fromkeys(("defect_type", "note", *FACTS), "")
    empty = {**texts, "low": None, "high": None, "stand_in": "", "fast": False}
    rows = [{**empty, **row} for result in results for row in run_rows(result)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float, "low": float, "high": float})


def run_rows(result: RunResult) -> list[dict[str, Any]]:
    """Return the rows of one run; figures that are not defined are left out."""
    run, report = result.run, result.report
    place = {"object": run.object_name, "method": run.display_name, "seed": run.seed}
    if report is None:
        note = " ".join(result.failure.split())
        return [{**place, "metric": FAILED if note else NEVER_RUN, "note": note, "fast": run.config.fast}]
    rows = metric_rows(report.evaluation.overall, "")
    for kind, metrics in report.evaluation.per_defect.items():
        rows += metric_rows(metrics, kind)
    pose, environment = report.evaluation.pose, report.environment
    more = {
        DONE: len(report.queries),
        "rotation_deg": pose.rotation_deg.median if pose.rotation_deg else None,
        "poses_within": pose.within,
        "fit_seconds": report.seconds.get("fit"),
        "fit_cpu_seconds": environment.get("fit_cpu_seconds"),
        "query_seconds": query_seconds(report.queries)["query_median"],
        "peak_bytes": environment.get("peak_bytes"),
        "peak_device_bytes": environment.get("peak_device_bytes"),
    }
    rows += [{"metric": metric, "value": value} for metric, value in more.items()]
    facts = run_facts(run, report)
    return [{**place, **row, **facts} for row in rows if row["value"] is not None]


def metric_rows(metrics: Metrics, defect_type: str) -> list[dict[str, Any]]:
    """Return a row for each metric of a group of queries."""
    values = asdict(metrics)
    rows = []
    for metric in (*AUROCS, "aupro", "aupimo", "image_f1", "recall", "fpr"):
        low, high = values.get(f"{metric}_ci") or (None, None)
        rows.append({"defect_type": defect_type, "metric": metric, "value": values[metric], "low": low, "high": high})
    return rows


def run_facts(run: Run, report: ObjectReport) -> dict[str, Any]:
    """Return what every row of a run says of how it was made."""
    environment, weights = report.environment, dict(report.config.get("weights") or {})
    return {
        "weights": " ".join(f"{name}={digits}" for name, digits in weights.items()),
        "stand_in": stand_in_among(weights.values()),
        "fast": bool(report.config.get("fast")),
        "overrides": ", ".join(f"{key} = {value}" for key, value in run.overrides),
        "settings": settings_text(report),
        "commit": environment.get("commit") or "unknown",
        "date": str(environment.get("date") or "unknown")[:10],
        "machine": machine_text(report),
        "torch": environment.get("torch") or "unknown",
    }


def settings_text(report: ObjectReport) -> str:
    """Describe the settings that all methods of a benchmark share."""
    size, every, rate = (report.config.get(key) for key in ("image_size", "val_every", "false_positive_rate"))
    return (
        f"images of up to {size} pixels on {report.config.get('background')}, each view of {every} held out for a "
        f"threshold at {'unknown' if rate is None else f'{100 * rate:g} %'} false positives"
    )


def machine_text(report: ObjectReport) -> str:
    """Describe the machine that a report was made on."""
    machine = report.environment
    cpu, device = machine.get("cpu") or "unknown processor", machine.get("device", "cpu")
    where = cpu if device == "cpu" else f"{device}, {cpu}"
    known = "threads" in machine and "cores" in machine
    return f"{where}, {machine['threads']} of {machine['cores']} cores" if known else where


def objects_in(frame: pd.DataFrame) -> list[str]:
    """Return the objects, in the order of their names."""
    return sorted(frame["object"].unique(), key=natural_key)


def methods_in(frame: pd.DataFrame) -> list[str]:
    """Return the methods, in the order of their runs."""
    return list(frame["method"].unique())


def defect_types_in(frame: pd.DataFrame) -> list[str]:
    """Return the types of defect that any object has."""
    return sorted(set(frame["defect_type"]) - {""}, key=natural_key)


def runs_in(frame: pd.DataFrame, *states: str) -> pd.DataFrame:
    """Return one row a run: of those that ended in one of the states, DONE, FAILED or NEVER_RUN."""
    return frame[frame["metric"].isin(states)]


def select(frame: pd.DataFrame, metric: str, defect_type: str = "") -> pd.DataFrame:
    """Return the rows of one metric."""
    return frame[(frame["metric"] == metric) & (frame["defect_type"] == defect_type)]


def mean_over(
    frame: pd.DataFrame, metric: str, method: str, objects: Sequence[str], defect_type: str = ""
) -> Mean | None:
    """Return a method's mean over those of the objects that have the figure; None where none has."""
    rows = select(frame[frame["method"] == method], metric, defect_type)
    table = rows[rows["object"].isin(objects)].pivot(index="object", columns="seed", values="value")
    if table.empty:
        return None
    complete = table.shape[1] > 1 and bool(table.notna().all(axis=None))
    return Mean(table.mean(axis=1).mean(), table.mean().std() if complete else None, len(table))


def scores_by_object(frame: pd.DataFrame, metric: str) -> dict[str, dict[str, float]]:
    """Return method → object → mean over the seeds, of all that have the figure."""
    means = select(frame, metric).groupby(["method", "object"])["value"].mean()
    names = objects_in(frame)
    return {
        method: {name: float(means[method, name]) for name in names if (method, name) in means.index}
        for method in methods_in(frame)
    }


def describe_runs(frame: pd.DataFrame) -> str:
    """Say when, of which commit, where and with which settings the runs were made, and in what they differ."""
    runs = runs_in(frame, DONE)
    if runs.empty:
        return "Nothing is measured yet."
    days = sorted(runs["date"].unique())
    parts, differ = [days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"], []
    presets = runs["fast"].map({True: "fast presets", False: "the papers' presets"})
    facts = {"commits": "commit " + runs["commit"], "machines": runs["machine"], "torch": "torch " + runs["torch"]}
    for name, values in {**facts, "presets": presets, "settings": runs["settings"]}.items():
        counts = values.value_counts().sort_index()
        each = [str(text) if len(counts) == 1 else f"{text} ({count} runs)" for text, count in counts.items()]
        parts.append(", ".join(each))
        differ += [name] if len(counts) > 1 else []
    seeds = sorted(runs["seed"].unique())
    parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    overridden = runs[runs["overrides"] != ""].groupby("overrides", sort=False)["method"].unique()
    count = runs["method"].nunique()
    changed = [text + (f" ({', '.join(names)})" if len(names) < count else "") for text, names in overridden.items()]
    if changed:
        parts.append(f"settings that differ from the presets: {', '.join(changed)}")
    text = "; ".join(parts) + "."
    return f"{text} The runs differ in {' and '.join(differ)}; table.csv says which is which." if differ else text
