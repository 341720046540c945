"""Variations of training pictures that leave the viewpoint as it is: place, size, turn, light, and hidden parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_SHIFT = 0.08  # of a picture, at most, as a share of its side
_ZOOM = 0.12  # of sizes, at most, as a share
_TURN = math.radians(8.0)  # in the picture, at most
_GAIN, _OFFSET = 0.2, 0.1  # of colours, at most
_BLOTCH = 0.3  # longest side of a rectangle that hides what is behind it, as a share of the picture's


def augmented(pictures: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Varied middles (pictures, size, size, 3) of float pictures (pictures, side, side, 3), with side >= size.

    Mirroring is not among the variations: the mirror image of an object is seen from somewhere else. Half of the
    pictures get a rectangle of one colour, since queries may show defects.

    Args:
        generator: on the CPU, so that every device sees the same variations.
    """
    count, side = pictures.shape[:2]

    def uniform(*shape: int) -> Tensor:  # between -1 and 1
        return (torch.rand(count, *shape, generator=generator) * 2 - 1).to(pictures.device)

    reach = size / side * (1 + _ZOOM * uniform())
    turn = _TURN * uniform()
    cosine, sine = reach * turn.cos(), reach * turn.sin()
    shift = _SHIFT * uniform(2)
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), [count, 3, size, size], align_corners=False)
    seen = functional.grid_sample(pictures.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    seen = seen.permute(0, 2, 3, 1)  # (pictures, size, size, 3)
    seen = seen * (1 + _GAIN * uniform(1, 1, 3)) + _OFFSET * uniform(1, 1, 1)
    axis = (torch.arange(size, device=pictures.device) + 0.5) / size * 2 - 1
    middle, half = uniform(2), _BLOTCH * uniform(2)  # a negative half side hides nothing
    across = (axis - middle[:, :1]).abs() < half[:, :1]  # (pictures, size)
    down = (axis - middle[:, 1:]).abs() < half[:, 1:].abs()
    hidden = (down[:, :, None] & across[:, None, :])[..., None]
    return torch.where(hidden, 0.5 + 0.5 * uniform(1, 1, 3), seen).clamp(0, 1)
