"""What normal views score: the scale of scores and the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EULER = 0.5772156649  # mean of the standard Gumbel distribution


@dataclass(frozen=True)
class Calibration:
    """The distribution of the scores of normal views, whatever compares them.

    A score is the largest of many weakly dependent responses, and close to Gumbel distributed (Coles 2001, ch. 3),
    with location and scale from mean and standard deviation.
    """

    location: float
    scale: float
    threshold: float  # the score exceeded by the configured share of normal views

    @staticmethod
    def of(scores: Sequence[float], false_positive_rate: float) -> Calibration:
        """The calibration by the scores of at least one normal view.

        Args:
            false_positive_rate: the share of normal views that the threshold may call defective, between 0 and 1.
        """
        values = torch.tensor(scores, dtype=torch.float64)
        spread = float(values.std(correction=0))
        scale = max(spread * math.sqrt(6) / math.pi, 1e-3)
        location = float(values.mean()) - EULER * scale
        return Calibration(location, scale, location - scale * math.log(-math.log1p(-false_positive_rate)))

    def p_value(self, anomaly_score: float) -> float:
        """Probability that a normal view scores at least ``anomaly_score``."""
        return -math.expm1(-math.exp(-(anomaly_score - self.location) / self.scale))

    def tensor(self) -> Tensor:
        """The three numbers, (3,) float64, from which ``Calibration(*tensor.tolist())`` comes back."""
        return torch.tensor([self.location, self.scale, self.threshold], dtype=torch.float64)
