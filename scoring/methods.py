"""The ways to compare a query with its reference: a small network over calibrated differences, or the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from scoring.comparator import Comparator, load_comparator
from scoring.paper import PaperComparison
from scoring.scorers import Comparison
from scoring.settings import ScoreConfig
from utils.run_context import RunContext


@dataclass(frozen=True)
class LearnedScore:
    """The comparator that comes with the program."""

    config: ScoreConfig

    name: ClassVar[str] = "calibrated"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:
        """Load the comparator."""
        return load_comparator()

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:
        """Load the comparator that the object was calibrated with."""
        return Comparator.of_stored(tensors)


@dataclass(frozen=True)
class PaperScore:
    """Colours and EfficientNet-B4 features, as in the paper."""

    config: ScoreConfig

    name: ClassVar[str] = "paper"
    weights: ClassVar[tuple[str, ...]] = ("efficientnet_b4",)
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:
        """Load the network; an InputError says where its weights are missing."""
        return PaperComparison.of(self.config, context)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:
        """Load the network, which must be the one that the object was calibrated with."""
        comparison = PaperComparison.of(self.config, context)
        context.weights.check(comparison.weights, header["weights"], "The calibration")
        return comparison
