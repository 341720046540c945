"""Augmentations of training images that keep the viewpoint: shift, zoom, roll, light and occlusion."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_SHIFT = 0.08  # largest shift, as a share of the image's side
_ZOOM = 0.12  # largest relative change of size
_ROLL = math.radians(8.0)  # largest roll
_GAIN, _OFFSET = 0.2, 0.1  # largest changes of colours
_OCCLUDER = 0.3  # longest side of the occluding rectangle, as a share of the image's


def augment_views(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Augment float images (images, side, side, 3) and crop them to their central ``size`` pixels, size <= side.

    Images are not mirrored, which would change the viewpoint. Half of them are occluded by a rectangle of one colour,
    since queries may show defects.

    Args:
        generator: on the CPU, so that every device sees the same augmentations.
    Returns:
        (images, size, size, 3) float32 in [0, 1].
    """
    count, side = images.shape[:2]

    def uniform(*shape: int) -> Tensor:  # between -1 and 1
        return (torch.rand(count, *shape, generator=generator) * 2 - 1).to(images.device)

    scale = size / side * (1 + _ZOOM * uniform())
    roll = _ROLL * uniform()
    cosine, sine = scale * roll.cos(), scale * roll.sin()
    shift = _SHIFT * uniform(2)
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), [count, 3, size, size], align_corners=False)
    seen = functional.grid_sample(images.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    seen = seen.permute(0, 2, 3, 1)  # (images, size, size, 3)
    seen = seen * (1 + _GAIN * uniform(1, 1, 3)) + _OFFSET * uniform(1, 1, 1)
    axis = (torch.arange(size, device=images.device) + 0.5) / size * 2 - 1
    centre, half = uniform(2), _OCCLUDER * uniform(2)  # a negative half side occludes nothing
    across = (axis - centre[:, :1]).abs() < half[:, :1]  # (images, size)
    down = (axis - centre[:, 1:]).abs() < half[:, 1:].abs()
    occluded = (down[:, :, None] & across[:, None, :])[..., None]
    return torch.where(occluded, 0.5 + 0.5 * uniform(1, 1, 3), seen).clamp(0, 1)
