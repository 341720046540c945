"""The choice of a score: the one place that knows how many ways there are to compare a query with its reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from scoring.calibration import Calibration
from scoring.comparator import Comparator, load_comparator
from scoring.paper import PaperComparison
from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.config import Config
from utils.rendering import Rendering


class Comparison(Protocol):
    """A way to compare a query (height, width, 3) with its reference."""

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]: ...

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and header by which ``load`` makes it anew; the header has its ``kind``."""


@dataclass(frozen=True)
class Scorer:
    """A comparison, and what normal views of the object score in it."""

    comparison: Comparison
    calibration: Calibration

    @property
    def threshold(self) -> float:
        """The score above which a query counts as defective."""
        return self.calibration.threshold

    def p_value(self, anomaly_score: float) -> float:
        """Probability that a normal view scores at least ``anomaly_score``."""
        return self.calibration.p_value(anomaly_score)

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """How strongly each pixel, and the whole picture, speak for a defect.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1].
            reference: the faultless object rendered at the query's pose, of the same size.
        Returns:
            anomaly_map (height, width) float32, 0 or more, on the query's device, and anomaly_score.
        """
        return self.comparison.compare(query, reference)

    def save(self, path: Path) -> None:
        """Write the scorer to a ``.safetensors`` file whose header says its ``kind``."""
        tensors, header = self.comparison.stored()
        save_tensors(path, {"numbers": self.calibration.tensor(), **tensors}, header)


def comparison_of(config: Config, device: torch.device) -> Comparison:
    """The comparison that ``config.score.method`` names."""
    return PaperComparison.of(config, device) if config.score.method == "paper" else load_comparator()


def calibrate(pairs: Sequence[tuple[Tensor, Rendering]], config: Config, device: torch.device) -> Scorer:
    """The scorer of an object, by ``config.score.method``.

    Args:
        pairs: held-out normal views, each (height, width, 3), with the reference at its estimated pose.
    Raises:
        ValueError: where there is no pair.
    """
    if not pairs:
        raise ValueError("calibrate needs at least one pair of a normal view and its reference, found none.")
    comparison = comparison_of(config, device)
    scores = [comparison.compare(query, reference)[1] for query, reference in pairs]
    return Scorer(comparison, Calibration.of(scores, config.score.false_positive_rate))


def load(path: Path, config: Config, device: torch.device) -> Scorer:
    """The scorer that ``save`` wrote; the paper's takes its network's weights from where the settings say.

    Raises:
        InputError: where the file is broken, or was made with other weights than those found now.
    """
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        calibration = Calibration(*tensors.pop("numbers").tolist())
        if header["kind"] == "calibrated":
            return Scorer(Comparator.of_stored(tensors), calibration)
        if header["kind"] == "paper":
            comparison = PaperComparison.of(config, device)
            comparison.check(header["weights"])
            return Scorer(comparison, calibration)
        raise ValueError(f"unknown kind of score {header['kind']!r}")
