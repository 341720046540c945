"""Small operations on pictures: smoothing, slopes, growing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def _along(image: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """A picture and its neighbours before and after along ``dim``, the border repeated."""
    size = image.shape[dim]
    first, last = image.narrow(dim, 0, 1), image.narrow(dim, size - 1, 1)
    before = torch.cat([first, image.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([image.narrow(dim, 1, size - 1), last], dim)
    return before, image, after


def smoothed(image: Tensor) -> Tensor:
    """``image`` (height, width, channels) blurred by [1 2 1] / 4 both ways.

    Pictures of a field have one ray a pixel, photographs collect light from all of it; this makes them alike.
    """
    for dim in (0, 1):
        before, here, after = _along(image, dim)
        image = torch.add(before, after).mul_(0.25).add_(here, alpha=0.5)
    return image


def with_slopes(image: Tensor) -> Tensor:
    """``image`` (height, width, 3) and its central differences along x and y: (height, width, 9)."""
    slopes = []
    for dim in (1, 0):
        before, _, after = _along(image, dim)
        slopes.append(torch.sub(after, before).mul_(0.5))
    return torch.cat([image, *slopes], -1)


def grown(values: Tensor, reach: int) -> Tensor:
    """Largest of ``values`` (height, width) within a square of ``reach`` pixels around each pixel."""
    side = 2 * reach + 1
    wide = functional.max_pool2d(values[None, None], (1, side), stride=1, padding=(0, reach))
    return functional.max_pool2d(wide, (side, 1), stride=1, padding=(reach, 0))[0, 0]
