"""Posed views of the spheres of ``tests.inerf.scene``."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.inerf import scene
from utils.camera import Intrinsics
from utils.views import Views

CAMERA = Intrinsics.from_angle(96, 96, 0.69)


def views_at(poses: Tensor) -> Views:
    colours = [scene.render(pose, CAMERA).colour for pose in poses]
    images = (torch.stack(colours) * 255).round().byte()
    names = tuple(str(index) for index in range(len(poses)))
    return Views(images, None, poses.float(), CAMERA, names, (1.0, 1.0, 1.0))


def grid() -> Tensor:
    return torch.stack(
        [scene.camera(azimuth, elevation) for elevation in (-75, -40, -10, 20, 50, 80) for azimuth in range(0, 360, 30)]
    )
