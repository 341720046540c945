"""Filters of images (height, width) or (height, width, channels), borders replicated.

On the CPU they are OpenCV's; the functions of torch are their twins, and run on other devices.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor


def gaussian_kernel(sigma: float) -> list[float]:
    """Return the weights of a Gaussian of ``sigma`` pixels, cut at three sigmas."""
    radius = max(1, int(3 * sigma + 0.5))
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    return [weight / sum(weights) for weight in weights]


def smooth(image: Tensor, sigma: float) -> Tensor:
    """Smooth ``image`` by a Gaussian of ``sigma`` pixels."""
    weights = gaussian_kernel(sigma)
    if on_cpu(image):
        kernel = np.array(weights, np.float32)
        return on_array(
            lambda array: cv2.sepFilter2D(array, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE), image
        )
    for axis in (0, 1):
        parts = shifts(image, len(weights) // 2, axis)
        image = functools.reduce(torch.add, [part * weight for part, weight in zip(parts, weights)])
    return image


def largest(image: Tensor, radius: int) -> Tensor:
    """Return the maximum of ``image`` in a square of 2 ``radius`` + 1 pixels."""
    if on_cpu(image):
        square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        return on_array(lambda array: cv2.dilate(array, square), image)
    for axis in (0, 1):
        image = functools.reduce(torch.maximum, shifts(image, radius, axis))
    return image


def smallest(image: Tensor, radius: int) -> Tensor:
    """Return the minimum of ``image`` in a square of 2 ``radius`` + 1 pixels."""
    return -largest(-image, radius)


def on_cpu(image: Tensor) -> bool:
    """Return whether OpenCV can be asked."""
    return image.device.type == "cpu"


def on_array(function: Callable[[np.ndarray], np.ndarray], image: Tensor) -> Tensor:
    """Apply a function of OpenCV to a tensor of the CPU; OpenCV drops a single channel, which is given back."""
    return torch.from_numpy(function(image.contiguous().numpy())).view(image.shape)


def shifts(image: Tensor, radius: int, axis: int) -> list[Tensor]:
    """Return the 2 radius + 1 images of the size of ``image`` that it becomes when it is shifted along ``axis``."""
    size = image.shape[axis]
    places = torch.arange(-radius, size + radius, device=image.device).clamp(0, size - 1)
    wide = image.index_select(axis, places)
    return [wide.narrow(axis, start, size) for start in range(2 * radius + 1)]
