"""The pixels from which training draws its batches."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from utils.camera import project_points
from utils.views import Views

RUN_LENGTH = 64  # neighbouring pixels drawn together: their rays meet the same voxels, which the cache rewards
SILHOUETTE_MARGIN = 4  # pixels around the silhouette that are trained too, as background
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


def select_pixels(views: Views, masks: np.ndarray, hull: torch.Tensor) -> TrainingPixels:
    """Select all pixels near the silhouettes ``masks``, or onto which the visual hull (points, 3) projects."""
    square = max(1, round(views.intrinsics.width / 100))
    kernel = np.ones((2 * SILHOUETTE_MARGIN + 1, 2 * SILHOUETTE_MARGIN + 1), np.uint8)
    parts = []
    for view, mask in enumerate(masks):
        image = views.images[view].numpy()
        wanted = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) | (project_hull(hull, views, view, square) > 0)
        contrast = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
        row, column = np.nonzero(wanted)
        rays = np.where(contrast[row, column] > EDGE_CONTRAST, 4, 1)
        parts.append(np.stack([np.full(len(row), view), column, row, rays], axis=1).astype(np.int32))
    return TrainingPixels(np.concatenate(parts))


def project_hull(hull: torch.Tensor, views: Views, view: int, square: int) -> np.ndarray:
    """Return a mask (height, width) uint8 of the squares onto which points (points, 3) project, and those beside them.

    Args:
        square: side of a square, pixels.
    """
    camera = views.intrinsics
    pixels, depth = project_points(hull, camera, views.camera_to_world[view])
    column, row = (pixels[depth > 0] / square).floor().long().unbind(-1)
    height, width = -(-camera.height // square), -(-camera.width // square)
    framed = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    small = np.zeros((height, width), np.uint8)
    small[row[framed].numpy(), column[framed].numpy()] = 1
    grown = np.asarray(cv2.dilate(small, np.ones((3, 3), np.uint8)))
    return grown.repeat(square, axis=0).repeat(square, axis=1)[: camera.height, : camera.width]
