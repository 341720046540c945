"""Differences between a query and its reference that tolerate the errors of a good reference."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from utils.rendering import Rendering

FOREGROUND_DIFFERENCE = 0.03  # colour difference from the background that makes a query pixel foreground
CROP_MARGIN = 12  # pixels around query and reference that are compared too
SHADING_SIGMA = 8.0  # pixels over which shading and glare vary
SHADING_SCALE = 4  # pixels to one at which shading is estimated
SHADING_BOUND = 0.12  # the largest difference that is taken for shading


@dataclass(frozen=True)
class Crop:
    """The part of an image in which query or reference show the object."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, image: Tensor) -> Tensor:
        """Return the part of ``image`` (height, width, ...), as a view."""
        return image[self.top : self.bottom, self.left : self.right]


def object_crop(query: Tensor, reference: Rendering) -> Crop:
    """Return the bounding box, with a margin, of everything that is not background in query or reference.

    The background's colour is that of the reference where it is transparent. Where nothing is shown, the crop is the
    whole image.
    """
    height, width = reference.opacity.shape
    some = (slice(None, None, 4), slice(None, None, 4))  # the background is plain: a sixteenth of it will do
    empty = reference.colour[some][reference.opacity[some] < 0.01]
    background = empty.median(dim=0).values if len(empty) else reference.colour.new_zeros(3)
    red, green, blue = (query - background).abs().unbind(-1)
    shown = (reference.opacity > 0.01) | (torch.maximum(torch.maximum(red, green), blue) > FOREGROUND_DIFFERENCE)
    rows, columns = shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return Crop(0, 0, height, width)
    return Crop(
        max(int(rows[0]) - CROP_MARGIN, 0),
        max(int(columns[0]) - CROP_MARGIN, 0),
        min(int(rows[-1]) + 1 + CROP_MARGIN, height),
        min(int(columns[-1]) + 1 + CROP_MARGIN, width),
    )


def neighbourhood_range(image: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum (channels, height, width) of ``image`` in a square of 2 radius + 1 pixels."""
    low = high = functional.pad(image[None], [radius] * 4, mode="replicate")[0]
    for axis in (1, 2):
        low = functools.reduce(torch.minimum, shifts(low, radius, axis))
        high = functools.reduce(torch.maximum, shifts(high, radius, axis))
    return low, high


def shifts(image: Tensor, radius: int, axis: int) -> list[Tensor]:
    """Return the 2 radius + 1 parts of ``image`` that coincide when it is shifted along ``axis``.

    Adding or comparing them is several times faster on a CPU than torch's pooling and convolution of few channels.
    """
    length = image.shape[axis] - 2 * radius
    return [image.narrow(axis, start, length) for start in range(2 * radius + 1)]


def beyond_range(image: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return how far each value of ``image`` is outside [low, high]: positive above, negative below, 0 inside.

    With the range of another image's neighbourhood, edges that are shifted by less than its radius vanish.
    """
    return (image - high).clamp(min=0) - (low - image).clamp(min=0)


def gaussian_kernel(sigma: float) -> list[float]:
    """Return the weights of a Gaussian of ``sigma`` pixels, cut at three sigmas."""
    radius = max(1, int(3 * sigma + 0.5))
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    return [weight / sum(weights) for weight in weights]


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Smooth ``image`` (channels, height, width) by a Gaussian of ``sigma`` pixels, borders replicated."""
    weights = gaussian_kernel(sigma)
    radius = len(weights) // 2
    result = functional.pad(image[None], [radius] * 4, mode="replicate")[0]
    for axis in (1, 2):
        parts = shifts(result, radius, axis)
        result = parts[0] * weights[0]
        for part, weight in zip(parts[1:], weights[1:]):
            result.add_(part, alpha=weight)
    return result


def shading(difference: Tensor, opacity: Tensor) -> Tensor:
    """Estimate the part of ``difference`` (3, height, width) that varies slowly over the object: light and glare.

    Differences above ``SHADING_BOUND`` are not shading and are ignored. The rest is smoothed at a quarter of the
    resolution.
    """
    trust = opacity * (difference.abs().amax(0) < SHADING_BOUND)
    scale, both = SHADING_SCALE, torch.cat([difference * trust, trust[None]])[None]
    small = functional.avg_pool2d(both, scale, ceil_mode=True)[0]
    smooth = gaussian_blur(small, SHADING_SIGMA / scale)
    ratio = smooth[:3] / smooth[3:].clamp(min=0.05)
    size = (scale * small.shape[1], scale * small.shape[2])
    large = functional.interpolate(ratio[None], size=size, mode="bilinear", align_corners=False)[0]
    return large[:, : opacity.shape[0], : opacity.shape[1]] * opacity
