"""The benchmark's tables: what stands where, which marks, and that every form of them can be read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from bench.frame import AUROCS, COLUMNS, DONE, FAILED, results_frame, runs_in
from bench.page import all_tables, write_tables
from bench.published import PRINTED_MARK, Published, paper_table, points_text, read_published
from bench.runs import RunResult
from bench.tables import FAST_MARK, PART_MARK, SEEDS_MARK, STAND_IN_MARKS, auroc_table, defect_table, method_table
from bench.typeset import BOLD, END_BOLD, Table, as_latex, as_markdown, bold, raised
from evaluation.results import STAND_IN_REMARKS
from tests.bench.results import done, failed, run
from utils.weights import RANDOM

PUBLISHED = Published(
    pd.DataFrame(
        {"pixel_auroc": [90.0, 94.0], "image_auroc": [60.0, 62.0]},
        pd.MultiIndex.from_tuples([("Gorilla", "A"), ("Unicorn", "A")], names=["object", "method"]),
    ),
    pd.DataFrame({"pixel_auroc": [92.0], "image_auroc": [63.0]}, pd.Index(["A"], name="method")),
)


@pytest.fixture
def results() -> list[RunResult]:
    """Two methods on two objects; A twice on the first, B not on the second, where it failed."""
    kinds = {"Burrs": (0.7, 0.6), "Stains": (0.9, 0.8)}
    return [
        done(run("01Gorilla", "A", 0), 0.80, 0.60, kinds),
        done(run("01Gorilla", "A", 1), 0.90, 0.70, kinds),
        done(run("01Gorilla", "B", 0, fast=True), 0.95, 0.50, kinds, weights=RANDOM),
        done(run("02Unicorn", "A", 0), 0.70, None),
        failed(run("02Unicorn", "B", 0, fast=True), "no <memory> & 100 % full"),
    ]


@pytest.fixture
def frame(results: list[RunResult]) -> pd.DataFrame:
    return results_frame(results)


def write_all(results: list[RunResult], folder: Path) -> list[Path]:
    frame = results_frame(results)
    return write_tables(frame, all_tables(frame), folder)


def test_rows_means_and_marks(frame: pd.DataFrame) -> None:
    table = auroc_table(frame)
    gorilla, unicorn, mean, shared = table.cells.to_numpy().tolist()
    assert gorilla == [f"85.0 ± 7.1 / {bold('65.0 ± 7.1')}", f"{bold('95.0')} / 50.0"]
    assert unicorn == ["70.0 / n/a", "failed" + raised("1")]
    assert table.used_notes["1"] == "02Unicorn/B/seed0 failed: no <memory> & 100 % full" and "n/a" in table.used_notes
    assert mean == [
        "77.5 / 65.0 ± 7.1" + raised(PART_MARK) + " (1 and 2 of 2)",
        "95.0 / 50.0" + raised(PART_MARK) + " (1 of 2)",
    ]
    assert list(table.cells.index)[2:] == [bold("Mean of 2 objects"), bold("Mean of the 1 object that all have")]
    assert shared == gorilla
    assert list(table.cells.columns) == ["A", "B" + raised("†random", FAST_MARK)]


def test_seeds_without_a_result_are_marked() -> None:
    frame = results_frame([done(run("a", "A", 0), 0.8, 0.6), failed(run("a", "A", 1), "why")])
    assert auroc_table(frame).cells.iloc[0, 0] == "80.0 / 60.0" + raised(SEEDS_MARK, "1") + " (1 of 2 seeds)"


def test_a_method_with_random_weights_on_some_objects_is_marked_there_too() -> None:
    frame = results_frame([done(run("a", "A"), 0.8, 0.6), done(run("b", "A"), 0.8, 0.6, weights=RANDOM)])
    assert auroc_table(frame).cells.iloc[:2, 0].tolist() == ["80.0 / 60.0", "80.0 / 60.0" + raised("†random")]


def test_a_stand_in_is_marked_in_every_form_of_every_table(tmp_path: Path) -> None:
    runs = [done(run("01Gorilla", "A"), 0.8, 0.6, weights="lite0:01ab"), done(run("01Gorilla", "B"), 0.9, 0.7)]
    write_all(runs, tmp_path)
    sentence = STAND_IN_REMARKS["lite0"].replace("'", "&#39;")
    page = (tmp_path / "index.html").read_text()
    assert f"A (†lite0): {sentence}" in page and "A<sup>†lite0</sup>" in page
    assert "B<sup>" not in page and "†random" not in page
    markdown = (tmp_path / "table.md").read_text()
    assert "A<sup>†lite0</sup>" in markdown and STAND_IN_REMARKS["lite0"] in markdown
    assert r"A\textsuperscript{\textdagger{}lite0}" in (tmp_path / "table.tex").read_text()
    table = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    assert table.groupby("method")["stand_in"].unique().map(list).to_dict() == {"A": ["lite0"], "B": [""]}
    assert set(STAND_IN_MARKS) | {""} == set(STAND_IN_REMARKS)


def test_types_of_defect_are_means_over_the_objects_that_have_them(frame: pd.DataFrame) -> None:
    cells = defect_table(frame).cells
    assert list(cells.index) == ["Burrs (1 object)", "Stains (1 object)"]
    assert cells.iloc[0, 0].replace(BOLD, "").replace(END_BOLD, "") == "70.0 ± 0.0 / 60.0 ± 0.0"


def test_other_figures_by_method(frame: pd.DataFrame) -> None:
    row = method_table(frame).cells.iloc[0]
    assert row["Objects"] == "2 of 2" and row["AUPRO"] == "50.0" and row["Memory, GB"] == "2.00"
    assert (row["Query, s"], row["Fit, s"], row["GPU memory, GB"]) == ("0.200", "12.5", "n/a")
    assert "different machines" not in method_table(frame).caption


def test_the_long_table_has_every_figure_of_every_run_at_full_precision(
    results: list[RunResult], tmp_path: Path
) -> None:
    write_all(results, tmp_path)
    table = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    assert list(table.columns) == list(COLUMNS)
    for one in results:
        rows = table[
            (table.object == one.run.object_name) & (table.method == one.run.method) & (table.seed == one.run.seed)
        ]
        if one.report is None:
            assert rows.metric.tolist() == [FAILED] and rows.note.tolist() == [one.failure]
            continue
        groups = {"": one.report.evaluation.overall, **one.report.evaluation.per_defect}
        assert set(rows.defect_type) == set(groups)
        for kind, figures in groups.items():
            found = dict(zip(rows.metric[rows.defect_type == kind], rows.value[rows.defect_type == kind]))
            for metric in (*AUROCS, "aupro", "image_f1", "recall", "fpr"):
                value = getattr(figures, metric)
                assert (metric in found) == (value is not None) and (value is None or float(found[metric]) == value)
        assert dict(zip(rows.metric, rows.value))["peak_bytes"] == str(2e9)


def test_printed_means_that_the_rows_do_not_give_are_marked(frame: pd.DataFrame) -> None:
    table = paper_table(frame, PUBLISHED)
    assert table is not None and "not measured here" in table.title
    assert table.cells["A"].tolist() == [
        "90.0 / 60.0",
        "94.0 / 62.0",
        "92.00 / 61.00",
        f"92.0 / 63.0{raised(PRINTED_MARK)}",
    ]
    assert "A image 63.0, rows 61.00" in table.used_notes[PRINTED_MARK]


def test_objects_that_the_paper_does_not_have_stand_beside_its_means(frame: pd.DataFrame) -> None:
    teapot = results_frame([done(run("teapot", "A"), 0.5, 0.5)])
    table = paper_table(teapot, PUBLISHED)
    assert table is not None and "another data set" in table.caption
    assert table.cells.index.tolist() == ["Mean of all 2 rows", "Mean as the paper prints it"]
    known = paper_table(frame, PUBLISHED)
    assert known is not None and "another data set" not in known.caption
    assert paper_table(results_frame([done(run("teapot", "Z"), 0.5, 0.5)]), PUBLISHED) is None


def test_the_papers_own_rows_and_means() -> None:
    published = read_published()
    assert len(published.objects) == 20
    assert set(published.rows.index.unique("method")) == set(published.printed.index)
    wrong = published.disagreements()
    for method, printed in published.printed.iterrows():
        for metric, value in printed.items():
            rows = [published.rows.at[(name, method), metric] for name in published.objects]
            known = [row for row in rows if row == row]
            assert wrong.at[method, metric] == (bool(known) and abs(sum(known) / len(known) - value) > 0.1 + 1e-9)
    assert wrong.to_numpy().sum() == 7  # the paper does contradict itself
    assert points_text(98.35) == "98.4"


NASTY = "a_b & 50 % | <i>*x*</i> \\ {~^#$}"
CELLS = pd.DataFrame([[bold("1.0 ± 2.0") + " / 3.0" + raised("1") + NASTY]], [NASTY], [NASTY + raised("†")])
NASTY_TABLE = Table("nasty", NASTY, NASTY, CELLS.rename_axis("Object"), {"1": NASTY, "†": "random", "2": "unused"})


def test_markdown_keeps_its_columns_whatever_the_names() -> None:
    text = as_markdown(NASTY_TABLE)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3 and {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert "<i>" not in text and "**1.0 ± 2.0** / 3.0<sup>1</sup>" in text
    assert "random" in text and "unused" not in text


def test_latex_keeps_its_columns_whatever_the_names() -> None:
    text = as_latex(NASTY_TABLE)
    row = next(line for line in text.splitlines() if r"\textbf{1.0 $\pm$ 2.0}" in line)
    assert len(re.findall(r"(?<!\\)&", row)) == 1 and row.endswith(r"\\")
    assert not re.search(r"(?<!\\)[%#]", text.replace("{!}{%", "{!}{"))
    plain = text.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}") and plain.count(r"\begin") == plain.count(r"\end")


def test_runs_with_one_failure_share_its_note() -> None:
    reasons = ["a  b", "c", "a b", *["a\nb"] * 3]
    frame = results_frame([failed(run(f"x{n}", "A"), why) for n, why in enumerate(reasons)])
    assert len(runs_in(frame, FAILED)) == 6 and runs_in(frame, DONE).empty
    table = auroc_table(frame)
    assert [cell.strip("failed") for cell in table.cells["A"]][:3] == [raised("1"), raised("2"), raised("1")]
    assert table.notes["1"] == "x0/A/seed0, x2/A/seed0, x3/A/seed0, x4/A/seed0 and 1 more failed: a b"


class Page(HTMLParser):
    """Tables with their texts, and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
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
            self.cells.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data


