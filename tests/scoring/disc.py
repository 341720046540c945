"""A pair of images to compare: a grainy disc and its clean reference."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.rendering import Rendering


def pair(seed: int, defect: bool) -> tuple[Tensor, Rendering, Tensor]:
    """A grainy disc, its clean reference, and the mask of a small patch of another colour."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(64) - 32, torch.arange(64) - 32, indexing="ij")
    disc = ((x**2 + y**2) < 24**2).float()
    colour = 1 - disc[..., None] * torch.tensor([0.8, 0.3, 0.5])
    query = colour + 0.01 * disc[..., None] * torch.randn(64, 64, 3, generator=generator)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    if defect:
        row, column = (int(value) for value in torch.randint(18, 40, (2,), generator=generator))
        mask[row : row + 5, column : column + 5] = True
        query[mask] = torch.tensor([0.9, 0.8, 0.1])
    return query.clamp(0, 1), Rendering(colour, disc, disc), mask
