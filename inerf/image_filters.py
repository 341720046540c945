"""Image filters of pose refinement: binomial blur and image gradient.

On the CPU ``smooth_channels`` is OpenCV's; the functions of torch are its twins, and run on other devices.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

_BLUR = np.array([0.25, 0.5, 0.25], np.float32)
_SLOPE = np.array([-0.5, 0.0, 0.5], np.float32)
_SAME = np.ones(1, np.float32)


def smooth_channels(image: Tensor) -> Tensor:
    """Blur ``image`` (height, width, 3) float32 and append its gradients along x and y: (height, width, 9)."""
    if image.device.type != "cpu":
        return with_image_gradient(binomial_blur(image))
    border = cv2.BORDER_REPLICATE
    blurred = cv2.sepFilter2D(image.numpy(), -1, _BLUR, _BLUR, borderType=border)
    along_x = cv2.sepFilter2D(blurred, -1, _SLOPE, _SAME, borderType=border)
    along_y = cv2.sepFilter2D(blurred, -1, _SAME, _SLOPE, borderType=border)
    return torch.from_numpy(cv2.merge([blurred, along_x, along_y]))


def _neighbours(image: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the image shifted by one pixel forward and backward along ``dim``, borders replicated."""
    size = image.shape[dim]
    first, last = image.narrow(dim, 0, 1), image.narrow(dim, size - 1, 1)
    before = torch.cat([first, image.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([image.narrow(dim, 1, size - 1), last], dim)
    return before, after


def binomial_blur(image: Tensor) -> Tensor:
    """Blur ``image`` (height, width, channels) with the separable kernel [1 2 1] / 4.

    Renderings sample one ray per pixel, while photographs integrate over it; the blur makes them comparable.
    """
    for dim in (0, 1):
        before, after = _neighbours(image, dim)
        image = torch.add(before, after).mul_(0.25).add_(image, alpha=0.5)
    return image


def with_image_gradient(image: Tensor) -> Tensor:
    """Append central differences along x and y to ``image`` (height, width, 3): (height, width, 9)."""
    gradients = []
    for dim in (1, 0):
        before, after = _neighbours(image, dim)
        gradients.append(torch.sub(after, before).mul_(0.5))
    return torch.cat([image, *gradients], -1)
