"""The distribution of normal scores."""

from __future__ import annotations

import numpy as np
import pytest

from scoring.calibration import Calibration


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
    calibration = Calibration.of([0.1, 0.2, 0.35], 0.05)
    assert Calibration(*calibration.tensor().tolist()) == calibration
