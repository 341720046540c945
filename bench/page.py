"""What a benchmark writes of its results: table.md, table.csv, table.tex, and index.html, one file with everything."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.grid import AUROCS, METRICS, Grid, circumstances
from bench.paper_table import paper_table
from bench.published import Published, read_published
from bench.rank_diagram import diagram
from bench.ranks import Ranking, rank_methods, sentences
from bench.runs import RunResult
from bench.table_csv import as_csv
from bench.table_formats import NEVER_RUN, Notes, Table, as_latex, as_markdown, markdown_escape
from bench.tables import auroc_table, kind_table, method_marks, method_table, percent, rank_table
from report.pages import inlined, template
from utils.checkpoint import write_text

FIGURES = {  # file name patterns of the figures that other programs leave in the folder → what the page says of them
    "gallery*.png": "Queries, ground truth and the methods' heat maps",
    "correl*.png": "AUROC and the objects' attributes",
    "scatter_*.png": "AUROC and the objects' attributes",
}
TEMPLATES = Path(__file__).resolve().parent / "templates"
SHOWN = dict(zip(AUROCS, ("Pixel AUROC", "Image AUROC")))


def write_tables(results: list[RunResult], output_dir: Path) -> list[Path]:
    """Write the benchmark's tables and its page; the figures that lie in the folder go into the page.

    Args:
        results: all runs that were asked for, done, failed or never tried.
        output_dir: gets table.md, table.csv, table.tex and index.html, each whole or not at all.
    Returns:
        The files written.
    """
    grid, published = Grid(results), read_published()
    rankings = [rank_methods(words, nonempty(grid.scores(METRICS[name]))) for name, words in SHOWN.items()]
    tables = tables_of(grid, published, rankings)
    test = "".join(f"- {markdown_escape(' '.join(sentences(ranking)))}\n" for ranking in rankings)
    head = ["% \\usepackage{booktabs,graphicx}, \\usepackage[T1]{fontenc}"]
    texts = {
        "table.md": "\n".join(["# Benchmark\n", *map(as_markdown, tables), test]),
        "table.csv": as_csv(grid),
        "table.tex": "\n".join([*head, *map(as_latex, tables)]),
        "index.html": as_html(grid, tables, rankings, output_dir),
    }
    for name, text in texts.items():
        write_text(output_dir / name, text)
    return [output_dir / name for name in texts]


def nonempty(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The methods that have any score."""
    return {method: objects for method, objects in scores.items() if objects}


def tables_of(grid: Grid, published: Published, rankings: Sequence[Ranking]) -> list[Table]:
    """All tables; the paper's where it knows any of our objects and methods."""
    paper = paper_table(grid, published)
    ours = [auroc_table(grid, published), method_table(grid), kind_table(grid), rank_table(grid, rankings)]
    return ours[:1] + ([paper] if paper else []) + [table for table in ours[1:] if table.rows]


def as_html(grid: Grid, tables: Sequence[Table], rankings: Sequence[Ranking], output_dir: Path) -> str:
    """The page, which needs no other file and no network."""
    notes = Notes()
    marks = {method: "".join(method_marks(grid, method, notes)) for method in grid.methods}
    return template("benchmark.html", TEMPLATES).render(
        style=inlined("report.css"),
        tables=tables,
        counts=counts(grid),
        circumstances=circumstances(grid),
        random=[method for method in grid.methods if grid.is_random(method)],
        ranks=[(ranking.metric, diagram(ranking, marks), sentences(ranking)) for ranking in rankings],
        panels=panels(grid),
        marks=marks,
        notes=notes.all,
        figures=figures(output_dir),
    )


def counts(grid: Grid) -> dict[str, int]:
    """How many runs there are of each kind."""
    done = len(grid.reports())
    failed = sum(len(grid.failures(method)) for method in grid.methods)
    runs = sum(len(results) for results in grid.places.values())
    return {
        "objects": len(grid.objects),
        "methods": len(grid.methods),
        "runs": runs,
        "done": done,
        "failed": failed,
        "never": runs - done - failed,
    }


@dataclass(frozen=True)
class Bars:
    """A method's AUROCs on one object: pixel, then image."""

    method: str
    widths: tuple[float | None, ...]  # per cent
    text: str


def panels(grid: Grid) -> list[tuple[str, list[Bars]]]:
    """Each object that has results with its methods' bars."""
    scores = [grid.scores(METRICS[name]) for name in AUROCS]
    found = []
    for object_name in grid.objects:
        bars = []
        for method in grid.methods:
            values = [each[method].get(object_name) for each in scores]
            text = " / ".join(NEVER_RUN if value is None else percent(value) for value in values)
            widths = tuple(None if value is None else 100 * value for value in values)
            bars.append(Bars(method, widths, text if grid.at(object_name, method) else NEVER_RUN))
        if any(width is not None for each in bars for width in each.widths):
            found.append((object_name, bars))
    return found


def figures(output_dir: Path) -> list[tuple[str, str]]:
    """What the page says of each figure in the folder, and the figure as a ``data:`` URL."""
    found = {}
    for pattern, words in FIGURES.items():
        for path in sorted(output_dir.glob(pattern)):
            if path.is_file():
                found[path.name] = (words, "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
    return list(found.values())
