"""The paper's figures of a benchmark's objects and methods, and the means that it prints of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.grid import AUROCS, Grid
from bench.published import Published, paper_method
from bench.table_formats import NEVER_RUN, Entry, Notes, Part, Row, Table

PRINTED_MARK = "≠"


def paper_pair(points: Mapping[str, float | None], places: int = 1) -> str:
    """Pixel and image AUROC as the paper has them; empty where it has neither."""
    values = [points.get(metric) for metric in AUROCS]
    if all(value is None for value in values):
        return ""
    return " / ".join(NEVER_RUN if value is None else points_text(value, places) for value in values)


def points_text(value: float, places: int = 1) -> str:
    """Points as a person rounds them.

    >>> points_text(98.35), f"{98.35:.1f}"
    ('98.4', '98.3')
    """
    return f"{value + 1e-9:.{places}f}"


def paper_table(grid: Grid, published: Published) -> Table | None:
    """The paper's figures of our objects and methods; None where it knows none of them."""
    methods = [method for method in grid.methods if any(published.of(name, method) for name in grid.objects)]
    objects = [name for name in grid.objects if any(published.of(name, method) for method in methods)]
    if not objects:
        return None
    notes = Notes()
    pairs = [(name, [published.of(name, method) for method in methods]) for name in objects]
    rows = [Row((Entry.of(name), *(paper_entry(points) for points in row))) for name, row in pairs]
    if len(objects) < len(published.objects):
        rows.append(paper_mean_row(f"Mean of these {len(objects)} rows", published, methods, objects))
    rows.append(paper_mean_row(f"Mean of all {len(published.objects)} rows", published, methods, published.objects))
    rows.append(printed_row(published, methods, notes))
    caption = (
        "Pixel AUROC / image AUROC in per cent on MAD-Sim, as printed in arXiv:2310.07716, section 3.4, and our means "
        "of its rows. The paper's OmniposeAD stands beside every method here that is named after it."
    )
    heads = (Entry.of("Object"), *(Entry.of(method) for method in methods))
    return Table("paper", "The paper's numbers", caption, heads, tuple(rows), notes.all, from_paper=True)


def paper_entry(points: Mapping[str, float | None]) -> Entry:
    """Figures of the paper."""
    return Entry.of(paper_pair(points) or NEVER_RUN)


def paper_mean_row(words: str, published: Published, methods: Sequence[str], objects: Sequence[str]) -> Row:
    """Our means of some of the paper's rows."""
    means = [{metric: published.mean_of(method, metric, list(objects)) for metric in AUROCS} for method in methods]
    return Row((Entry.of(words), *(Entry.of(paper_pair(points, 2) or NEVER_RUN) for points in means)), total=True)


def printed_row(published: Published, methods: Sequence[str], notes: Notes) -> Row:
    """The means that the paper prints, with a mark where its rows do not give them."""
    known = {paper_method(method) for method in methods}
    wrong = {(one.method, one.metric): one for one in published.disagreements() if one.method in known}
    each = [
        f"{one.method} {one.metric.split('_')[0]} {one.printed:.1f}, rows {points_text(one.of_rows, 2)}"
        for one in wrong.values()
    ]
    if wrong:
        notes.symbol(PRINTED_MARK, f"Printed means that the paper's own rows do not give: {'; '.join(each)}.")
    entries = []
    for method in map(paper_method, methods):
        points = published.printed.get(method, {})
        signs = [PRINTED_MARK if (method, metric) in wrong else "" for metric in AUROCS]
        texts = [f"{points[metric]:.1f}" if metric in points else NEVER_RUN for metric in AUROCS]
        entries.append(Entry(tuple(Part(f"{text}{sign}") for text, sign in zip(texts, signs))))
    return Row((Entry.of("Mean as the paper prints it"), *entries), total=True)
