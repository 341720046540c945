"""The expected difference of colours, joined by that of pretrained features.

EfficientNet-Lite0 looks at the query and at two references: the corrected one, and the field's own colours. A place
counts by the distance of its features to the nearer of them, over the one between the references: where they differ,
features cannot tell. Both maps must find a place strange: their geometric mean is the anomaly map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoring.crop import Crop, object_crop
from scoring.normalised import NormalisedDifference
from scoring.scorers import Comparison
from scoring.settings import ScoreConfig
from utils.efficientnet_lite import efficientnet_lite0
from utils.rendering import Rendering
from utils.run_context import RunContext
from utils.smoothing import largest
from utils.weights import LITE0_NAME, fingerprint

SIDE = 384  # pixels of the longer side at which the network sees the crop
STEP = 32  # pixels that divide both sides
COMPARED = (8, 16)  # strides of the levels that are compared


@dataclass(frozen=True)
class FeatureComparison:
    """The comparison, ready to run."""

    network: nn.Module  # RGB (N, 3, height, width) to levels
    weights: str  # fingerprint of the network's weights

    @staticmethod
    def of(context: RunContext) -> FeatureComparison:
        """Make the comparison; an InputError says where the network's weights are missing."""
        network = efficientnet_lite0(context.weights, COMPARED).to(context.device)
        return FeatureComparison(network, fingerprint(LITE0_NAME, context.weights))

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Return the anomaly map (height, width) of a query (height, width, 3), and its maximum."""
        crop = object_crop(query, reference)
        anomaly_map = torch.zeros_like(reference.opacity)
        colours = NormalisedDifference().respond(query, reference, crop)
        crop.of(anomaly_map).copy_((colours * self.respond(query, reference, crop)).sqrt())
        return anomaly_map, float(anomaly_map.max())

    def respond(self, query: Tensor, reference: Rendering, crop: Crop) -> Tensor:
        """Return the distance of features over the expected one, the mean over the levels, within the crop."""
        plain = reference.colour if reference.uncorrected is None else reference.uncorrected
        images = torch.stack([crop.of(image) for image in (query, reference.colour, plain)]).permute(0, 3, 1, 2)
        size = images.shape[2:]
        levels = self.network(functional.interpolate(images, network_size(*size), mode="bilinear", antialias=True))
        solid = crop.of(reference.opacity)[None, None]
        maps = [level_distance(level, solid) for level in levels]
        large = [functional.interpolate(each[None, None], size, mode="bilinear")[0, 0] for each in maps]
        return torch.stack(large).mean(0)

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the fingerprint of the weights; the weights themselves stay in their own file."""
        return {}, {"kind": FeatureScore.name, "weights": self.weights}


def network_size(height: int, width: int) -> tuple[int, int]:
    """Return the size at which the network sees a crop.

    >>> network_size(250, 200)
    (384, 320)
    """
    scale = SIDE / max(height, width) / STEP
    return max(round(height * scale), 1) * STEP, max(round(width * scale), 1) * STEP


def level_distance(features: Tensor, solid: Tensor) -> Tensor:
    """Return distances (h, w) of features (3, channels, h, w), of query and two references, over the expected ones.

    Args:
        solid: (1, 1, height, width) opacity.
    """
    query, *references = functional.normalize(features, dim=1)
    distance = torch.stack([(query - each).square().sum(0).sqrt() for each in references])
    between = (references[0] - references[1]).square().sum(0).sqrt()
    inside = functional.interpolate(solid, distance.shape[1:], mode="area")[0, 0] > 0.5
    usual = distance[0][inside] if bool(inside.any()) else distance[0].flatten()
    return distance.amin(0) / (usual.median() + largest(between, 1)).clamp(min=1e-6)


@dataclass(frozen=True)
class FeatureScore:
    """Scoring by colours and features."""

    config: ScoreConfig

    name: ClassVar[str] = "features"
    weights: ClassVar[tuple[str, ...]] = (LITE0_NAME,)
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:
        """Make the comparison."""
        return FeatureComparison.of(context)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:  # noqa: ARG002
        """Make the comparison that the object was calibrated with."""
        found = FeatureComparison.of(context)
        context.weights.check(found.weights, header["weights"], "The calibration")
        return found
