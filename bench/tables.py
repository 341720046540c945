"""The benchmark's tables: AUROC by object as the paper has it, the other figures by method, AUROC by kind of defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import stdev

from bench.grid import AUROCS, METRICS, Grid, Mean, Metric, circumstances, has_random_weights, machine_of, of_kind
from bench.paper_table import paper_pair
from bench.published import Published
from bench.ranks import Ranking
from bench.table_formats import NEVER_RUN, Entry, Notes, Part, Row, Table
from evaluation.results import RANDOM_WEIGHTS, ObjectReport
from report.page import number

RANDOM_MARK, FAST_MARK, PART_MARK, SEEDS_MARK = "†", "‡", "*", "§"
RANDOM_NOTE = RANDOM_WEIGHTS
FAST_NOTE = "Made with the fast preset, where the method has one, in place of its paper's settings."
PART_NOTE = "Not all objects: a mean over as many as said, not to be compared with a mean over others."
SEEDS_NOTE = "Not all seeds have a result."
UNDEFINED, FAILED = "n/a", "failed"
UNDEFINED_NOTE = "Done, but the figure is not defined, as an AUROC without masks or without good queries."
Pair = tuple[Metric, Metric]


# ------------------------------------------------------------------------------------------------ entries


def percent(value: float, std: float | None = None) -> str:
    """A fraction in per cent with one decimal; only a perfect one looks perfect.

    >>> percent(0.98765), percent(0.99999), percent(1.0), percent(0.5, 0.01)
    ('98.8', '99.9', '100.0', '50.0 ± 1.0')
    """
    text = f"{value if value == 1.0 else min(value, 0.999):.1%}".removesuffix("%")
    return text if std is None else f"{text} ± {100 * std:.1f}"


def method_marks(grid: Grid, method: str, notes: Notes) -> list[str]:
    """The marks of a method in every table."""
    marks = [notes.symbol(RANDOM_MARK, RANDOM_NOTE)] if grid.is_random(method) else []
    return [*marks, notes.symbol(FAST_MARK, FAST_NOTE)] if grid.is_fast(method) else marks


def method_name(grid: Grid, method: str, notes: Notes) -> Entry:
    """A method's name with its marks."""
    return Entry.of(method, method_marks(grid, method, notes))


def failure_marks(grid: Grid, method: str, notes: Notes, object_name: str | None = None) -> list[str]:
    """The numbers of the notes on a method's failures, of one object or of all."""
    failures = grid.failures(method, object_name)
    return list(dict.fromkeys(notes.failure(one.failure, one.run.name) for one in failures))


def without_result(grid: Grid, method: str, notes: Notes, object_name: str | None = None) -> Entry:
    """What stands where there is no report: failed, or never run."""
    marks = failure_marks(grid, method, notes, object_name)
    return Entry.of(FAILED, marks) if marks else Entry.of(NEVER_RUN)


def object_entry(grid: Grid, object_name: str, method: str, notes: Notes) -> Entry:
    """Pixel and image AUROC of a place."""
    reports = grid.at(object_name, method)
    if not reports:
        return without_result(grid, method, notes, object_name)
    parts = []
    for name in AUROCS:
        values = list(grid.values(METRICS[name], object_name, method).values())
        std = stdev(values) if len(values) > 1 else None
        parts.append(Part(percent(sum(values) / len(values), std) if values else UNDEFINED))
        if not values:
            notes.symbol(UNDEFINED, UNDEFINED_NOTE)
    marks, remark, seeds = [], "", len(grid.places[object_name, method])
    if len(reports) < seeds:
        remark = f"{len(reports)} of {seeds} seeds"
        marks = [notes.symbol(SEEDS_MARK, SEEDS_NOTE), *failure_marks(grid, method, notes, object_name)]
    marks += mixed_marks(grid, method, reports)
    return Entry(tuple(parts), tuple(marks), remark)


def mixed_marks(grid: Grid, method: str, reports: Sequence[ObjectReport]) -> list[str]:
    """The method's marks at a single place, where they do not hold for all of the method's places."""
    marks, every = [], grid.reports(method)
    if any(map(has_random_weights, reports)) and not all(map(has_random_weights, every)):
        marks.append(RANDOM_MARK)
    fast = [bool(report.config.get("fast")) for report in every]
    if any(report.config.get("fast") for report in reports) and not all(fast):
        marks.append(FAST_MARK)
    return marks