def test_the_page_stands_alone_and_shows_what_the_tables_say(results: list[RunResult], tmp_path: Path) -> None:
    (tmp_path / "gallery.png").write_bytes(b"\x89PNG\r\n\x1a\nnone")
    written = write_all(results, tmp_path)
    assert {path.name for path in written} == {"table.md", "table.csv", "table.tex", "index.html"}
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.fetched and all(each.startswith("data:") for each in page.fetched)
    assert "memory" not in page.tags and "script" not in page.tags
    shown = " ".join(" ".join(page.cells).split())
    for value in ("85.0 ± 7.1", "65.0 ± 7.1", "failed", "Gorilla", "77.5"):
        assert value in shown
    assert "no <memory>" not in text and "no &lt;memory&gt;" in text
    before = {path.name: path.read_bytes() for path in written}
    write_all(results, tmp_path)
    assert {path.name: path.read_bytes() for path in written} == before


def test_the_page_shows_the_critical_difference(tmp_path: Path) -> None:
    results = [
        done(run(name, method), 0.9 - 0.1 * place, 0.8 - 0.01 * place)
        for name in "abcd"
        for place, method in enumerate(("First", "Second", "Third"))
    ]
    write_all(results, tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count("data:image/svg+xml;base64,") == 2 and "critical difference at 5 %" in text
    write_all(results, tmp_path)
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == text


def test_a_benchmark_without_any_result_still_has_its_tables(tmp_path: Path) -> None:
    write_all([failed(run("a", "A"), "why"), failed(run("a", "B"), "why")], tmp_path)
    assert "Nothing is measured yet" in (tmp_path / "table.md").read_text(encoding="utf-8")
    write_all([RunResult(run("a", "A"))], tmp_path)
    assert "never run" in (tmp_path / "index.html").read_text(encoding="utf-8")
