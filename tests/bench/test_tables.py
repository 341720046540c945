"""The benchmark's tables: what stands where, which marks, and that every form of them can be read."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.grid import METRICS, Grid
from bench.page import write_tables
from bench.paper_table import PRINTED_MARK, paper_table
from bench.published import Published, read_published
from bench.table_csv import as_csv
from bench.table_formats import Entry, Notes, Part, Row, Table, as_latex, as_markdown
from bench.tables import FAST_MARK, PART_MARK, RANDOM_MARK, SEEDS_MARK, auroc_table, kind_table, method_table
from tests.bench.results import done, failed, run
from utils.weights import RANDOM

PUBLISHED = Published(
    {
        ("Gorilla", "A"): {"pixel_auroc": 90.0, "image_auroc": 60.0},
        ("Unicorn", "A"): {"pixel_auroc": 94.0, "image_auroc": 62.0},
    },
    {"A": {"pixel_auroc": 92.0, "image_auroc": 63.0}},
)


def texts(entry: Entry) -> list[str]:
    return [part.text for part in entry.parts]


def best(entry: Entry) -> list[bool]:
    return [part.best for part in entry.parts]


@pytest.fixture
def grid() -> Grid:
    """Two methods on two objects; A twice on the first, B not on the second, where it failed."""
    kinds = {"Burrs": (0.7, 0.6), "Stains": (0.9, 0.8)}
    return Grid(
        [
            done(run("01Gorilla", "A", 0), 0.80, 0.60, kinds),
            done(run("01Gorilla", "A", 1), 0.90, 0.70, kinds),
            done(run("01Gorilla", "B", 0, fast=True), 0.95, 0.50, kinds, weights=RANDOM),
            done(run("02Unicorn", "A", 0), 0.70, None),
            failed(run("02Unicorn", "B", 0, fast=True), "no <memory> & 100 % full"),
        ]
    )


def test_places_means_marks_and_the_papers_figures(grid: Grid) -> None:
    table = auroc_table(grid, PUBLISHED)
    gorilla, unicorn, mean, shared = table.rows
    assert texts(gorilla.entries[1]) == ["85.0 ± 7.1", "65.0 ± 7.1"] and gorilla.entries[1].paper == "90.0 / 60.0"
    assert texts(gorilla.entries[2]) == ["95.0", "50.0"] and gorilla.entries[2].paper == ""
    assert best(gorilla.entries[1]) == [False, True] and best(gorilla.entries[2]) == [True, False]
    assert texts(unicorn.entries[1]) == ["70.0", "n/a"]
    assert texts(unicorn.entries[2]) == ["failed"] and unicorn.entries[2].marks == ("1",)
    name = grid.results[-1].run.name
    assert dict(table.notes)["1"] == f"{name} failed: no <memory> & 100 % full"
    assert texts(mean.entries[1])[0] == "77.5" and mean.entries[1].paper == "92.0 / 61.0"
    assert PART_MARK in mean.entries[2].marks and not any(any(best(entry)) for entry in mean.entries)
    assert texts(shared.entries[0]) == ["Mean of the 1 that all have"]
    assert texts(shared.entries[1])[0].startswith("85.0") and texts(shared.entries[2]) == ["95.0", "50.0"]
    assert table.heads[2].marks == (RANDOM_MARK, FAST_MARK) and table.heads[1].marks == ()


def test_seeds_without_a_result_are_marked() -> None:
    results = [done(run("a", "A", 0), 0.8, 0.6), failed(run("a", "A", 1), "why")]
    entry = auroc_table(Grid(results), PUBLISHED).rows[0].entries[1]
    assert entry.remark == "1 of 2 seeds" and entry.marks == (SEEDS_MARK, "1")


def test_kinds_are_means_over_the_objects_that_have_them(grid: Grid) -> None:
    rows = {texts(row.entries[0])[0]: row for row in kind_table(grid).rows}
    assert set(rows) == {"Burrs", "Stains"}
    assert texts(rows["Burrs"].entries[1])[0].startswith("70.0") and rows["Burrs"].entries[0].remark == "1 object"


def test_other_figures_by_method(grid: Grid) -> None:
    table = method_table(grid)
    heads = [texts(head)[0] for head in table.heads]
    row = dict(zip(heads, (texts(entry)[0] for entry in table.rows[0].entries)))
    assert row["Objects"] == "2 of 2" and row["AUPRO"].startswith("50.0") and row["Memory, GB"] == "2.00"
    assert float(row["Query, s"].split()[0]) == 0.2 and float(row["Fit, s"].split()[0]) == 12.5
    assert row["GPU memory, GB"] == "n/a"


def test_csv_has_every_figure_of_every_cell_at_full_precision(grid: Grid) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(grid))))
    for one in grid.results:
        where = (one.run.object_name, one.run.method, str(one.run.seed))
        found = {row["metric"]: row["value"] for row in rows if (row["object"], row["method"], row["seed"]) == where}
        if one.report is None:
            assert found == {"failed": ""}
            continue
        expected = {name: value for name, metric in METRICS.items() if (value := metric(one.report)) is not None}
        assert {name: float(found[name]) for name in expected} == expected
        assert {name for name in found if "/" in name} == {
            f"{name}/{kind}" for kind in one.report.evaluation.per_defect for name in ("pixel_auroc", "image_auroc")
        }


def test_printed_means_that_the_rows_do_not_give_are_marked(grid: Grid) -> None:
    table = paper_table(grid, PUBLISHED)
    assert table is not None and table.from_paper
    *_, mean, printed = table.rows
    assert texts(mean.entries[1]) == ["92.00 / 61.00"]
    assert (
        texts(printed.entries[1]) == ["92.0", f"63.0{PRINTED_MARK}"] and "rows 61.00" in dict(table.notes)[PRINTED_MARK]
    )
    assert paper_table(Grid([done(run("teapot", "A"), 0.5, 0.5)]), PUBLISHED) is None


def test_the_papers_own_rows_and_means() -> None:
    published = read_published()
    assert len(published.objects) == 20
    assert {method for _, method in published.rows} == set(published.printed)
    wrong = {(one.method, one.metric) for one in published.disagreements()}
    for method, points in published.printed.items():
        for metric, printed in points.items():
            rows = [published.rows[name, method].get(metric) for name in published.objects]
            known = [value for value in rows if value is not None]
            assert ((method, metric) in wrong) == (abs(sum(known) / len(known) - printed) > 0.1 + 1e-9)
    assert wrong  # the paper does contradict itself


NASTY = "a_b & 50 % | <i>*x*</i> \\ {~^#$}"
NASTY_TABLE = Table(
    "nasty",
    NASTY,
    NASTY,
    (Entry.of("Object"), Entry.of(NASTY, ["†"])),
    (Row((Entry.of(NASTY), Entry((Part("1.0 ± 2.0", best=True), Part("3.0")), ("1",), NASTY))),),
    (("1", NASTY),),
)


def test_markdown_keeps_its_columns_whatever_the_names() -> None:
    lines = [line for line in as_markdown(NASTY_TABLE).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert "<i>" not in as_markdown(NASTY_TABLE) and "**1.0 ± 2.0** / 3.0<sup>1</sup>" in as_markdown(NASTY_TABLE)


def test_latex_keeps_its_columns_whatever_the_names() -> None:
    text = as_latex(NASTY_TABLE)
    row = next(line for line in text.splitlines() if r"\textbf{1.0 $\pm$ 2.0}" in line)
    assert len(re.findall(r"(?<!\\)&", row)) == 1 and row.endswith(r"\\")
    assert not re.search(r"(?<!\\)[%#]", text.replace("{!}{%", "{!}{"))
    plain = text.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}") and plain.count(r"\begin") == plain.count(r"\end")


def test_cells_with_one_failure_share_its_note() -> None:
    notes = Notes()
    numbers = [notes.failure(why, f"run {n}") for n, why in enumerate(["a  b", "c", "a b", *["a\nb"] * 3])]
    assert numbers == ["1", "2", "1", "1", "1", "1"]
    assert notes.all[0] == ("1", "run 0, run 2, run 3, run 4 and 1 more failed: a b")


class Page(HTMLParser):
    """Tables with their texts, and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.runs: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [
            str(value) for key, value in attributes if key in ("src", "srcset") or (tag, key) == ("link", "href")
        ]
        if tag in ("td", "th"):
            self.runs.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.runs[-1] += data


