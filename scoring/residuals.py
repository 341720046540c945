"""What differs between a query and its reference, in forms that forgive what a good reference still gets wrong."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from utils.rendering import Rendering

VISIBLE = 0.03  # colour difference from the background that makes a query pixel foreground
MARGIN = 12  # pixels around query and reference that are compared too
SHADING_SIGMA = 8.0  # pixels over which shading and glare vary
SHADING_BOUND = 0.12  # the largest difference that is taken for shading


@dataclass(frozen=True)
class Crop:
    """The part of a picture in which query or reference show the object."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, picture: Tensor) -> Tensor:
        """The part of ``picture`` (height, width, ...)."""
        return picture[self.top : self.bottom, self.left : self.right]


def object_crop(query: Tensor, reference: Rendering) -> Crop:
    """The box around everything that is not background in either picture, with a margin.

    The background's colour is where the reference is transparent; a picture without any is taken whole.
    """
    height, width = reference.opacity.shape
    empty = reference.opacity < 0.01
    background = reference.colour[empty].median(dim=0).values if bool(empty.any()) else reference.colour.new_zeros(3)
    shown = (reference.opacity > 0.01) | ((query - background).abs().amax(-1) > VISIBLE)
    rows, columns = shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return Crop(0, 0, height, width)
    return Crop(
        max(int(rows[0]) - MARGIN, 0),
        max(int(columns[0]) - MARGIN, 0),
        min(int(rows[-1]) + 1 + MARGIN, height),
        min(int(columns[-1]) + 1 + MARGIN, width),
    )


def neighbourhood_range(image: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Smallest and largest value (channels, height, width) of ``image`` within a square of 2 radius + 1 pixels."""
    low = high = functional.pad(image[None], [radius] * 4, mode="replicate")[0]
    for axis in (1, 2):
        low = functools.reduce(torch.minimum, shifts(low, radius, axis))
        high = functools.reduce(torch.maximum, shifts(high, radius, axis))
    return low, high


def shifts(image: Tensor, radius: int, axis: int) -> list[Tensor]:
    """The 2 radius + 1 parts of ``image`` that lie over each other when it is shifted along ``axis``.

    Adding or comparing them is several times faster than torch's pooling and convolution of few channels on a CPU.
    """
    length = image.shape[axis] - 2 * radius
    return [image.narrow(axis, start, length) for start in range(2 * radius + 1)]


def beyond_range(image: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each value of ``image`` lies outside [low, high]: above it positive, below it negative, inside it 0.

    With the range of another picture's neighbourhood, edges that are shifted by less than its radius leave nothing.
    """
    return (image - high).clamp(min=0) - (low - image).clamp(min=0)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """``image`` (channels, height, width) smoothed by a Gaussian of ``sigma`` pixels, edges replicated."""
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (kernel / kernel.sum()).tolist()
    result = functional.pad(image[None], [radius] * 4, mode="replicate")[0]
    for axis in (1, 2):
        parts = shifts(result, radius, axis)
        result = parts[0] * weights[0]
        for part, weight in zip(parts[1:], weights[1:]):
            result.add_(part, alpha=weight)
    return result


def shading(difference: Tensor, opacity: Tensor) -> Tensor:
    """The part of ``difference`` (3, height, width) that varies slowly over the object: changed light, glare.

    Small differences only: what exceeds ``SHADING_BOUND`` is no shading, and it does not count in its surroundings.
    Smoothed at a quarter of the resolution.
    """
    trust = opacity * (difference.abs().amax(0) < SHADING_BOUND)
    small = functional.avg_pool2d(torch.cat([difference * trust, trust[None]])[None], 4, ceil_mode=True)[0]
    smooth = gaussian_blur(small, SHADING_SIGMA / 4)
    ratio = smooth[:3] / smooth[3:].clamp(min=0.05)
    size = (4 * small.shape[1], 4 * small.shape[2])
    large = functional.interpolate(ratio[None], size=size, mode="bilinear", align_corners=False)[0]
    return large[:, : opacity.shape[0], : opacity.shape[1]] * opacity
