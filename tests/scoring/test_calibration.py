"""The distribution of normal scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gumbel_r

from scoring.calibration import Calibration, Confirmed, selected_information


def test_the_threshold_is_the_quantile_of_the_scores() -> None:
    scores = np.exp(np.random.default_rng(0).gumbel(1.0, 0.4, 4000)).tolist()
    calibration = Calibration.of(scores, 0.1)
    assert calibration.location == pytest.approx(1.0, abs=0.03)
    assert calibration.scale == pytest.approx(0.4, abs=0.02)
    assert np.mean(np.array(scores) > calibration.threshold) == pytest.approx(0.1, abs=0.01)
    assert calibration.p_value(calibration.threshold) == pytest.approx(0.1, abs=1e-9)
    assert calibration.p_value(100 * calibration.threshold) < 1e-4 < calibration.p_value(0.0) == 1.0
    assert Calibration.of(scores, 0.3).threshold < calibration.threshold


def test_few_or_equal_views_are_enough_and_their_scores_are_below_the_threshold() -> None:
    assert 7.0 < Calibration.of([7.0], 0.05).threshold < 21
    assert 7.0 < Calibration.of([7.0] * 9, 0.05).threshold < 8
    assert Calibration.of([0.0] * 9, 0.05).threshold > 0


@pytest.mark.parametrize("count", [8, 30])
def test_the_interval_of_the_threshold_holds_it_nineteen_times_in_twenty(count: int) -> None:
    truth = float(np.exp(1.0 - 0.4 * np.log(-np.log(0.95))))
    random, held, trials = np.random.default_rng(count), 0, 150
    for _ in range(trials):
        low, high = Calibration.of(np.exp(random.gumbel(1.0, 0.4, count)).tolist(), 0.05).interval or (0.0, 0.0)
        held += low < truth < high
    assert 0.8 < held / trials <= 1.0
    assert Calibration(1.0, 0.4, 5.0).interval is None  # of a file that does not say how many


def test_it_comes_back_bit_for_bit() -> None:
    calibration = Calibration.of([0.1, 0.2, 0.35, 0.2], 0.05, [Confirmed(0.5, 0.4, True), Confirmed(0.1, 0.4, False)])
    assert Calibration.restore(calibration.tensors()) == calibration
    plain = Calibration.of([0.1, 0.2, 0.35], 0.05)
    assert Calibration.restore(plain.tensors()) == plain


def confirmations(shift: float, count: int, kind: str) -> np.ndarray:
    """False alarm rates before and after good photos are confirmed, and the factor on the interval's width.

    Args:
        shift: of the logarithms of good photos from those of the views.
        kind: "alarms", the first ``count`` that exceed the threshold; "naive", the same taken for a lot; "lot".
    """
    random, rows = np.random.default_rng(7), []
    for _ in range(40):
        before = Calibration.of(np.exp(random.gumbel(0.0, 0.2, 27)).tolist(), 0.05)
        good = np.exp(random.gumbel(shift, 0.2, 4000))
        chosen = (good if kind == "lot" else good[good > before.threshold])[:count]
        photos = [Confirmed(float(score), before.threshold, kind == "alarms") for score in chosen]
        after = before.confirming(photos, 0.05)
        widths = [np.log(one.interval[1] / one.interval[0]) for one in (before, after) if one.interval]
        rows.append([(good > before.threshold).mean(), (good > after.threshold).mean(), widths[1] / widths[0]])
    return np.mean(rows, axis=0)


def test_confirming_brings_the_rate_of_false_alarms_nearer_to_what_was_promised() -> None:
    before, after, width = confirmations(0.2, 20, "lot")
    assert before > 0.13 and 0.05 < after < 0.6 * before and width < 1
    before, after, _ = confirmations(0.2, 20, "alarms")
    assert 0.05 < after < before  # how often they occur is not known of them


def test_false_alarms_alone_do_not_raise_a_threshold_that_is_right() -> None:
    _, naive, _ = confirmations(0.0, 20, "naive")
    before, after, width = confirmations(0.0, 20, "alarms")
    assert naive < 0.01  # recall would be lost with each
    assert after == pytest.approx(0.05, abs=0.02) and after > 0.8 * before and width < 1


@pytest.mark.parametrize("selected", [True, False])
@pytest.mark.parametrize("factor", [1.1, 10.0, 1e9])
def test_one_photo_moves_the_threshold_by_a_limited_factor(selected: bool, factor: float) -> None:
    scores = np.exp(np.random.default_rng(0).gumbel(1.0, 0.2, 27)).tolist()
    before = Calibration.of(scores, 0.05)
    after = before.confirming([Confirmed(factor * before.threshold, before.threshold, selected)], 0.05)
    assert 0.95 < after.threshold / before.threshold < 1.15


@pytest.mark.parametrize("above", [True, False])
def test_the_information_of_a_selected_score_is_the_curvature_of_its_likelihood(above: bool) -> None:
    limit, step = 2.0, 1e-3
    z = gumbel_r.ppf(
        np.random.default_rng(0).uniform(*((gumbel_r.cdf(limit), 1) if above else (0, gumbel_r.cdf(limit))), 200000)
    )

    def mean(place: float, width: float) -> float:
        side = gumbel_r.logsf(limit, place, width) if above else gumbel_r.logcdf(limit, place, width)
        return float((gumbel_r.logpdf(z, place, width) - side).mean())

    corners = [(a, b, mean(a * step, 1 + b * step)) for a in (-1, 1) for b in (-1, 1)]
    bends = [
        sum(a * b * value for a, b, value in corners) / (4 * step**2),
        (mean(step, 1) - 2 * mean(0, 1) + mean(-step, 1)) / step**2,
        (mean(0, 1 + step) - 2 * mean(0, 1) + mean(0, 1 - step)) / step**2,
    ]
    known = selected_information(limit, above)
    assert [-bend for bend in bends] == pytest.approx([known[0, 1], known[0, 0], known[1, 1]], abs=0.03)
