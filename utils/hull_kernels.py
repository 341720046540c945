"""Compiled loops of the visual hull."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(parallel=True, fastmath=True, cache=True)
def count_votes(points, masks, cameras, lens):
    """Count the views that frame each point (points, 3), and those in whose silhouette it lies: (points,) int32 each.

    ``masks`` (views, height, width) bool; ``cameras`` (views, 4, 4) camera_to_world; ``lens`` (4,): focal lengths and
    principal point, x and y each.
    """
    views, height, width = masks.shape
    inside, framed = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for p in prange(len(points)):
        for v in range(views):
            camera = cameras[v]
            x, y, z = points[p, 0] - camera[0, 3], points[p, 1] - camera[1, 3], points[p, 2] - camera[2, 3]
            depth = -(camera[0, 2] * x + camera[1, 2] * y + camera[2, 2] * z)
            if depth > 0:
                column = lens[2] + lens[0] * (camera[0, 0] * x + camera[1, 0] * y + camera[2, 0] * z) / depth
                row = lens[3] - lens[1] * (camera[0, 1] * x + camera[1, 1] * y + camera[2, 1] * z) / depth
                if 0 <= column < width and 0 <= row < height:
                    framed[p] += 1
                    inside[p] += masks[v, int(row), int(column)]
    return inside, framed
