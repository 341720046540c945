"""The pixels from which training draws its batches."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from utils.views import Views

RUN_LENGTH = 64  # neighbouring pixels drawn together: their rays meet the same voxels, which the cache rewards
SILHOUETTE_MARGIN = 4  # pixels around the silhouette that are trained too, as background
MAX_PIXEL = 1.35  # largest side of a pixel, in voxels, to which views are shrunk
EDGE_CONTRAST = 40  # 8-bit contrast of a 3 x 3 neighbourhood above which a pixel is rendered with 2 x 2 rays


@dataclass(frozen=True)
class TrainingPixels:
    """Pixels that show the object or may do so."""

    pixels: np.ndarray  # (pixels, 4) int32: view, column, row, rays (1, or 4 where the image has an edge)

    def draw_batch(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw about ``count`` pixels (batch, 4) in runs of neighbours, and an offset in [0, 1) for each (batch,)."""
        run = min(RUN_LENGTH, len(self.pixels))
        starts = generator.integers(0, len(self.pixels) - run + 1, max(1, count // run))
        chosen = (starts[:, None] + np.arange(run)).reshape(-1)
        return self.pixels[chosen], generator.random(len(chosen), np.float32)


def shrink_factor(pixel: float, voxel: float) -> int:
    """Return the power of two by which views with pixels of side ``pixel`` are shrunk to train voxels of ``voxel``.

    >>> shrink_factor(1.0, 6.0), shrink_factor(1.0, 1.4)
    (8, 1)
    """
    factor = 1
    while 2 * factor * pixel <= MAX_PIXEL * voxel:
        factor *= 2
    return factor


def select_pixels(views: Views, masks: np.ndarray, margin: int = SILHOUETTE_MARGIN) -> TrainingPixels:
    """Select all pixels on the silhouettes and up to ``margin`` pixels beside them.

    Args:
        masks: (views, height, width) bool silhouettes, of the views or of those that they were shrunk from.
    """
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    size = (views.intrinsics.width, views.intrinsics.height)
    factor = masks.shape[2] // size[0]
    parts = []
    for view, (image, mask) in enumerate(zip(views.images.numpy(), masks)):
        whole = mask[: factor * size[1], : factor * size[0]].astype(np.float32)
        touched = cv2.resize(whole, size, interpolation=cv2.INTER_AREA) > 0
        row, column = np.nonzero(cv2.dilate(touched.astype(np.uint8), kernel))
        contrast = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
        rays = np.where(contrast[row, column] > EDGE_CONTRAST, 4, 1)
        parts.append(np.stack([np.full(len(row), view), column, row, rays], axis=1).astype(np.int32))
    return TrainingPixels(np.concatenate(parts))
