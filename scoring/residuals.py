"""What differs between a query and its reference, in forms that forgive what a good reference still gets wrong."""

from __future__ import annotations

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
    size = 2 * radius + 1
    padded = functional.pad(image[None], [radius] * 4, mode="replicate")
    return -functional.max_pool2d(-padded, size, 1)[0], functional.max_pool2d(padded, size, 1)[0]


def beyond_range(image: Tensor, other: Tensor, radius: int) -> Tensor:
    """How far each pixel of ``image`` lies outside the values that ``other`` takes around it.

    Both (channels, height, width); the answer is signed: above the range positive, below it negative, inside it 0.
    Where an edge is shifted by up to ``radius`` pixels, the answer stays 0.
    """
    low, high = neighbourhood_range(other, radius)
    return (image - high).clamp(min=0) - (low - image).clamp(min=0)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """``image`` (channels, height, width) smoothed by a Gaussian of ``sigma`` pixels, edges replicated."""
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(image.shape[0], 1, 1, -1)
    row = functional.pad(image[None], [radius, radius, 0, 0], mode="replicate")
    row = functional.conv2d(row, kernel, groups=image.shape[0])
    column = functional.pad(row, [0, 0, radius, radius], mode="replicate")
    return functional.conv2d(column, kernel.transpose(2, 3), groups=image.shape[0])[0]


def shading(difference: Tensor, opacity: Tensor) -> Tensor:
    """The part of ``difference`` (3, height, width) that varies slowly over the object: changed light, glare.

    Small differences only: what exceeds ``SHADING_BOUND`` is no shading, and it does not count in its surroundings.
    """
    trust = opacity * (difference.abs().amax(0) < SHADING_BOUND)
    smooth = gaussian_blur(torch.cat([difference * trust, trust[None]]), SHADING_SIGMA)
    return (smooth[:3] / smooth[3:].clamp(min=0.05)) * opacity
