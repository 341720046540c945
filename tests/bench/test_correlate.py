"""Correlations of performance with attributes: closed forms, slow twins, and what the words make of them."""

from __future__ import annotations

import csv
import inspect
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from bench import correlation
from bench.config import BenchmarkConfig
from bench.correlate import correlate, published_scores, published_study, result_scores, study_of
from bench.correlation import Attribute, Correlation, bootstrap_interval, fitted_band, holm, over_methods
from bench.correlation_words import counts, is_flat, page, verdict
from bench.published import read_published
from bench.runs import Run, RunResult
from tests.bench.reports import report
from utils.errors import InputError

X = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 22.0])


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "RESAMPLES", 400)


def of(x: np.ndarray, y: np.ndarray, method: str = "A", claimed: int = +1) -> Correlation:
    """The correlation of hand-made numbers, objects "0", "1" …"""
    values = {str(index): float(value) for index, value in enumerate(x)}
    attribute = Attribute("colour contrast", claimed, values)
    found = correlation.correlation(attribute, "pixel AUROC", method, {str(i): float(v) for i, v in enumerate(y)})
    assert found is not None
    return found


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_correlates_perfectly_and_has_its_slope(sign: int) -> None:
    one = of(X, 50 + sign * 0.25 * X)
    assert one.pearson.value == pytest.approx(sign) and one.spearman.value == pytest.approx(sign)
    assert one.slope == pytest.approx(sign * 25.0) and one.slope_interval == pytest.approx((sign * 25.0,) * 2)
    assert one.pearson.interval == pytest.approx((sign, sign)) and one.pearson.p < 1e-9


def test_ranks_are_all_that_spearman_sees() -> None:
    one = of(X, np.exp(X / 3))
    assert one.spearman.value == 1.0 and 0.5 < one.pearson.value < 0.95
    tied = of(X, np.array([1.0, 1.0, 3.0, 3.0, 2.0, 6.0, 6.0]))
    assert tied.spearman.value == pytest.approx(stats.spearmanr(X, tied.auroc)[0])


@pytest.mark.parametrize("statistic", [correlation.pearson, correlation.spearman, correlation.slope_per_100])
def test_intervals_are_those_of_scipy(statistic: correlation.Statistic, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(3)
    x, y = noise.normal(size=20), noise.normal(size=20)
    y += 0.5 * x
    random = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"
    slow = stats.bootstrap(
        (x, y),
        lambda x, y, axis: statistic(x, y),
        paired=True,
        n_resamples=400,
        method="BCa",
        **{random: np.random.default_rng(7)},
    ).confidence_interval
    assert bootstrap_interval(statistic, x, y, seed=7) == pytest.approx((slow.low, slow.high))


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


def test_least_significant_correlation_has_this_p() -> None:
    r = correlation.least_significant(20, 0.05)
    assert 2 * stats.t.sf(r * math.sqrt(18 / (1 - r**2)), 18) == pytest.approx(0.05)


def test_band_by_the_textbook() -> None:
    # x̄ = 3, ȳ = 4, Sxx = 10, slope .8, rests sum of squares 3.6, s² = 1.2
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 4, 3, 6, 5])
    line, half = fitted_band(x, y, np.array([3.0, 5.0]))
    assert line == pytest.approx([4.0, 5.6])
    assert half == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(1.2) * np.sqrt([0.2, 0.6]))


def test_nothing_is_said_of_few_objects_or_equal_values() -> None:
    attribute = Attribute("colour contrast", 1, {str(i): float(v) for i, v in enumerate(X)})
    few, equal = {str(i): float(i) for i in range(4)}, {str(i): 90.0 for i in range(7)}
    assert correlation.correlation(attribute, "pixel AUROC", "A", few) is None
    assert correlation.correlation(attribute, "pixel AUROC", "A", equal) is None
    varied = {str(i): float(i % 3) for i in range(7)}
    study = study_of("a test", [attribute], {"pixel AUROC": {"Equal": equal, "Few": few, "Varied": varied}})
    assert [one.method for one in study.correlations] == ["Varied"]
    assert study.remarks == [
        "Left out: 1 pair of Equal, since its values or the attribute's are all equal.",
        "Left out: 1 pair of Few, since it has 4 objects with a known attribute, 5 are needed.",
    ]
    with pytest.raises(InputError, match="at least 5 objects"):
        study_of("a test", [attribute], {"pixel AUROC": {"Few": few}})


