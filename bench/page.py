"""What a benchmark writes of its results: table.md, table.csv, table.tex, and index.html, one file with everything."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.frame import (
    AUROCS,
    DONE,
    FAILED,
    NEVER_RUN,
    describe_runs,
    methods_in,
    objects_in,
    runs_in,
    scores_by_object,
)
from bench.published import paper_table, read_published
from bench.rank_figure import rank_figure
from bench.ranks import Ranking, rank_methods
from bench.tables import (
    NOTES,
    auroc_table,
    defect_table,
    method_marks,
    method_table,
    percent,
    rank_table,
    stand_in_cautions,
)
from bench.typeset import LATEX_HEAD, Table, as_latex, as_markdown
from report.template import load_template, read_assets
from utils.checkpoint import write_text
from utils.text import MISSING

TEMPLATES = Path(__file__).resolve().parent / "templates"
FIGURES = {  # file name patterns of the figures in the folder → what the page says of them
    "gallery*.png": "Queries, ground truth and the methods' heat maps",
    "correl*.png": "AUROC and the objects' attributes",
    "scatter_*.png": "AUROC and the objects' attributes",
}
METRIC_NAMES = dict(zip(AUROCS, ("Pixel AUROC", "Image AUROC")))


def write_tables(frame: pd.DataFrame, tables: Sequence[Table], output_dir: Path) -> list[Path]:
    """Write some tables of a benchmark and its page; the figures in the folder go into the page.

    Args:
        frame: of all runs that were asked for, done, failed or never tried.
        output_dir: gets table.md, table.csv, table.tex and index.html, each atomically.
    Returns:
        The files written.
    """
    rankings = rankings_of(frame)
    texts = {
        "table.md": "\n".join(["# Benchmark\n", *map(as_markdown, tables)]),
        "table.csv": frame[frame["metric"] != NEVER_RUN].to_csv(index=False),
        "table.tex": "\n".join([LATEX_HEAD, *map(as_latex, tables)]),
        "index.html": as_html(frame, tables, rankings, output_dir),
    }
    for name, text in texts.items():
        write_text(output_dir / name, text)
    return [output_dir / name for name in texts]


def scores_of(frame: pd.DataFrame, metric: str) -> dict[str, dict[str, float]]:
    """Return the scores of the methods that have any."""
    return {method: scores for method, scores in scores_by_object(frame, metric).items() if scores}


def rankings_of(frame: pd.DataFrame) -> list[Ranking]:
    """Return the rankings by each AUROC."""
    return [rank_methods(words, scores_of(frame, metric)) for metric, words in METRIC_NAMES.items()]


def all_tables(frame: pd.DataFrame) -> list[Table]:
    """Return all tables; the paper's where it knows any of our objects and methods."""
    paper, ranks = paper_table(frame, read_published()), rank_table(frame, rankings_of(frame))
    tables = [auroc_table(frame), paper, method_table(frame), defect_table(frame), ranks]
    return [table for table in tables if table is not None and len(table.cells)]


def as_html(frame: pd.DataFrame, tables: Sequence[Table], rankings: Sequence[Ranking], output_dir: Path) -> str:
    """Return the page, which needs no other file and no network."""
    marks = {method: "".join(method_marks(frame, method)) for method in methods_in(frame)}
    return load_template("benchmark.html", TEMPLATES).render(
        style=read_assets("report.css"),
        tables=tables,
        objects=len(objects_in(frame)),
        methods=len(marks),
        counts={state: len(runs_in(frame, state)) for state in (DONE, FAILED, NEVER_RUN)},
        circumstances=describe_runs(frame),
        cautions=stand_in_cautions(marks),
        ranks=[(ranking.metric, data_url("svg+xml", rank_figure(ranking, marks))) for ranking in rankings],
        panels=list(bars_by_object(frame)),
        marks=marks,
        notes={mark: text for mark, text in NOTES.items() if any(mark in each for each in marks.values())},
        figures=figures_in(output_dir),
    )


def bars_by_object(frame: pd.DataFrame) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each object that has any AUROC with its methods' bars: widths in per cent and the values as text."""
    scores = [scores_by_object(frame, metric) for metric in AUROCS]
    for name in objects_in(frame):
        bars = []
        for method in methods_in(frame):
            values = [each[method].get(name) for each in scores]
            text = " / ".join(MISSING if value is None else percent(value) for value in values)
            bars.append({"method": method, "text": text, "widths": [value and 100 * value for value in values]})
        if any(width is not None for bar in bars for width in bar["widths"]):
            yield name, bars


def data_url(kind: str, content: bytes) -> str:
    """Return an image as a ``data:`` URL; empty where there is none.

    >>> data_url("png", b"abc")
    'data:image/png;base64,YWJj'
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}" if content else ""


def figures_in(output_dir: Path) -> list[tuple[str, str]]:
    """Return what the page says of each figure in the folder, and the figure as a ``data:`` URL."""
    found = {path: words for pattern, words in FIGURES.items() for path in sorted(output_dir.glob(pattern))}
    return [(words, data_url("png", path.read_bytes())) for path, words in found.items() if path.is_file()]
