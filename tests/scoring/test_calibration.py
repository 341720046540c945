"""The distribution of normal scores."""

from __future__ import annotations

import numpy as np
import pytest

from scoring.calibration import Calibration


def test_the_threshold_is_the_quantile_of_the_gumbel_distribution() -> None:
    scores = np.random.default_rng(0).gumbel(5.0, 2.0, 4000).tolist()
    calibration = Calibration.of(scores, 0.1)
    assert calibration.location == pytest.approx(5.0, abs=0.2)
    assert calibration.scale == pytest.approx(2.0, abs=0.1)
    assert np.mean(np.array(scores) > calibration.threshold) == pytest.approx(0.1, abs=0.01)
    assert calibration.p_value(calibration.threshold) == pytest.approx(0.1, abs=1e-9)
    assert calibration.p_value(calibration.threshold + 10 * calibration.scale) < 1e-4
    assert Calibration.of(scores, 0.3).threshold < calibration.threshold


def test_one_normal_view_is_enough_and_its_score_is_below_the_threshold() -> None:
    calibration = Calibration.of([7.0], 0.05)
    assert 7.0 < calibration.threshold < 7.01


def test_it_comes_back_bit_for_bit() -> None:
    calibration = Calibration.of([0.1, 0.2, 0.35], 0.05)
    assert Calibration(*calibration.tensor().tolist()) == calibration
