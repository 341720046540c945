"""What normal views look like to the comparison: the scale of scores and the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoring.comparator import Comparator, load_comparator
from utils.config import ScoreConfig
from utils.rendering import Rendering

EULER = 0.5772156649  # mean of the standard Gumbel distribution


@dataclass(frozen=True)
class Calibration:
    """The comparator and the distribution of its largest response on normal views.

    The largest of many weakly dependent responses is close to Gumbel distributed (Coles 2001, ch. 3), with location
    and scale from mean and standard deviation.
    """

    location: float
    scale: float
    threshold: float  # the score exceeded by the configured share of normal views
    comparator: Comparator

    def p_value(self, anomaly_score: float) -> float:
        """Probability that a normal view scores at least ``anomaly_score``."""
        return -math.expm1(-math.exp(-(anomaly_score - self.location) / self.scale))

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by name; all that another machine needs to give the same scores."""
        numbers = torch.tensor([self.location, self.scale, self.threshold], dtype=torch.float64)
        return {"numbers": numbers, **{f"comparator.{name}": value for name, value in self.comparator.state().items()}}

    @staticmethod
    def from_state_dict(state: dict[str, Tensor]) -> Calibration:
        """The calibration that ``state_dict`` came from."""
        location, scale, threshold = state["numbers"].tolist()
        prefix = "comparator."
        weights = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        return Calibration(location, scale, threshold, Comparator.of(weights))


def calibrate(pairs: Sequence[tuple[Tensor, Rendering]], config: ScoreConfig) -> Calibration:
    """The calibration of an object.

    Args:
        pairs: held-out normal views, each (height, width, 3), with the reference at its estimated pose.
        config: the share of normal views that the threshold may call defective.
    Raises:
        ValueError: where there is no pair.
    """
    from scoring.compare import response_map

    if not pairs:
        raise ValueError("calibrate needs at least one pair of a normal view and its reference, found none.")
    comparator = load_comparator()
    peaks = torch.tensor([float(response_map(query, reference, comparator).max()) for query, reference in pairs])
    spread = float(peaks.std(correction=0)) if len(peaks) > 1 else 0.0
    scale = max(spread * math.sqrt(6) / math.pi, 1e-3)
    location = float(peaks.mean()) - EULER * scale
    threshold = location - scale * math.log(-math.log1p(-config.false_positive_rate))
    return Calibration(location, scale, threshold, comparator)
