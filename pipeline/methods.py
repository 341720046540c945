"""The methods that the settings choose, one of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evaluation.results import STAND_IN_REMARKS
from inerf.methods import RefinementMethod
from inerf.registry import REFINEMENTS
from nerf.fields import FieldMethod
from nerf.registry import FIELDS
from pipeline.config import Config
from retrieval.galleries import RetrievalMethod
from retrieval.registry import RETRIEVALS
from scoring.registry import SCORES
from scoring.scorers import ScoreMethod
from utils.device import pick_device
from utils.progress import Progress
from utils.run_context import RunContext
from utils.weights import RANDOM, Weights, obtain

# For each step of training the kinds of methods that its result depends on.
STEP_KINDS = {"field": (FIELDS,), "gallery": (RETRIEVALS,), "calibration": (REFINEMENTS, SCORES), "parts": ()}


def field_method(config: Config) -> FieldMethod:
    """Return the field that the settings choose."""
    return FIELDS.make(config)


def retrieval_method(config: Config) -> RetrievalMethod:
    """Return the retrieval that the settings choose."""
    return RETRIEVALS.make(config)


def refinement_method(config: Config) -> RefinementMethod:
    """Return the refinement that the settings choose."""
    return REFINEMENTS.make(config)


def score_method(config: Config) -> ScoreMethod:
    """Return the score that the settings choose."""
    return SCORES.make(config)


def methods_of(config: Config, step: str) -> Iterator[tuple[str, type[Any]]]:
    """Yield the kind and class of each method that a step of training uses."""
    for registry in STEP_KINDS[step]:
        yield registry.kind, registry.find(getattr(config, registry.kind).method)


def weights_of(config: Config) -> Weights:
    """Return what the settings say about weights."""
    return Weights(config.weights_dir, config.backbone, config.quiet, config.efficientnet_weights)


def networks_of(config: Config) -> list[str]:
    """Name the pretrained networks that the chosen methods need."""
    names = [name for step in STEP_KINDS for _, method in methods_of(config, step) for name in method.weights]
    return list(dict.fromkeys(names))


def obtain_weights(config: Config) -> None:
    """Find or fetch all weights that the chosen methods need; an InputError says which are missing."""
    weights = weights_of(config)
    for name in networks_of(config):
        if weights.stand_in(name) != RANDOM:
            obtain(name, weights)


def stand_in_of(config: Config) -> str:
    """Return what stands in for a pretrained network of the chosen methods: "lite0", "random", or nothing ("")."""
    return max((weights_of(config).stand_in(name) for name in networks_of(config)), default="")


def remark_of(config: Config) -> str:
    """Return what results of these settings must not be shown without; empty where there is nothing to say."""
    return STAND_IN_REMARKS[stand_in_of(config)]


def run_context(config: Config) -> RunContext:
    """Return device, seed, weights and progress of a run."""
    return RunContext(
        device=pick_device(config.device),
        seed=config.seed,
        weights=weights_of(config),
        folder=config.checkpoint_dir,
        progress=Progress(config.quiet),
    )
