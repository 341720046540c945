"""Correlations of performance with attributes: closed forms, the paper's own table, and a benchmark's results."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from bench import correlation
from bench.config import BenchmarkConfig
from bench.correlate import as_table, correlate, published_scores, published_study, result_scores, study_of
from bench.correlation import Attribute, bootstrap_interval, fitted_band, holm
from bench.frame import results_frame
from bench.published import read_published
from bench.runs import Run, RunResult
from bench.typeset import as_markdown
from tests.bench.reports import report
from utils.errors import InputError

X = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 22.0])


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "RESAMPLES", 400)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_correlates_perfectly_and_has_its_slope(sign: int) -> None:
    one = correlation.correlation(X, 50 + sign * 0.25 * X)
    assert one is not None and one["pearson_value"] == pytest.approx(sign) == one["spearman_value"]
    assert one["slope_per_100"] == pytest.approx(sign * 25.0)
    assert (one["slope_low"], one["slope_high"]) == pytest.approx((sign * 25.0,) * 2)
    assert one["pearson_low"] == pytest.approx(sign) == one["pearson_high"] and one["pearson_p"] < 1e-9


def test_ranks_are_all_that_spearman_sees() -> None:
    one = correlation.correlation(X, np.exp(X / 3))
    assert one is not None and one["spearman_value"] == 1.0 and 0.5 < one["pearson_value"] < 0.95
    y = np.array([1.0, 1.0, 3.0, 3.0, 2.0, 6.0, 6.0])
    assert correlation.spearman(X, y) == pytest.approx(stats.spearmanr(X, y)[0])


def test_saturated_scores_have_an_interval() -> None:
    y = np.array([100.0, 100.0, 100.0, 90.0, 100.0])  # most resamples are constant
    low, high = bootstrap_interval(correlation.pearson, X[:5], y)
    assert -1 <= low <= correlation.pearson(X[:5], y) <= high <= 1


def test_intervals_depend_on_the_seed_alone() -> None:
    y = np.sin(X)
    first = bootstrap_interval(correlation.pearson, X, y, 1)
    assert first == bootstrap_interval(correlation.pearson, X, y, 1)
    assert first != bootstrap_interval(correlation.pearson, X, y, 2)


def test_intervals_cover_the_truth() -> None:
    noise, truth, covered = np.random.default_rng(0), 0.6, 0
    for _ in range(200):
        x = noise.normal(size=20)
        y = truth * x + math.sqrt(1 - truth**2) * noise.normal(size=20)
        low, high = bootstrap_interval(correlation.pearson, x, y)
        covered += low <= truth <= high
    assert 0.87 <= covered / 200 <= 0.99


def test_holm_by_hand() -> None:
    ps = [0.04, 0.01, 0.03, 0.005]
    # sorted .005·4 = .02, .01·3 = .03, .03·2 = .06, .04·1 = .04 raised to .06
    assert holm(ps) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_band_by_the_textbook() -> None:
    # x̄ = 3, ȳ = 4, Sxx = 10, slope .8, rests sum of squares 3.6, s² = 1.2
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 4, 3, 6, 5])
    line, half = fitted_band(x, y, np.array([3.0, 5.0]))
    assert line == pytest.approx([4.0, 5.6])
    assert half == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(1.2) * np.sqrt([0.2, 0.6]))


def test_nothing_is_said_of_few_objects_or_equal_values() -> None:
    attribute = Attribute("colour contrast", 1, {str(i): float(v) for i, v in enumerate(X)})
    few, equal = {str(i): float(i) for i in range(4)}, {str(i): 90.0 for i in range(7)}
    varied = {str(i): float(i % 3) for i in range(7)}
    study = study_of("a test", [attribute], {"pixel AUROC": {"Equal": equal, "Few": few, "Varied": varied}})
    assert study.table["method"].tolist() == ["Varied"]
    assert study.remarks == [
        "Left out: 1 pair of Equal, since its values or the attribute's are all equal.",
        "Left out: 1 pair of Few, since it has 4 objects with a known attribute, 5 are needed.",
    ]
    with pytest.raises(InputError, match="at least 5 objects"):
        study_of("a test", [attribute], {"pixel AUROC": {"Few": few}})


def test_the_papers_own_table() -> None:
    scores = published_scores(read_published())
    assert len(scores["pixel AUROC"]) == 11 and len(scores["image AUROC"]) == 9
    assert set(scores["pixel AUROC"]) - set(scores["image AUROC"]) == {"CutPaste", "OCR-GAN"}
    study = published_study()
    assert len(study.table) == 40 and set(study.table["objects"]) == {20}
    x, y = study.points(study.attributes[0], "pixel AUROC", "OmniposeAD")
    assert (65.79, 99.5) in set(zip(x, y))  # Gorilla, as printed
    row = study.table.set_index(["attribute", "metric", "method"]).loc[
        ("shape complexity", "pixel AUROC", "OmniposeAD")
    ]
    assert row["pearson_value"] == pytest.approx(np.corrcoef(x, y)[0, 1]) == pytest.approx(0.44, abs=0.005)
    assert study.table["pearson_holm"].tolist() == holm(study.table["pearson_p"].tolist())
    text = as_markdown(as_table(study))
    assert text.count("OmniposeAD") == 4 and "CutPaste and OCR-GAN" in text and "7 of 20" in text


def test_results_are_the_mean_over_seeds() -> None:
    config = BenchmarkConfig()
    results = [
        RunResult(Run("toy", "A", 0, config), report("toy", {}, pixel_auroc=0.9)),
        RunResult(Run("toy", "A", 1, config), report("toy", {}, pixel_auroc=0.8)),
        RunResult(Run("toy", "B", 0, config), failure="It failed."),
    ]
    scores = result_scores(results_frame(results))
    assert scores["pixel AUROC"] == {"A": {"toy": pytest.approx(85.0)}} and scores["image AUROC"] == {}


def test_results_with_attributes_measured_on_their_pictures(tmp_path: Path) -> None:
    results = []
    for index in range(5):
        folder = tmp_path / "data" / f"toy{index}" / "train" / "good"
        folder.mkdir(parents=True)
        picture = np.full((8, 8, 3), 255, np.uint8)
        picture[2:6, 2:6] = (250 - 50 * index, 20 * index, 40)
        Image.fromarray(picture).save(folder / "0.png")
        (folder.parents[1] / "transforms.json").write_text("{}")
        run = Run(f"toy{index}", "A", 0, BenchmarkConfig(data_dir=str(tmp_path / "data"), quiet=True))
        settings = {"weights": {"resnet18": "random"}}
        results.append(RunResult(run, report(f"toy{index}", settings, pixel_auroc=0.9 - 0.03 * index**1.5)))
    written = correlate("results", tmp_path / "out", results)
    rows = pd.read_csv(tmp_path / "out" / "correlations.csv")
    assert rows["attribute"].tolist() == ["colour contrast", "lightness contrast"]
    assert rows["pearson_value"][0] > 0.8 and rows["objects"][0] == 5
    assert {path.suffix for path in written} == {".csv", ".md", ".png"} and all(path.is_file() for path in written)
    assert "Random weights stood in" in (tmp_path / "out" / "correlations.md").read_text()
    kept = tmp_path / "out" / "attributes.json"
    before = kept.stat().st_mtime_ns
    correlate("results", tmp_path / "out", results)
    assert kept.stat().st_mtime_ns == before  # measured once
    kept.write_text("[]")
    with pytest.raises(InputError, match="delete it"):
        correlate("results", tmp_path / "out", results)
