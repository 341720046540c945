"""Calibration: the distribution of the scores of good views, and the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EULER = 0.5772156649  # mean of the standard Gumbel distribution


@dataclass(frozen=True)
class Calibration:
    """The Gumbel distribution of the scores of good views.

    A score is the maximum of many weakly dependent responses and hence close to Gumbel distributed (Coles 2001, ch. 3);
    location and scale are fitted by the mean and the standard deviation.
    """

    location: float
    scale: float
    threshold: float  # the score that the configured share of good views exceeds

    @staticmethod
    def of(scores: Sequence[float], false_positive_rate: float) -> Calibration:
        """Fit the scores of at least one good view.

        Args:
            false_positive_rate: share of good views that the threshold may call defective, between 0 and 1.
        """
        values = torch.tensor(scores, dtype=torch.float64)
        spread = float(values.std(correction=0))
        scale = max(spread * math.sqrt(6) / math.pi, 1e-3)
        location = float(values.mean()) - EULER * scale
        return Calibration(location, scale, location - scale * math.log(-math.log1p(-false_positive_rate)))

    def p_value(self, anomaly_score: float) -> float:
        """Return the probability that a good view scores at least ``anomaly_score``."""
        return -math.expm1(-math.exp(-(anomaly_score - self.location) / self.scale))

    def tensor(self) -> Tensor:
        """Return the three numbers, (3,) float64, from which ``Calibration(*tensor.tolist())`` is restored."""
        return torch.tensor([self.location, self.scale, self.threshold], dtype=torch.float64)
