"""A comparison together with what good views of the object score in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor

from scoring.calibration import Calibration
from scoring.registry import SCORES
from scoring.settings import ScoreConfig
from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.rendering import RESIDUAL_SIGMA, Rendering
from utils.run_context import RunContext
from utils.smoothing import largest

REACH = round(2 * RESIDUAL_SIGMA)  # pixels


class Comparison(Protocol):
    """A way to compare a query with its reference, ready to run."""

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Compare a query (height, width, 3) with its reference; see ``Scorer.compare``."""

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return tensors and header by which it is loaded again; the header has the method's name under "kind"."""


class ScoreMethod(Protocol):
    """A way to score, constructed from its groups of settings."""

    name: ClassVar[str]
    weights: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]]

    def make(self, context: RunContext) -> Comparison:
        """Make the comparison; an InputError says which weights are missing."""

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:
        """Load what ``Comparison.stored`` returned."""


@dataclass(frozen=True)
class Scorer:
    """A comparison, calibrated on good views of one object."""

    comparison: Comparison
    calibration: Calibration

    @property
    def threshold(self) -> float:
        """The score above which a query counts as defective."""
        return self.calibration.threshold

    def p_value(self, anomaly_score: float) -> float:
        """Return the probability that a good image scores at least ``anomaly_score``."""
        return self.calibration.p_value(anomaly_score)

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Compare a query with its reference.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1].
            reference: the anomaly-free object rendered at the query's pose, of the same size.
        Returns:
            anomaly_map (height, width) float32, 0 or more, on the query's device, and anomaly_score.
        """
        return compare_seen(self.comparison, query, reference)

    def save(self, path: Path) -> None:
        """Write the scorer to a ``.safetensors`` file whose header has the method's name under "kind"."""
        tensors, header = self.comparison.stored()
        save_tensors(path, {**self.calibration.tensors(), **tensors}, header)


def compare_seen(comparison: Comparison, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
    """Compare a query with its reference as ``Scorer.compare`` does, which says what it returns.

    Where no training view showed the surface, the field has made its colour up: nothing is anomalous there, nor within
    the ``REACH`` that made-up colours have in a smoothed difference.
    """
    anomaly_map, anomaly_score = comparison.compare(query, reference)
    unseen = reference.unseen
    if unseen is None:
        return anomaly_map, anomaly_score
    anomaly_map = anomaly_map.masked_fill(largest(unseen.float(), REACH) > 0, 0.0)
    return anomaly_map, float(anomaly_map.max())


def calibrate(pairs: Sequence[tuple[Tensor, Rendering]], comparison: Comparison, false_positive_rate: float) -> Scorer:
    """Calibrate a comparison on good views of an object.

    Args:
        pairs: held-out good views, each (height, width, 3), with the reference at its estimated pose.
        false_positive_rate: the share of good views that the threshold may call defective.
    Raises:
        ValueError: where there is no pair.
    """
    if not pairs:
        raise ValueError("calibrate needs at least one pair of a good view and its reference, found none.")
    scores = [compare_seen(comparison, query, reference)[1] for query, reference in pairs]
    return Scorer(comparison, Calibration.of(scores, false_positive_rate))


def load_scorer(path: Path, config: ScoreConfig, context: RunContext) -> Scorer:
    """Load the scorer that ``Scorer.save`` wrote, whichever method it has.

    Raises:
        InputError: where the file is broken, or was made with other weights than those found now.
    """
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        calibration = Calibration.restore(tensors)
        if header["kind"] not in SCORES.names:
            raise ValueError(f"unknown kind of score {header['kind']!r}")
        method: ScoreMethod = SCORES.find(header["kind"])(config)
        return Scorer(method.load(tensors, header, context), calibration)