def test_the_page_stands_alone_and_shows_what_the_tables_say(grid: Grid, tmp_path: Path) -> None:
    (tmp_path / "gallery.png").write_bytes(b"\x89PNG\r\n\x1a\nnone")
    written = write_tables(list(grid.results), tmp_path)
    assert {path.name for path in written} == {"table.md", "table.csv", "table.tex", "index.html"}
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.fetched and all(each.startswith("data:") for each in page.fetched)
    assert "memory" not in page.tags and "script" not in page.tags
    shown = " ".join(" ".join(page.runs).split())
    for value in ("85.0 ± 7.1", "65.0 ± 7.1", "failed", "Gorilla", "77.5"):
        assert value in shown
    assert "no <memory> & 100 % full" not in (tmp_path / "index.html").read_text(encoding="utf-8")
    before = {path.name: path.read_bytes() for path in written}
    write_tables(list(grid.results), tmp_path)
    assert {path.name: path.read_bytes() for path in written} == before


def test_a_benchmark_without_any_result_still_has_its_tables(tmp_path: Path) -> None:
    write_tables([failed(run("a", "A"), "why"), failed(run("a", "B"), "why")], tmp_path)
    assert "Nothing is measured yet" in (tmp_path / "table.md").read_text(encoding="utf-8")
