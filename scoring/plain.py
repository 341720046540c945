"""The plain difference of colours, smoothed: what every other comparison is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from scoring.scorers import Comparison
from scoring.settings import ScoreConfig
from utils.rendering import Rendering
from utils.run_context import RunContext
from utils.smoothing import smooth

SIGMA = 1.5  # pixels


@dataclass(frozen=True)
class PlainDifference:
    """The comparison."""

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Return the norm over RGB (height, width) of the smoothed difference to the field's own colours."""
        colour = reference.colour if reference.uncorrected is None else reference.uncorrected
        anomaly_map = smooth(query - colour, SIGMA).square().sum(-1).sqrt()
        return anomaly_map, float(anomaly_map.max())

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return nothing but the method's name."""
        return {}, {"kind": PlainScore.name}


@dataclass(frozen=True)
class PlainScore:
    """Scoring by the plain difference."""

    config: ScoreConfig

    name: ClassVar[str] = "plain"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:  # noqa: ARG002  every method's
        """Make the comparison."""
        return PlainDifference()

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:  # noqa: ARG002
        """Make the comparison: nothing is stored."""
        return PlainDifference()
