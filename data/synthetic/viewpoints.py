"""Cameras of a generated set: MAD-Sim's grid for the training views, random viewpoints for the queries."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from utils.camera import look_at
from utils.errors import InputError
from utils.geometry import farthest_points

CAMERA_ANGLE_X = 0.6911112070083618  # radians
RADIUS = 3.0  # scene units from the origin
RINGS, AZIMUTHS = 14, 15
TOP_ELEVATION = 85.0  # degrees; the rings go down to its negative
FIRST_AZIMUTH, AZIMUTH_STEP = 120.0, 320.0 / 14.0  # degrees


def camera_at(elevation: float, azimuth: float) -> Tensor:
    """Return the camera_to_world (4, 4) float32 of a camera at angles in degrees, z up, that looks at the origin."""
    up, around = math.radians(elevation), math.radians(azimuth)
    toward = [math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)]
    eye = torch.tensor(toward, dtype=torch.float64) * RADIUS
    return look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)).float()


def grid_angles() -> list[tuple[float, float]]:
    """Return (elevation, azimuth) in degrees of MAD-Sim's 210 training views, ring by ring from the top."""
    step = 2.0 * TOP_ELEVATION / (RINGS - 1)
    return [
        (TOP_ELEVATION - step * ring, (FIRST_AZIMUTH + AZIMUTH_STEP * index) % 360.0)
        for ring in range(RINGS)
        for index in range(AZIMUTHS)
    ]


def spread_views(count: int) -> list[int]:
    """Choose ``count`` of the grid's 210 views, evenly over the sphere, each next one farthest from those before.

    Args:
        count: 1 ... 210.
    Returns:
        Numbers of views, ascending; the picks for a smaller count are among those for a larger one.
    Raises:
        InputError: for any other count.
    """
    angles = np.radians(grid_angles())
    if not 1 <= count <= len(angles):
        raise InputError(f"views = {count}: expected 1 to {len(angles)}, the number of views in MAD-Sim's grid.")
    elevations, azimuths = angles[:, 0], angles[:, 1]
    flat = np.cos(elevations)
    points = np.stack([flat * np.cos(azimuths), flat * np.sin(azimuths), np.sin(elevations)], axis=1)

    def distances_from(row: int) -> Tensor:
        return torch.from_numpy(np.linalg.norm(points - points[row], axis=1).round(9))

    return sorted(islice(farthest_points(distances_from, first=6 * AZIMUTHS), count))


def random_camera(random: np.random.Generator) -> Tensor:
    """Draw a viewpoint evenly from the sphere between 85 degrees above and below: ``camera_to_world`` (4, 4)."""
    limit = math.sin(math.radians(TOP_ELEVATION))
    return camera_at(math.degrees(math.asin(random.uniform(-limit, limit))), random.uniform(0.0, 360.0))
