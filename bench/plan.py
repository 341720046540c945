"""What a benchmark has to do: which runs are done, which failed before, and how long the others will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench.execute import done_report, inputs_of, method_of
from bench.runs import RESULTS, Run, read_result
from data.mad import list_queries
from evaluation.results import read_results
from utils.errors import InputError

DONE, FAILED, OPEN = "done", "failed before", "to do"


@dataclass(frozen=True)
class PlannedRun:
    """A run of the plan."""

    run: Run
    state: str  # DONE, FAILED or OPEN
    seconds: float | None  # it will take, by earlier runs of its method; 0 where it is done, None where unknown


def plan_runs(runs: Sequence[Run]) -> list[PlannedRun]:
    """Return the state of each run, and its seconds by the timings in the benchmark's folder."""
    timings = earlier_timings(Path(runs[0].config.output_dir)) if runs else {}
    queries = {folder: len(list_queries(folder)) for folder in {run.object_dir for run in runs}}
    planned = []
    for run in runs:
        state = state_of(run)
        known = timings.get((run.display_name, run.config.fast))
        seconds = None if known is None else known[0] + known[1] * queries[run.object_dir]
        planned.append(PlannedRun(run, state, 0.0 if state == DONE else seconds))
    return planned


def state_of(run: Run) -> str:
    """Return whether a run is done with today's images and settings."""
    result = read_result(run)
    if result.report is not None:
        try:
            if done_report(run, inputs_of(run, method_of(run))[-1]) is not None:
                return DONE
        except InputError:
            return FAILED
    return FAILED if result.failure else OPEN


def earlier_timings(output_dir: Path) -> dict[tuple[str, bool], tuple[float, float]]:
    """Return the median seconds of a fit and of a query by method and preset, of all runs in the folder."""
    found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for path in sorted(output_dir.glob(f"*/*/seed*/{RESULTS}")):
        report = read_results(path)
        if "fit" in report.seconds and report.queries:
            key = (path.parent.parent.name, bool(report.config.get("fast")))
            query = statistics.median(one.seconds for one in report.queries)
            found.setdefault(key, []).append((report.seconds["fit"], query))
    return {
        key: (statistics.median(fit for fit, _ in pairs), statistics.median(query for _, query in pairs))
        for key, pairs in found.items()
    }


def plan_text(planned: Sequence[PlannedRun]) -> str:
    """Return the plan as text: a line a run, and the sum."""
    rows = [(one.run.name, one.state, duration_text(one.seconds)) for one in planned]
    left = [one for one in planned if one.state != DONE]
    known = sum(one.seconds for one in left if one.seconds is not None)
    unknown = sum(one.seconds is None for one in left)
    more = f", and {unknown} of unknown length" if unknown else ""
    table = tabulate(rows, tablefmt="plain", colalign=("left", "left", "right"))
    return f"{table}\n{len(left)} of {len(planned)} runs to do, one after the other {duration_text(known)}{more}"


def duration_text(seconds: float | None) -> str:
    """Format a duration for people.

    >>> duration_text(None), duration_text(75), duration_text(7300)
    ('unknown', '1:15 min', '2:02 h')
    """
    if seconds is None:
        return "unknown"
    if seconds >= 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours}:{minutes:02d} h"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
