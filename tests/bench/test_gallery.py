"""The qualitative figure: which queries, which colours, how large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.config import BenchmarkConfig
from bench.gallery import disagreement, draw, first_seeds, most_disputed, scale_of, select_queries, write_gallery
from bench.runs import Run, RunResult
from evaluation.results import QueryResult, anomaly_map_path, verdict_at
from report.figure import WRONG
from tests.bench.reports import report
from tests.mad_folder import write_object
from utils.errors import InputError
from utils.images import write_map

NAMES = ("Burrs/0", "Burrs/1", "good/0", "good/1")


def result(folder: Path, object_name: str, method: str, scores: tuple[float, ...], seed: int = 0) -> RunResult:
    """A done run with these scores of NAMES; its maps lie on disk and rise from left to right."""
    run = Run(object_name, method, seed, BenchmarkConfig(str(folder / "data"), str(folder / "runs")))
    queries = [
        QueryResult(name, score, verdict_at(score, 0.5), False, None, 0.1, name.split("/")[0])
        for name, score in zip(NAMES, scores)
    ]
    for index, name in enumerate(NAMES):
        write_map(anomaly_map_path(run.folder, name), torch.arange(16.0).expand(16, 16) + 16 * index)
    return RunResult(run, report(object_name, {}, queries))


@pytest.fixture
def results(tmp_path: Path) -> list[RunResult]:
    for name in ("toy", "cup"):
        write_object(tmp_path / "data" / name)
    return [
        result(tmp_path, "toy", "A", (0.1, 0.9, 0.2, 0.3), seed=1),
        result(tmp_path, "toy", "A", (0.9, 0.4, 0.2, 0.3)),
        result(tmp_path, "toy", "B", (7.0, 3.0, 9.0, 1.0)),
        result(tmp_path, "cup", "A", (0.1, 0.2, 0.3, 0.4)),
        RunResult(
            Run("cup", "B", 0, BenchmarkConfig(str(tmp_path / "data"), str(tmp_path / "runs"))), failure="It failed."
        ),
    ]


def test_the_first_seed_that_is_done_is_shown(results: list[RunResult]) -> None:
    table = first_seeds(results)
    assert {name: list(methods) for name, methods in table.items()} == {"toy": ["A", "B"], "cup": ["A"]}
    assert table["toy"]["A"] is results[1]
    assert first_seeds(results[:1])["toy"]["A"].run.seed == 1
    with pytest.raises(InputError, match="no run of the benchmark is done"):
        first_seeds(results[-1:])


def test_disagreement_is_the_deviation_of_the_ranks(results: list[RunResult]) -> None:
    # ranks of A: 4, 3, 1, 2; of B: 3, 2, 4, 1; a half of each difference, of four queries
    by_hand = {"Burrs/0": 0.125, "Burrs/1": 0.125, "good/0": 0.375, "good/1": 0.125}
    assert disagreement(first_seeds(results)["toy"]) == pytest.approx(by_hand)
    assert set(disagreement(first_seeds(results)["cup"]).values()) == {0.0}


def test_the_most_disputed_queries_are_shown_where_none_are_named(
    results: list[RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = first_seeds(results)
    # one an object, most disagreement first, defects before good ones; ties by name
    assert most_disputed(table) == [("toy", "Burrs/0"), ("cup", "Burrs/0"), ("toy", "good/0"), ("cup", "good/0")]
    monkeypatch.setattr("bench.gallery.MOST_ROWS", 3)
    assert most_disputed(table) == [("toy", "Burrs/0"), ("toy", "good/0")]


def test_queries_are_named_with_or_without_their_object(results: list[RunResult]) -> None:
    table = first_seeds(results)
    assert select_queries(table, ["good/1", "cup/Burrs/0"]) == [
        ("toy", "good/1"),
        ("cup", "good/1"),
        ("cup", "Burrs/0"),
    ]
    assert select_queries(table, ["toy/good/1", "toy/good/1"]) == [("toy", "good/1")]
    with pytest.raises(InputError, match=r"no query 'Burr/0' in toy, cup; did you mean Burrs/0\?"):
        select_queries(table, ["good/1", "Burr/0"])


def test_colours_span_the_maps_of_all_queries(results: list[RunResult]) -> None:
    scale = scale_of(results[1])
    everything = np.repeat(np.arange(64.0), 16)  # four maps of 0 … 15, 16 … 31 and so on
    assert (scale.low, scale.high) == pytest.approx(tuple(np.quantile(everything, (0.5, 0.999))))


def test_figure_has_a_row_a_query_and_a_column_a_method(results: list[RunResult], tmp_path: Path) -> None:
    table = first_seeds(results)
    figure = draw(table, [("toy", "Burrs/1"), ("cup", "Burrs/1")], ["A", "B"], "Some words.")
    *cells, bar = figure.axes
    assert [axis.get_title() for axis in cells[:4]] == ["Query", "Ground truth", "A", "B"] and len(cells) == 8
    assert cells[0].get_ylabel() == "toy\nBurrs/1" and bar.get_xlabel() == "Some words."
    shown = [np.asarray(axis.images[0].get_array()) for axis in cells[:3]]
    assert (shown[1] > 200).all(-1).sum() == 9  # the mask of 3 × 3 pixels
    assert not (shown[2] == shown[0]).all() and len(cells[2].patches) == 1 and not cells[0].patches
    assert [cells[column].xaxis.label.get_color() == WRONG for column in (2, 3)] == [True, False]  # A calls it good
    assert cells[7].texts[0].get_text() == "no result"
    with Image.open(write_gallery(results, tmp_path / "out", ["Burrs/1"])) as image:
        assert min(image.size) > 300


def test_results_of_images_that_are_gone(results: list[RunResult], tmp_path: Path) -> None:
    (tmp_path / "data/toy/test/Burrs/1.png").unlink()
    with pytest.raises(InputError, match="no query Burrs/1 any more"):
        write_gallery(results, tmp_path / "out", ["toy/Burrs/1"])
    assert not (tmp_path / "out").exists()
