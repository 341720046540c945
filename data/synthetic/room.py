"""A room with patterned walls: what stands around a toy in its photos, and where COLMAP finds its points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from utils.camera import Intrinsics, pixel_centres, world_rays

TEXTURE = 512  # texels along a wall
CELLS = (6, 12, 24, 48, 96)  # of the layers of a wall's pattern, from coarse to fine
CONTRAST = 45.0  # 8-bit steps of each layer
COLOUR = 0.4  # share of a layer that differs between the channels


@dataclass(frozen=True)
class Room:
    """A box seen from inside, with a pattern on each wall."""

    low: np.ndarray  # (3,) corner, scene units
    high: np.ndarray  # (3,) the opposite corner
    walls: np.ndarray  # (6, TEXTURE, TEXTURE, 3) uint8: of x = low, x = high, y = low, ...

    @staticmethod
    def patterned(low: np.ndarray, high: np.ndarray, seed: int) -> Room:
        """Make a room whose walls have blotches of all sizes, by which its images can be matched."""
        random = np.random.default_rng([seed, 0x7007])
        return Room(low, high, np.stack([_pattern(random) for _ in range(6)]))

    def image(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> np.ndarray:
        """Return what a camera inside sees of the walls: (height, width, 3) uint8."""
        starts, rays = world_rays(pixel_centres(intrinsics), intrinsics, camera_to_world)
        origins, directions = starts.numpy().astype(np.float64), rays.numpy().astype(np.float64)
        ahead = directions > 0
        bounds = np.where(ahead, self.high, self.low)
        with np.errstate(divide="ignore"):
            distances = np.where(directions == 0, np.inf, (bounds - origins) / directions)
        axis = distances.argmin(axis=-1)  # (height, width)
        points = origins + directions * distances.min(axis=-1, keepdims=True)
        places = (points - self.low) / (self.high - self.low) * (TEXTURE - 1)
        image = np.zeros((intrinsics.height, intrinsics.width, 3), dtype=np.uint8)
        for wall, texture in enumerate(self.walls):
            chosen = (axis == wall // 2) & (ahead[..., wall // 2] == bool(wall % 2))
            u, v = (places[..., (wall // 2 + step) % 3].astype(np.float32) for step in (1, 2))
            image[chosen] = cv2.remap(texture, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)[chosen]
        return image


def _pattern(random: np.random.Generator) -> np.ndarray:
    total = np.zeros((TEXTURE, TEXTURE, 3))
    for cells in CELLS:
        layer = random.uniform(-1.0, 1.0, (cells, cells, 1)) + COLOUR * random.uniform(-1.0, 1.0, (cells, cells, 3))
        total += cv2.resize(layer, (TEXTURE, TEXTURE), interpolation=cv2.INTER_CUBIC)
    return np.clip(128.0 + CONTRAST * total, 0.0, 255.0).astype(np.uint8)
