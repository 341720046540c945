"""One score of a part from several photos: what they show of its surface is put together, point by point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoring.calibration import Calibration

DRAWS = 400  # good parts that are simulated
LEAST = 1e-3  # anomaly below which nothing is told apart


def fused(values: Tensor) -> Tensor:
    """Put together what photos show of the points of a surface.

    Args:
        values: (photos, points) anomaly at the points, 0 or more; NaN where a photo does not show one.
    Returns:
        (points,) float32; NaN where no photo shows a point.
    """
    known = values.float().nan_to_num(-1.0)
    best = known.amax(0)
    return torch.where(best < 0, torch.nan, best)


def part_score(values: Tensor) -> float:
    """Return the score of a part: the largest value anywhere on its surface; 0 where nothing is seen."""
    return float(fused(values).nan_to_num(0.0).max()) if values.numel() else 0.0


@dataclass(frozen=True)
class GoodScores:
    """What good views score at the points of the surface, from which good parts are simulated."""

    values: Tensor  # (views, points); NaN where not seen

    def calibration(self, photos: int, false_positive_rate: float, seed: int = 0) -> Calibration:
        """Return the distribution of the scores of good parts of which there are so many photos."""
        generator = torch.Generator().manual_seed(seed)
        views = len(self.values)
        taken = min(photos, max(1, views // 2))
        draws = [torch.randperm(views, generator=generator)[:taken] for _ in range(DRAWS)]
        scores = [part_score(self.values[rows]) for rows in draws]
        return Calibration.of(scores, false_positive_rate)