def mean_entry(means: Sequence[Mean | None], of: int, notes: Notes) -> Entry:
    """Means over objects, with a mark and their number where they are not over all ``of`` them."""
    parts = tuple(Part(UNDEFINED if one is None else percent(one.value, one.std)) for one in means)
    counts = [one.objects for one in means if one is not None]
    if None in means:
        notes.symbol(UNDEFINED, UNDEFINED_NOTE)
    if not counts or min(counts) == of:
        return Entry(parts)
    words = " and ".join(str(count) for count in dict.fromkeys(counts))
    return Entry(parts, (notes.symbol(PART_MARK, PART_NOTE),), f"{words} of {of}")


def with_best(entries: Sequence[Entry]) -> list[Entry]:
    """Entries of which the largest figure of each part, as shown, is marked as the best, where there are several."""
    entries = list(entries)
    for place in range(max((len(entry.parts) for entry in entries), default=0)):
        shown = {index: leading_number(entry, place) for index, entry in enumerate(entries)}
        known = {index: value for index, value in shown.items() if value is not None}
        for index, value in known.items():
            if len(known) > 1 and value == max(known.values()):
                parts = list(entries[index].parts)
                parts[place] = replace(parts[place], best=True)
                entries[index] = replace(entries[index], parts=tuple(parts))
    return entries


def leading_number(entry: Entry, place: int) -> float | None:
    """The figure that a part of an entry begins with."""
    try:
        return float(entry.parts[place].text.split()[0])
    except (ValueError, IndexError):
        return None


# ------------------------------------------------------------------------------------------------- tables


def auroc_table(grid: Grid, published: Published) -> Table:
    """Pixel and image AUROC, an object a row, a method a column, as in the paper's section 3.4."""
    notes = Notes()
    heads = (Entry.of("Object"), *(method_name(grid, method, notes) for method in grid.methods))
    rows = []
    for name in grid.objects:
        entries = with_best([object_entry(grid, name, method, notes) for method in grid.methods])
        entries = [replace(e, paper=paper_pair(published.of(name, m))) for e, m in zip(entries, grid.methods)]
        rows.append(Row((Entry.of(name), *entries)))
    rows += mean_rows(grid, published, notes)
    seeds = " ± is the sample standard deviation over seeds, in a row of means that of the seeds' means."
    caption = (
        "Pixel AUROC / image AUROC in per cent; the best of each row stands out, but of means only where all are over "
        "the same objects. – was never run."
    )
    caption += seeds if grid.several_seeds else ""
    return Table("auroc", "AUROC by object", caption, heads, tuple(rows), notes.all, circumstances(grid))


def mean_rows(grid: Grid, published: Published, notes: Notes) -> list[Row]:
    """The mean over all objects, and over those that all methods have where that differs."""
    count = len(grid.objects)
    pair: Pair = (METRICS[AUROCS[0]], METRICS[AUROCS[1]])
    entries = []
    for method in grid.methods:
        done = [name for name in grid.objects if grid.at(name, method)]
        if not done:
            entries.append(without_result(grid, method, notes))
            continue
        entry = mean_entry([grid.mean(metric, method) for metric in pair], count, notes)
        paper = {metric: published.mean_of(method, metric, done) for metric in AUROCS}
        entries.append(replace(entry, paper=paper_pair(paper)))
    whole = not any(PART_MARK in entry.marks for entry in entries)
    name = f"Mean of {count} object{'s' if count != 1 else ''}"
    rows = [Row((Entry.of(name), *(with_best(entries) if whole else entries)), total=True)]
    there = [method for method in grid.methods if any(grid.scores(pair[0])[method] or grid.scores(pair[1])[method])]
    shared = [name for name in grid.objects if all(grid.values(m, name, each) for each in there for m in pair)]
    if not whole and len(there) > 1 and shared:
        entries = [
            mean_entry([grid.mean(metric, method, shared) for metric in pair], len(shared), notes)
            if method in there
            else Entry.of(NEVER_RUN)
            for method in grid.methods
        ]
        words = f"Mean of the {len(shared)} that all have"
        rows.append(Row((Entry.of(words), *with_best(entries)), total=True))
    return rows


