"""Gumbel's distribution of maxima: location and scale of the greatest likelihood.

    density(x) = exp(-z - exp(-z)) / scale,  z = (x - location) / scale

SciPy fits it too, but takes longer to import than all that a program here does with it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

STEPS = 100  # at most; Newton's method takes about six
LARGEST = 700.0  # standard value beyond which exp(-z) underflows


def fit_gumbel(values: np.ndarray) -> tuple[float, float]:
    """Return location and scale of the greatest likelihood of ``values`` (count,), of which two must differ.

    The scale solves ``scale = mean - mean weighted by exp(-x / scale)``, whose two sides differ by a function that only
    rises; the location follows from it (Coles 2001, section 3.3).
    """
    low = float(values.min())
    above = values - low
    scale = float(above.std()) * math.sqrt(6.0) / math.pi
    for _ in range(STEPS):
        weights = np.exp(-above / scale)
        mean = float(np.average(above, weights=weights))
        spread = float(np.average((above - mean) ** 2, weights=weights))
        step = (scale - float(above.mean()) + mean) / (1.0 + spread / scale**2)
        scale = max(scale - step, 0.5 * scale)
        if abs(step) <= 1e-12 * scale:
            break
    return low - scale * math.log(float(np.exp(-above / scale).mean())), scale


def fit_selected(
    sample: np.ndarray,
    chosen: np.ndarray,
    limits: np.ndarray,
    above: np.ndarray,
    start: tuple[float, float],
    min_scale: float,
) -> tuple[float, float]:
    """Return location and scale of the greatest likelihood of a sample and of values that were selected by their side.

    Args:
        sample: (count,) values.
        chosen: (selected,) values, each of which counts by its density given on which side of its limit it lies.
        limits: (selected,) of them.
        above: (selected,) bool, the side.
        start: location and scale of the sample alone.
        min_scale: that the scale may have.
    """
    place, width = start[0], max(start[1], min_scale)  # in units of which is searched
    values, chosen_values, edges = (
        torch.from_numpy((np.asarray(each, np.float64) - place) / width) for each in (sample, chosen, limits)
    )
    over, least, count = torch.from_numpy(above), min_scale / width, len(sample) + len(chosen)
    parameters = torch.tensor([0.0, math.log(max(1.0 - least, 0.1))], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [parameters], max_iter=STEPS, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def cost() -> Tensor:
        search.zero_grad()
        scale = least + parameters[1].exp()
        z, standard_chosen, standard = ((each - parameters[0]) / scale for each in (values, chosen_values, edges))
        below = -(-standard).clamp(max=LARGEST).exp()  # logarithm of the probability to lie below
        sides = torch.where(over, torch.log(-torch.expm1(below.clamp(max=-1e-300))), below)
        found = (sides.sum() - log_density(z, scale) - log_density(standard_chosen, scale)) / count
        found.backward()
        return found

    search.step(cost)
    location, scale = parameters[0].item(), least + parameters[1].exp().item()
    return place + width * location, width * scale


def log_density(z: Tensor, scale: Tensor) -> Tensor:
    """Return the logarithm of the joint density of values whose standard ones are ``z`` (count,)."""
    return -(z + (-z).clamp(max=LARGEST).exp() + scale.log()).sum()
