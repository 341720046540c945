"""The channels in which the comparator sees a query and its reference.

On the CPU they are computed with OpenCV, which takes a quarter of the time; on other devices with torch.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from scoring.residuals import (
    SHADING_BOUND,
    SHADING_SCALE,
    SHADING_SIGMA,
    Crop,
    beyond_range,
    gaussian_blur,
    gaussian_kernel,
    neighbourhood_range,
    object_crop,
    shading,
)
from utils.rendering import Rendering

CHANNEL_COUNT = 15
RESIDUAL_GAIN = 8.0


def comparison_channels(query: Tensor, reference: Tensor, opacity: Tensor) -> Tensor:
    """Compute the comparator's input (CHANNEL_COUNT, height, width).

    Args:
        query, reference: (3, height, width) RGB in [0, 1].
        opacity: (height, width) of the reference.
    """
    light = shading(query - reference, opacity)
    query = query - light
    difference = query - reference
    low, high = neighbourhood_range(reference, 1)
    query_low, query_high = neighbourhood_range(query, 1)
    beyond_near = beyond_range(query, low, high)
    beyond_far = beyond_range(query, *neighbourhood_range(reference, 2))
    missing = beyond_range(reference, query_low, query_high)
    grain = channel_norm(query - gaussian_blur(query, 1.0))
    norms = torch.stack(
        [
            channel_norm(beyond_near),
            channel_norm(beyond_far),
            channel_norm(missing),
            channel_norm(gaussian_blur(beyond_near, 2.0)),
            channel_norm(high - low) / 2,
            channel_norm(query_high - query_low) / 2,
            grain,
            channel_norm(light),
        ]
    )
    return torch.cat([RESIDUAL_GAIN * difference, RESIDUAL_GAIN * norms, reference, opacity[None]])


def opencv_channels(query: np.ndarray, reference: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Compute ``comparison_channels`` of images (height, width, 3) as (height, width, CHANNEL_COUNT)."""
    light = opencv_shading(query - reference, opacity)
    query = query - light
    difference = query - reference
    near, far = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
    low, high = cv2.erode(reference, near), cv2.dilate(reference, near)
    query_low, query_high = cv2.erode(query, near), cv2.dilate(query, near)
    beyond_near = query - cv2.min(cv2.max(query, low), high)
    beyond_far = query - cv2.min(cv2.max(query, cv2.erode(reference, far)), cv2.dilate(reference, far))
    missing = reference - cv2.min(cv2.max(reference, query_low), query_high)
    norms = [
        opencv_norm(beyond_near, RESIDUAL_GAIN),
        opencv_norm(beyond_far, RESIDUAL_GAIN),
        opencv_norm(missing, RESIDUAL_GAIN),
        opencv_norm(opencv_blur(beyond_near, 2.0), RESIDUAL_GAIN),
        opencv_norm(high - low, RESIDUAL_GAIN / 2),
        opencv_norm(query_high - query_low, RESIDUAL_GAIN / 2),
        opencv_norm(query - opencv_blur(query, 1.0), RESIDUAL_GAIN),
        opencv_norm(light, RESIDUAL_GAIN),
    ]
    return cv2.merge([np.float32(RESIDUAL_GAIN) * difference, *norms, reference, opacity])


def opencv_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Do as ``gaussian_blur`` for an image (height, width, channels)."""
    kernel = np.array(gaussian_kernel(sigma), np.float32)
    return cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)


def opencv_norm(image: np.ndarray, gain: float) -> np.ndarray:
    """Return ``gain`` times the Euclidean norm (height, width) over three channels."""
    return cv2.sqrt(cv2.transform(cv2.multiply(image, image), np.full((1, 3), gain**2, np.float32)))


def opencv_shading(difference: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Do as ``shading`` for a difference (height, width, 3)."""
    height, width = opacity.shape
    red, green, blue = cv2.split(np.abs(difference))
    trust = opacity * (cv2.max(cv2.max(red, green), blue) < SHADING_BOUND)
    both = cv2.merge([difference * trust[..., None], trust])
    rows, columns = -(-height // SHADING_SCALE), -(-width // SHADING_SCALE)
    below, beside = rows * SHADING_SCALE - height, columns * SHADING_SCALE - width
    both = cv2.copyMakeBorder(both, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(0.0, 0.0, 0.0, 0.0))
    small = cv2.resize(both, (columns, rows), interpolation=cv2.INTER_AREA)
    small[-1] *= SHADING_SCALE / (SHADING_SCALE - below)  # the mean of the pixels that exist
    small[:, -1] *= SHADING_SCALE / (SHADING_SCALE - beside)
    smooth = opencv_blur(small, SHADING_SIGMA / SHADING_SCALE)
    ratio = smooth[..., :3] / np.maximum(smooth[..., 3:], 0.05)
    large = cv2.resize(ratio, (columns * SHADING_SCALE, rows * SHADING_SCALE), interpolation=cv2.INTER_LINEAR)
    return large[:height, :width] * opacity[..., None]


def cropped_channels(query: Tensor, reference: Rendering) -> tuple[Crop, Tensor]:
    """Return the crop around the object and ``comparison_channels`` within it.

    Args:
        query: (height, width, 3) RGB in [0, 1].
        reference: of the same size.
    """
    crop = object_crop(query, reference)
    images = [crop.of(image) for image in (query, reference.colour, reference.opacity)]
    if query.device.type == "cpu":
        channels = opencv_channels(*(np.ascontiguousarray(image.numpy()) for image in images))
        return crop, torch.from_numpy(channels).permute(2, 0, 1)
    return crop, comparison_channels(images[0].permute(2, 0, 1), images[1].permute(2, 0, 1), images[2])


def channel_norm(image: Tensor) -> Tensor:
    """Compute the Euclidean norm over the channels of ``image`` (channels, h, w); torch's own is 50 times slower."""
    return image.square().sum(0).sqrt()