def method_table(grid: Grid) -> Table:
    """What is not AUROC, a method a row, as means over objects."""
    notes, rows = Notes(), []
    columns = {
        "AUPRO": ("aupro", percent_of),
        "F1": ("image_f1", percent_of),
        "Recall": ("recall", percent_of),
        "False positives": ("fpr", percent_of),
        "Fit, s": ("fit_seconds", seconds),
        "Query, s": ("query_seconds", seconds),
        "Memory, GB": ("peak_bytes", gigabytes),
        "GPU memory, GB": ("peak_device_bytes", gigabytes),
    }
    for method in grid.methods:
        reports, marks = grid.reports(method), method_marks(grid, method, notes)
        done = sum(bool(grid.at(name, method)) for name in grid.objects)
        if done < len(grid.objects) and done:
            marks.append(notes.symbol(PART_MARK, PART_NOTE))
        marks += failure_marks(grid, method, notes)
        entries = [Entry.of(method, marks), Entry.of(f"{done} of {len(grid.objects)}")]
        for metric, show in columns.values():
            found = grid.mean(METRICS[metric], method)
            partial = found is not None and found.objects < done
            remark = f"{found.objects} objects" if found is not None and partial else ""
            empty = UNDEFINED if reports else NEVER_RUN
            entries.append(Entry.of(empty if found is None else show(found), remark=remark))
        rows.append(Row(tuple(entries)))
    if any(entry.parts[0].text == UNDEFINED for row in rows for entry in row.entries):
        notes.symbol(UNDEFINED, "Not defined, not known on that system, or without a GPU.")
    caption = (
        "Means over objects, in per cent where no unit is said. F1, recall and the share of good queries that are "
        "called defective hold at the threshold set by held-out normal views. AUPRO: false positive rate up to 0.3. "
        "A query's seconds are the median of an object's; memory is the peak of the process."
    )
    if len({machine_of(report) for report in grid.reports()}) > 1:
        caption += " The runs were made on different machines, so seconds and memory do not compare."
    heads = tuple(Entry.of(words) for words in ("Method", "Objects", *columns))
    return Table(
        "methods", "QueryResult, time and memory by method", caption, heads, tuple(rows), notes.all, circumstances(grid)
    )


def percent_of(mean: Mean) -> str:
    """A mean in per cent."""
    return percent(mean.value, mean.std)


def seconds(mean: Mean) -> str:
    """Seconds with three significant digits."""
    return number(mean.value)


def gigabytes(mean: Mean) -> str:
    """Bytes as units of 10⁹."""
    return f"{mean.value / 1e9:.2f}"


def kind_table(grid: Grid) -> Table:
    """Pixel and image AUROC, a kind of defect a row, a method a column, as means over the objects with that kind."""
    notes, rows = Notes(), []
    heads = (Entry.of("Defect"), *(method_name(grid, method, notes) for method in grid.methods))
    for kind in grid.kinds:
        pair: Pair = (of_kind(AUROCS[0], kind), of_kind(AUROCS[1], kind))
        having = [name for name in grid.objects if has_kind(grid, name, kind)]
        entries = [
            mean_entry([grid.mean(metric, method, having) for metric in pair], len(having), notes)
            if grid.reports(method)
            else without_result(grid, method, notes)
            for method in grid.methods
        ]
        whole = not any(PART_MARK in entry.marks for entry in entries)
        rows.append(Row((Entry.of(kind, remark=objects_of(len(having))), *(with_best(entries) if whole else entries))))
    caption = (
        "Pixel AUROC / image AUROC in per cent of each kind against all good queries, means over the objects that "
        "have the kind; the best of a row stands out where all methods have all objects."
    )
    return Table("kinds", "AUROC by kind of defect", caption, heads, tuple(rows), notes.all, circumstances(grid))


def objects_of(count: int) -> str:
    """A number of objects in words."""
    return f"{count} object{'s' if count != 1 else ''}"


def has_kind(grid: Grid, object_name: str, kind: str) -> bool:
    """Whether an object has queries with this kind of defect."""
    return any(kind in report.evaluation.per_defect for m in grid.methods for report in grid.at(object_name, m))


def rank_table(grid: Grid, rankings: Sequence[Ranking]) -> Table:
    """The methods' average ranks by each metric, the best of the last one first."""
    notes = Notes()
    last = rankings[-1].rank_of if rankings else {}
    rows = []
    for method in sorted(grid.methods, key=lambda each: last.get(each, float("inf"))):
        entries = []
        for ranking in rankings:
            rank = ranking.rank_of.get(method)
            best = rank is not None and len(ranking.ranks) > 1 and rank == min(ranking.ranks)
            entries.append(Entry((Part(NEVER_RUN if rank is None else f"{rank:.2f}", best),)))
        rows.append(Row((method_name(grid, method, notes), *entries)))
    heads = (
        Entry.of("Method"),
        *(Entry.of(ranking.metric, remark=objects_of(len(ranking.objects))) for ranking in rankings),
    )
    caption = "Average rank over the objects that all ranked methods have; 1 is best, equal values share their ranks."
    return Table("ranks", "Ranks", caption, heads, tuple(rows), notes.all, circumstances(grid))
