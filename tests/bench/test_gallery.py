"""The qualitative figure: which queries, which colours, how large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.config import BenchmarkConfig
from bench.gallery import (
    FOOT,
    GAP,
    HEAD,
    LEFT,
    LINE,
    MARGIN,
    SIDE,
    disagreement,
    first_seeds,
    left_of,
    named,
    scale_of,
    telling,
    write_gallery,
)
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


def test_the_most_telling_queries_are_shown_where_none_are_named(
    results: list[RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = first_seeds(results)
    # one an object, most disagreement first, defects before good ones; ties by name
    assert telling(table) == [("toy", "Burrs/0"), ("cup", "Burrs/0"), ("toy", "good/0"), ("cup", "good/0")]
    monkeypatch.setattr("bench.gallery.MOST_ROWS", 3)
    assert telling(table) == [("toy", "Burrs/0"), ("toy", "good/0")]


def test_queries_are_named_with_or_without_their_object(results: list[RunResult]) -> None:
    table = first_seeds(results)
    assert named(table, ["good/1", "cup/Burrs/0"]) == [("toy", "good/1"), ("cup", "good/1"), ("cup", "Burrs/0")]
    assert named(table, ["toy/good/1", "toy/good/1"]) == [("toy", "good/1")]
    with pytest.raises(InputError, match=r"no query 'Burr/0' in toy, cup; did you mean Burrs/0\?"):
        named(table, ["good/1", "Burr/0"])


def test_colours_span_the_maps_of_all_queries(results: list[RunResult]) -> None:
    scale = scale_of(results[1])
    everything = np.repeat(np.arange(64.0), 16)  # four maps of 0 … 15, 16 … 31 and so on
    assert (scale.low, scale.high) == pytest.approx(tuple(np.quantile(everything, (0.5, 0.999))))


def test_figure_has_a_row_a_query_and_a_column_a_method(results: list[RunResult], tmp_path: Path) -> None:
    path = write_gallery(results, tmp_path / "out", ["Burrs/1"])
    with Image.open(path) as picture:
        figure = np.asarray(picture)
    assert figure.shape[1] == LEFT + 4 * SIDE + 3 * GAP + MARGIN
    bottom = MARGIN + HEAD + 2 * (SIDE + FOOT + GAP)
    assert (figure.shape[0] - bottom - MARGIN) % LINE == 0 and figure.shape[0] > bottom + MARGIN + LINE

    def run(row: int, column: int, foot: bool = False) -> np.ndarray:
        top = MARGIN + HEAD + row * (SIDE + FOOT + GAP)
        rows = slice(top + SIDE, top + SIDE + FOOT) if foot else slice(top + 2, top + SIDE - 2)
        return figure[rows, left_of(column) + 2 : left_of(column) + SIDE - 2]

    white = (run(0, 1) > 200).all(-1).mean()
    assert white == pytest.approx(9 / 256, abs=0.01)  # the mask of 3 × 3 of 16 × 16 pixels
    assert (run(1, 3) == (241, 243, 245)).all(-1).mean() > 0.9  # no result
    wrong = [(np.abs(run(0, column, True).astype(int) - WRONG).sum(-1) < 30).any() for column in (2, 3)]
    assert wrong == [True, False]  # A calls Burrs/1 good, B defective
    assert not (run(0, 2) == run(0, 0)).all()


def test_results_of_pictures_that_are_gone(results: list[RunResult], tmp_path: Path) -> None:
    (tmp_path / "data/toy/test/Burrs/1.png").unlink()
    with pytest.raises(InputError, match="no query Burrs/1 any more"):
        write_gallery(results, tmp_path / "out", ["toy/Burrs/1"])
    assert not (tmp_path / "out").exists()
