"""Query and reference compared: anomaly map and anomaly score."""

from __future__ import annotations

import torch
from torch import Tensor

from scoring.calibration import Calibration
from scoring.comparator import Comparator
from scoring.features import cropped_features
from utils.rendering import Rendering


def anomaly_map(query: Tensor, reference: Rendering, calibration: Calibration) -> Tensor:
    """How strongly each pixel of the query speaks for a defect: (height, width) float32, on the query's device.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1].
        reference: the faultless object rendered at the query's pose, of the same size.
        calibration: of the object.
    """
    return response_map(query, reference, calibration.comparator)


def response_map(query: Tensor, reference: Rendering, comparator: Comparator) -> Tensor:
    """The comparator's response (height, width); pixels far from the object have the lowest one can be, 0."""
    crop, channels = cropped_features(query, reference)
    result = torch.zeros_like(reference.opacity)
    crop.of(result).copy_(comparator.respond(channels))
    return result


def anomaly_score(map_: Tensor, calibration: Calibration) -> float:
    """The image's score: the largest value of its anomaly map (``calibration.p_value`` tells how rare it is)."""
    return float(map_.max())
