"""Where an image is anomalous: the connected regions of its anomaly map, with their sizes on the object."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from utils.camera import Intrinsics
from utils.rendering import Rendering

ACROSS_CORNERS = np.ones((3, 3))  # pixels that touch at a corner are connected, too


@dataclass(frozen=True)
class Region:
    """One connected region above the threshold."""

    left: int  # pixels of the anomaly map
    top: int
    width: int
    height: int
    area: int  # pixels
    anomaly_score: float  # its largest value of the anomaly map
    p_value: float  # probability that a good image scores at least as much anywhere
    length: float | None  # diagonal of its box on the object, scene units; None where the reference shows no object


def find_regions(
    anomaly_map: Tensor,
    threshold: float,
    p_value: Callable[[float], float],
    reference: Rendering,
    intrinsics: Intrinsics,
) -> tuple[Region, ...]:
    """Return the connected regions of a map (height, width) above the threshold, the most anomalous first.

    Args:
        p_value: of a score.
        reference: whose depth says how large a pixel is on the object.
        intrinsics: the camera of both.
    """
    values = anomaly_map.cpu().numpy()
    labels, _ = ndimage.label(values > threshold, ACROSS_CORNERS)
    footprint, regions = pixel_size(reference, intrinsics), []
    for number, part in enumerate(ndimage.find_objects(labels), 1):
        inside = labels[part] == number
        rows, columns = part
        width, height = columns.stop - columns.start, rows.stop - rows.start
        peak = float(values[part][inside].max())
        length = None if footprint is None else footprint * math.hypot(width, height)
        regions.append(Region(columns.start, rows.start, width, height, int(inside.sum()), peak, p_value(peak), length))
    return tuple(sorted(regions, key=lambda region: -region.anomaly_score))


def pixel_size(reference: Rendering, intrinsics: Intrinsics) -> float | None:
    """Return the side of a pixel at the object's distance, scene units; None where no object is shown."""
    solid = reference.depth[reference.opacity > 0.5]
    if len(solid) == 0:
        return None
    return float(torch.median(solid)) / max(intrinsics.focal_x, intrinsics.focal_y)
