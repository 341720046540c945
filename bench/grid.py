"""The runs of a benchmark by object and method, and the figures in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev

from bench.runs import RunResult
from evaluation.results import ObjectReport, query_seconds
from report.page import natural_key
from utils.weights import RANDOM

Metric = Callable[[ObjectReport], "float | None"]
AUROCS = ("pixel_auroc", "image_auroc")  # in the paper's order


def overall(name: str) -> Metric:
    """The figure of this name of all defects together."""
    return lambda report: getattr(report.evaluation.overall, name)


def of_kind(name: str, kind: str) -> Metric:
    """The figure of this name of one kind of defect."""

    def metric(report: ObjectReport) -> float | None:
        figures = report.evaluation.per_defect.get(kind)
        return None if figures is None else getattr(figures, name)

    return metric


METRICS: Mapping[str, Metric] = {
    **{name: overall(name) for name in ("pixel_auroc", "image_auroc", "aupro", "image_f1", "recall", "fpr")},
    "fit_seconds": lambda report: report.seconds.get("fit"),
    "query_seconds": lambda report: query_seconds(report.queries)["query_median"],
    "peak_bytes": lambda report: report.environment.get("peak_bytes"),
    "peak_device_bytes": lambda report: report.environment.get("peak_device_bytes"),
}


@dataclass(frozen=True)
class Mean:
    """A mean over objects, each of them the mean over its seeds."""

    value: float
    std: float | None  # sample standard deviation of the seeds' means; None without several whole seeds
    objects: int  # that it is over


@dataclass(frozen=True)
class Grid:
    """All results of a benchmark."""

    results: Sequence[RunResult]

    @cached_property
    def places(self) -> Mapping[tuple[str, str], Sequence[RunResult]]:
        """(object, method) → its results, one a seed, by seed."""
        found: dict[tuple[str, str], dict[int, RunResult]] = {}
        for one in self.results:
            found.setdefault((one.run.object_name, one.run.display_name), {})[one.run.seed] = one
        return {place: [seeds[seed] for seed in sorted(seeds)] for place, seeds in found.items()}

    @cached_property
    def objects(self) -> list[str]:
        """In the order of their names."""
        return sorted({name for name, _ in self.places}, key=natural_key)

    @cached_property
    def methods(self) -> list[str]:
        """In the order in which they come."""
        return list(dict.fromkeys(method for _, method in self.places))

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds of defect."""
        return sorted({kind for one in self.reports() for kind in one.evaluation.per_defect}, key=natural_key)

    @property
    def several_seeds(self) -> bool:
        """Whether any object has results of several seeds with one method."""
        return any(len(self.at(*place)) > 1 for place in self.places)

    def reports(self, method: str | None = None) -> list[ObjectReport]:
        """All reports, or those of one method."""
        places = (place for place in self.places if method in (None, place[1]))
        return [report for place in places for report in self.at(*place)]

    def at(self, object_name: str, method: str) -> list[ObjectReport]:
        """The reports of a place, by seed."""
        return [one.report for one in self.places.get((object_name, method), ()) if one.report is not None]

    def failures(self, method: str, object_name: str | None = None) -> list[RunResult]:
        """The results that are failures."""
        places = ((name, method) for name in self.objects if object_name in (None, name))
        return [one for place in places for one in self.places.get(place, ()) if one.report is None and one.failure]

    def values(self, metric: Metric, object_name: str, method: str) -> dict[int, float]:
        """Seed → the figure, at a place, where it is defined."""
        done = [one for one in self.places.get((object_name, method), ()) if one.report is not None]
        found = ((one.run.seed, metric(one.report)) for one in done if one.report is not None)
        return {seed: float(value) for seed, value in found if value is not None}

    def scores(self, metric: Metric) -> dict[str, dict[str, float]]:
        """Method → object → mean over the seeds, of all that have the figure."""
        return {
            method: {
                name: mean(found.values()) for name in self.objects if (found := self.values(metric, name, method))
            }
            for method in self.methods
        }

    def mean(self, metric: Metric, method: str, objects: Iterable[str] | None = None) -> Mean | None:
        """The mean over objects (None: all) that have the figure; None where none has."""
        names = self.objects if objects is None else list(objects)
        rows = [found for name in names if (found := self.values(metric, name, method))]
        if not rows:
            return None
        seeds = sorted(rows[0])
        whole = len(seeds) > 1 and all(sorted(row) == seeds for row in rows)
        spread = stdev(mean(row[seed] for row in rows) for seed in seeds) if whole else None
        return Mean(mean(mean(row.values()) for row in rows), spread, len(rows))

    def is_random(self, method: str) -> bool:
        """Whether random weights stood in for pretrained ones in any run of a method."""
        return any(has_random_weights(report) for report in self.reports(method))

    def is_fast(self, method: str) -> bool:
        """Whether any run of a method was made with a fast preset."""
        return any(report.config.get("fast") for report in self.reports(method))


def has_random_weights(report: ObjectReport) -> bool:
    """Whether random weights stood in for pretrained ones."""
    return RANDOM in dict(report.config.get("weights") or {}).values()


def machine_of(report: ObjectReport) -> str:
    """The machine that a report was made on."""
    told = report.environment
    cpu, device = told.get("cpu") or "unknown processor", told.get("device", "cpu")
    where = cpu if device == "cpu" else f"{device}, {cpu}"
    return f"{where}, {told['threads']} of {told['cores']} cores" if "threads" in told and "cores" in told else where


def circumstances(grid: Grid) -> str:
    """When, of which commit, where and with which settings the runs were made, and in what they differ."""
    reports = grid.reports()
    if not reports:
        return "Nothing is measured yet."
    dates = sorted({str(report.environment.get("date") or "unknown")[:10] for report in reports})
    parts = [dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"]
    facts: dict[str, Callable[[ObjectReport], str]] = {
        "commits": lambda report: f"commit {report.environment.get('commit') or 'unknown'}",
        "machines": machine_of,
        "torch": lambda report: f"torch {report.environment.get('torch', 'unknown')}",
        "presets": lambda report: "fast presets" if report.config.get("fast") else "the papers' presets",
        "config": protocol_words,
    }
    differ = []
    for name, fact in facts.items():
        counts = Counter(fact(report) for report in reports)
        each = [value if len(counts) == 1 else f"{value} ({count} runs)" for value, count in sorted(counts.items())]
        parts.append(", ".join(each))
        if len(counts) > 1:
            differ.append(name)
    seeds = sorted({one.run.seed for one in grid.results if one.report is not None})
    parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    if overrides := changed_settings(grid):
        parts.append(f"settings that differ from the presets: {overrides}")
    text = "; ".join(parts) + "."
    return f"{text} The runs differ in {' and '.join(differ)}; table.csv says which is which." if differ else text


def protocol_words(report: ObjectReport) -> str:
    """What all methods of a benchmark have in common."""
    told = report.config
    size, every, rate = (told.get(key) for key in ("image_size", "held_out_every", "false_positive_rate"))
    share = "unknown" if rate is None else f"{100 * rate:g} %"
    return (
        f"pictures of up to {size} pixels on {told.get('background')}, each view of {every} held out for a threshold "
        f"at {share} false positives"
    )


def changed_settings(grid: Grid) -> str:
    """The settings that the command line gave single methods."""
    found: dict[str, None] = {}
    for one in grid.results:
        for key, value in one.run.overrides if one.report is not None else ():
            found[f"{one.run.display_name} {key} = {value}"] = None
    return ", ".join(found)
