"""Settings of the comparison of a query with its reference."""

from __future__ import annotations

from dataclasses import dataclass

from scoring.registry import SCORES
from utils.config import choice, require


@dataclass(frozen=True)
class ScoreConfig:
    """The comparison of a query with its reference, and the threshold."""

    # how images are compared: by their difference over the expected one, that joined by EfficientNet-Lite0 features,
    # the paper's colours and EfficientNet-B4 features, or the plain difference
    method: str = choice(SCORES.names)
    false_positive_rate: float = 0.05  # share of good views that the threshold may call defective
    size: int = 224  # pixels of the shorter side in the paper's comparison (PIAD reports it at 400)
    sigma: float = 4.0  # pixels by which the paper's comparison smooths its map

    def __post_init__(self) -> None:
        require(
            0 < self.false_positive_rate < 1, "score_false_positive_rate", "between 0 and 1", self.false_positive_rate
        )
        require(32 <= self.size <= 4096, "score_size", "between 32 and 4096 pixels", self.size)
        require(self.sigma > 0, "score_sigma", "above 0", self.sigma)