def test_methods_are_drawn_together() -> None:
    y = np.array([3.0, 1, 4, 1, 5, 9, 2])
    opposite = [of(X, y), of(X, -y, "B")]
    centre = over_methods(correlation.mean_correlation, opposite)
    assert centre is not None and centre[0] == pytest.approx(0) and centre[1] == pytest.approx((0, 0), abs=1e-9)
    flat = over_methods(correlation.flatness, [of(X, 0.1 * X + y / 10), *opposite])
    assert flat is not None and flat[0] == pytest.approx(opposite[0].slope - of(X, 0.1 * X + y / 10).slope)


def test_verdicts_follow_their_rules() -> None:
    up, noise = 2 * X + np.array([0, 3, -3, 0, 3, -3, 0]), np.array([3.0, 1, 4, 1, 5, 9, 2])
    rising = [of(X, up), of(X, up + 1, "B")]
    assert verdict(+1, rising) == "yes" and verdict(-1, rising) == "the reverse"
    wavering = [of(X, np.array([3.0, 9, 1, 8, 2, 9, 4]), str(index)) for index in range(3)]
    assert abs(wavering[0].pearson.value) < 0.3 and wavering[0].pearson.value > 0
    assert verdict(+1, wavering) == "in sign only" and verdict(-1, wavering) == "no"
    assert verdict(+1, [*rising, of(X, noise - 3 * up.mean(), "C"), *wavering[:1]]) in ("yes", "on average")
    assert counts(+1, [one.pearson for one in rising]) == ["2", "2", "2", "2", "0", "0"]
    assert counts(-1, [one.pearson for one in rising]) == ["2", "0", "0", "0", "0", "2"]
    assert is_flat(of(X, 90 + 0.01 * noise), rising) and not is_flat(rising[0], rising)


def test_the_papers_own_table() -> None:
    scores = published_scores(read_published())
    assert len(scores["pixel AUROC"]) == 11 and len(scores["image AUROC"]) == 9
    assert set(scores["pixel AUROC"]) - set(scores["image AUROC"]) == {"CutPaste", "OCR-GAN"}
    study = published_study()
    assert len(study.correlations) == 40 and {len(one.objects) for one in study.correlations} == {20}
    told = {(one.attribute.name, one.metric, one.method): one for one in study.correlations}
    one = told["shape complexity", "pixel AUROC", "OmniposeAD"]
    assert dict(zip(one.objects, zip(one.places, one.auroc)))["Gorilla"] == (65.79, 99.5)  # as printed
    assert one.pearson.value == pytest.approx(np.corrcoef(one.places, one.auroc)[0, 1])
    text = page(study)
    assert "CutPaste and OCR-GAN" in text and "OmniposeAD, image AUROC and colour contrast" in text
    assert text.count("| OmniposeAD | 20 |") == 4


def test_results_are_the_mean_over_seeds() -> None:
    config = BenchmarkConfig()
    results = [
        RunResult(Run("toy", "A", 0, config), report("toy", {}, pixel_auroc=0.9)),
        RunResult(Run("toy", "A", 1, config), report("toy", {}, pixel_auroc=0.8)),
        RunResult(Run("toy", "B", 0, config), failure="It failed."),
    ]
    scores = result_scores(results)
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
    rows = list(csv.DictReader((tmp_path / "out" / "correlations.csv").open()))
    assert [row["attribute"] for row in rows] == ["colour contrast", "lightness contrast"]
    assert float(rows[0]["pearson_value"]) > 0.8 and rows[0]["objects"] == "5"
    assert {path.suffix for path in written} == {".csv", ".md", ".png"} and all(path.is_file() for path in written)
    assert "Random weights stood in" in (tmp_path / "out" / "correlations.md").read_text()
    kept = tmp_path / "out" / "attributes.json"
    before = kept.stat().st_mtime_ns
    correlate("results", tmp_path / "out", results)
    assert kept.stat().st_mtime_ns == before  # measured once
    kept.write_text("[]")
    with pytest.raises(InputError, match="delete it"):
        correlate("results", tmp_path / "out", results)


def test_unknown_sources_and_a_missing_package_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="published, results"):
        correlate("paper", tmp_path, [])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"requirements\.txt"):
        correlate("published", tmp_path, [])
    assert not any(tmp_path.iterdir())
