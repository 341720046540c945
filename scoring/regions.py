"""Where an image is anomalous: the connected regions of its anomaly map, with their sizes on the object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from utils.camera import Intrinsics
from utils.rendering import Rendering

EXTENT = 0.5  # share of a region's own maximum down to which it reaches
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
    """Return the regions of a map (height, width), the most anomalous first; none where nothing is above the threshold.

    Each holds one connected set of pixels above the threshold, and those around it that are above half its maximum.

    Args:
        p_value: of a score.
        reference: whose depth says how large a pixel is on the object.
        intrinsics: the camera of both.
    """
    values = anomaly_map.cpu().numpy()
    seeds, count = ndimage.label(values > threshold, ACROSS_CORNERS)
    regions: list[Region] = []
    taken = np.zeros(values.shape, bool)
    peaks = ndimage.maximum(values, seeds, np.arange(1, count + 1)) if count else np.zeros(0)
    footprint = pixel_size(reference, intrinsics)
    for number in np.argsort(-peaks, kind="stable"):
        seed, peak = seeds == number + 1, float(peaks[number])
        if taken[seed].any():
            continue  # a more anomalous region reaches over it
        parts, _ = ndimage.label((values > min(threshold, EXTENT * peak)) & ~taken, ACROSS_CORNERS)
        region = parts == parts[seed][0]
        taken |= region
        rows, columns = ndimage.find_objects(region.astype(np.int32))[0]
        width, height = columns.stop - columns.start, rows.stop - rows.start
        length = None if footprint is None else footprint * float(np.hypot(width, height))
        box = (int(columns.start), int(rows.start), int(width), int(height))
        regions.append(Region(*box, int(region.sum()), peak, p_value(peak), length))
    return tuple(regions)


def pixel_size(reference: Rendering, intrinsics: Intrinsics) -> float | None:
    """Return the side of a pixel at the object's distance, scene units; None where no object is shown."""
    solid = reference.depth[reference.opacity > 0.5]
    if len(solid) == 0:
        return None
    return float(torch.median(solid)) / max(intrinsics.focal_x, intrinsics.focal_y)
