"""What a benchmark has to do: which cells are done, which failed before, and how long the others will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cells import Cell, Outcome, read_outcome
from bench.run_cell import done_report, inputs_of, method_of
from data.mad import list_queries
from evaluation.results import read_results
from utils.errors import InputError

DONE, FAILED, OPEN = "done", "failed before", "to do"


@dataclass(frozen=True)
class Step:
    """A cell of the plan."""

    cell: Cell
    state: str  # DONE, FAILED or OPEN
    seconds: float | None  # that it will take, by earlier cells of its method; 0 where it is done, None where unknown


def plan(cells: Sequence[Cell]) -> list[Step]:
    """The state of each cell, and its seconds by the timings that lie in the benchmark's folder."""
    timings = earlier_timings(Path(cells[0].protocol.output_dir)) if cells else {}
    queries = {cell.object_dir: 0 for cell in cells}
    for folder in queries:
        queries[folder] = len(list_queries(folder))
    steps = []
    for cell in cells:
        state = state_of(cell)
        known = timings.get((cell.shown_method, cell.protocol.fast))
        seconds = None if known is None else known[0] + known[1] * queries[cell.object_dir]
        steps.append(Step(cell, state, 0.0 if state == DONE else seconds))
    return steps


def state_of(cell: Cell) -> str:
    """Whether a cell is done with the pictures and settings of now."""
    outcome = read_outcome(cell)
    if outcome.report is not None:
        try:
            if done_report(cell, inputs_of(cell, method_of(cell))[-1]) is not None:
                return DONE
        except InputError:
            return FAILED
    return FAILED if outcome.failure else OPEN


def earlier_timings(output_dir: Path) -> dict[tuple[str, bool], tuple[float, float]]:
    """Median seconds to fit and a query by method and preset, of all cells that lie in the folder."""
    found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for path in sorted(output_dir.glob("*/*/seed*/results.json")):
        report = read_results(path)
        if "fit" in report.seconds and report.queries:
            key = (path.parent.parent.name, bool(report.config.get("fast")))
            query = statistics.median(one.seconds for one in report.queries)
            found.setdefault(key, []).append((report.seconds["fit"], query))
    return {
        key: (statistics.median(fit for fit, _ in pairs), statistics.median(query for _, query in pairs))
        for key, pairs in found.items()
    }


def show_plan(steps: Sequence[Step]) -> str:
    """The plan as text: a line a cell, and the sum."""
    width = max([len(step.cell.name) for step in steps], default=0)
    lines = [f"{step.cell.name:{width}}  {step.state:13}  {show_seconds(step.seconds):>9}" for step in steps]
    left = [step for step in steps if step.state != DONE]
    known = sum(step.seconds for step in left if step.seconds is not None)
    unknown = sum(step.seconds is None for step in left)
    more = f", and {unknown} of unknown length" if unknown else ""
    lines.append(f"{len(left)} of {len(steps)} cells to run, one after the other {show_seconds(known)}{more}")
    return "\n".join(lines)


def show_seconds(seconds: float | None) -> str:
    """A time for people.

    >>> show_seconds(None), show_seconds(75), show_seconds(7300)
    ('unknown', '1:15 min', '2:02 h')
    """
    if seconds is None:
        return "unknown"
    if seconds >= 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours}:{minutes:02d} h"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The cells that failed."""
    return [outcome for outcome in outcomes if outcome.failure]
