"""Views whose poses are a little wrong, each in its own way."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from inerf import se3
from utils.views import Views


def disturbed(views: Views, degrees: float, share: float, seed: int = 0) -> Views:
    """Turn each camera by ``degrees`` about some axis and move it by a ``share`` of its distance some way."""
    generator = torch.Generator().manual_seed(seed)
    poses = views.camera_to_world.double()
    for pose in poses:
        turn, way = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator, dtype=torch.float64), dim=1)
        pose[:3, 3] += share * pose[:3, 3].norm() * way
        pose[:3, :3] = pose[:3, :3] @ se3.exp(torch.cat([torch.zeros(3), math.radians(degrees) * turn]))[:3, :3]
    return replace(views, camera_to_world=poses.float())
