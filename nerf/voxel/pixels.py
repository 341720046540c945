"""The pixels that training draws from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from utils.camera import project_points
from utils.views import Views

RUN = 64  # neighbouring pixels drawn together: their rays meet the same voxels, which the cache rewards
MARGIN = 4  # pixels around the silhouette that are trained too, as background
EDGE_CONTRAST = 40  # 8-bit contrast of a 3 x 3 neighbourhood above which a pixel is rendered with 2 x 2 rays


@dataclass(frozen=True)
class Pixels:
    """Pixels worth a ray."""

    where: np.ndarray  # (pixels, 4) int32: view, column, row, rays (1, or 4 where the picture has an edge)

    def batch(self, rays: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (about ``rays``, 4) in runs, and an offset in [0, 1) of the first sample of each."""
        run = min(RUN, len(self.where))
        starts = generator.integers(0, len(self.where) - run + 1, max(1, rays // run))
        chosen = (starts[:, None] + np.arange(run)).reshape(-1)
        return self.where[chosen], generator.random(len(chosen), np.float32)


def training_pixels(views: Views, masks: np.ndarray, hull: torch.Tensor) -> Pixels:
    """All pixels near the silhouettes ``masks``, or through which a ray meets the visual hull's points (points, 3)."""
    cell = max(1, round(views.intrinsics.width / 100))
    kernel = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    parts = []
    for view, mask in enumerate(masks):
        image = views.images[view].numpy()
        wanted = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) | (shadow(hull, views, view, cell) > 0)
        contrast = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
        row, column = np.nonzero(wanted)
        rays = np.where(contrast[row, column] > EDGE_CONTRAST, 4, 1)
        parts.append(np.stack([np.full(len(row), view), column, row, rays], axis=1).astype(np.int32))
    return Pixels(np.concatenate(parts))


def shadow(hull: torch.Tensor, views: Views, view: int, cell: int) -> np.ndarray:
    """Mask (height, width) uint8: squares of ``cell`` pixels that hold a point of the hull, or touch one that does."""
    camera = views.intrinsics
    pixels, depth = project_points(hull, camera, views.camera_to_world[view])
    column, row = (pixels[depth > 0] / cell).floor().long().unbind(-1)
    height, width = -(-camera.height // cell), -(-camera.width // cell)
    framed = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    small = np.zeros((height, width), np.uint8)
    small[row[framed].numpy(), column[framed].numpy()] = 1
    grown = np.asarray(cv2.dilate(small, np.ones((3, 3), np.uint8)))
    return grown.repeat(cell, axis=0).repeat(cell, axis=1)[: camera.height, : camera.width]
