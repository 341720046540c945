"""Calibration: the distribution of the scores of good views, and the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import gumbel_r
from torch import Tensor

MIN_SCALE = 0.02  # of the logarithm of scores: fewer or more equal views tell nothing narrower
MIN_SCORE = 1e-6  # whose logarithm stands for that of 0
ENOUGH = 4  # scores from which a distribution is fitted; with fewer the scale is ``USUAL_SCALE``
USUAL_SCALE = 0.3


@dataclass(frozen=True)
class Calibration:
    """The distribution of the scores of good views: their logarithms follow Gumbel's.

    A score is the maximum of many weakly dependent ratios, whose tails are heavy; its logarithm is close to Gumbel
    distributed (Coles 2001, ch. 3). Location and scale have the greatest likelihood.
    """

    location: float  # of the logarithm
    scale: float
    threshold: float  # the score that the configured share of good views exceeds
    count: float = 0.0  # good views that were scored; 0 where it is not known

    @staticmethod
    def of(scores: Sequence[float], false_positive_rate: float) -> Calibration:
        """Fit the scores of at least one good view.

        Args:
            false_positive_rate: share of good views that the threshold may call defective, between 0 and 1.
        """
        logarithms = [math.log(max(score, MIN_SCORE)) for score in scores]
        if len(scores) < ENOUGH:
            location, scale = max(logarithms), USUAL_SCALE
        elif min(logarithms) == max(logarithms):
            location, scale = logarithms[0], MIN_SCALE
        else:
            location, scale = (float(value) for value in gumbel_r.fit(logarithms))
        scale = max(scale, MIN_SCALE)
        threshold = math.exp(location - scale * math.log(-math.log1p(-false_positive_rate)))
        return Calibration(location, scale, threshold, float(len(scores)))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % confidence interval of the threshold, by the Fisher information of the fit.

        None where it is not known how many views were scored.
        """
        if not self.count:
            return None
        at = (math.log(self.threshold) - self.location) / self.scale  # the quantile of the standard distribution
        error = self.scale * math.sqrt((1.1087 + 0.5140 * at + 0.6079 * at**2) / self.count)
        return self.threshold * math.exp(-1.96 * error), self.threshold * math.exp(1.96 * error)

    def p_value(self, anomaly_score: float) -> float:
        """Return the probability that a good view scores at least ``anomaly_score``."""
        logarithm = math.log(max(anomaly_score, MIN_SCORE))
        exponent = min(-(logarithm - self.location) / self.scale, 700.0)
        return -math.expm1(-math.exp(exponent))

    def tensor(self) -> Tensor:
        """Return the numbers, (4,) float64, from which ``Calibration(*tensor.tolist())`` is restored."""
        return torch.tensor([self.location, self.scale, self.threshold, self.count], dtype=torch.float64)
