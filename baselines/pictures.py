"""Pictures as the methods take them, and maps as the benchmark takes them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from utils.backbones import IMAGENET_MEAN, IMAGENET_STD
from utils.views import Views


def squared(image: Tensor, size: int) -> Tensor:
    """A picture (height, width, 3) scaled to a square: (1, 3, size, size), bilinear with antialiasing."""
    planes = image.permute(2, 0, 1)[None]
    if planes.shape[2:] == (size, size):
        return planes
    return functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def squared_views(views: Views, size: int) -> Tensor:
    """All views scaled to squares: (views, 3, size, size) float32 in [0, 1], on the CPU."""
    return torch.cat([squared(views.image(index), size) for index in range(len(views))])


def normalised(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, height, width) in [0, 1] with ImageNet's mean and standard deviation taken out."""
    mean = pictures.new_tensor(IMAGENET_MEAN)[:, None, None]
    return (pictures - mean) / pictures.new_tensor(IMAGENET_STD)[:, None, None]


def scaled_map(anomaly_map: Tensor, image: Tensor) -> Tensor:
    """A map (rows, columns), or (1, 1, rows, columns), at the size of ``image`` (height, width, 3), on the CPU."""
    planes = anomaly_map.detach().float().reshape(1, 1, *anomaly_map.shape[-2:])
    size = tuple(image.shape[:2])
    if planes.shape[2:] != size:
        planes = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return planes[0, 0].cpu()
