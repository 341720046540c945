"""The fits of Gumbel's distribution, against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import gumbel_r

from scoring.gumbel import fit_gumbel, fit_selected

MIN_SCALE = 0.02


@pytest.mark.parametrize("seed", range(12))
def test_fits_are_those_of_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.gumbel(3 * random.normal(), 10 ** random.uniform(-2.5, 1), random.integers(4, 60))
    values[0] += 20 * (seed % 3 == 0)
    place, width = gumbel_r.fit(values)
    assert fit_gumbel(values) == (pytest.approx(place, abs=1e-6 * width), pytest.approx(width, rel=1e-6))


@pytest.mark.parametrize("seed", range(12))
def test_selected_values_are_as_likely_as_in_a_slow_search(seed: int) -> None:
    random = np.random.default_rng(seed)
    sample = random.gumbel(0.0, 10 ** random.uniform(-1.7, 0), random.integers(4, 40))
    start, count = fit_gumbel(sample), int(random.integers(1, 20))
    limits = np.full(2 * count, start[0] + 3 * start[1])
    above = np.arange(2 * count) < count * (seed % 3)
    drawn = np.where(above, limits + start[1] * random.exponential(size=2 * count), limits - random.exponential())

    def cost(place: float, width: float) -> float:
        sides = np.where(above, gumbel_r.logsf(limits, place, width), gumbel_r.logcdf(limits, place, width))
        return float(sides.sum() - sum(gumbel_r.logpdf(each, place, width).sum() for each in (sample, drawn)))

    slow = minimize(
        lambda at: cost(at[0], max(math.exp(at[1]), MIN_SCALE)), [start[0], math.log(start[1])], method="Nelder-Mead"
    )
    place, width = fit_selected(sample, drawn, limits, above, start, MIN_SCALE)
    assert width >= MIN_SCALE and cost(place, width) <= slow.fun + 1e-3
