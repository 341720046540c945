"""Resizes and normalises images for the methods, and resizes their maps to the image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from utils.backbones import IMAGENET_MEAN, IMAGENET_STD
from utils.views import Views


def resize_to_square(image: Tensor, size: int) -> Tensor:
    """Resize an image (height, width, 3) to (1, 3, size, size), bilinear with antialiasing."""
    planes = image.permute(2, 0, 1)[None]
    if planes.shape[2:] == (size, size):
        return planes
    return functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def resize_views(views: Views, size: int) -> Tensor:
    """Resize all views to (views, 3, size, size) float32 in [0, 1], on the CPU."""
    return torch.cat([resize_to_square(views.image(index), size) for index in range(len(views))])


def normalise_images(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean from images (N, 3, height, width) in [0, 1] and divide by its standard deviation."""
    mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
    return (images - mean) / images.new_tensor(IMAGENET_STD)[:, None, None]


def resize_map(anomaly_map: Tensor, image: Tensor) -> Tensor:
    """Resize a map (rows, columns) or (1, 1, rows, columns) to an image (height, width, 3), on the CPU.

    Returns:
        (height, width) float32.
    """
    planes = anomaly_map.detach().float().reshape(1, 1, *anomaly_map.shape[-2:])
    size = tuple(image.shape[:2])
    if planes.shape[2:] != size:
        planes = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return planes[0, 0].cpu()
