"""Procedural textures and random masks, from which anomalies are painted where no texture data set is at hand."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def smooth_noise(size: int, cells: int, random: torch.Generator) -> Tensor:
    """Noise (size, size) in [0, 1] of about ``cells`` bumps a side."""
    coarse = torch.rand(1, 1, cells + 1, cells + 1, generator=random)
    large = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0, 0]
    low, high = large.min(), large.max()
    return (large - low) / (high - low).clamp(min=1e-6)


def noise_mask(size: int, random: torch.Generator) -> Tensor:
    """A random region (size, size) of 0 and 1: smooth noise of random fineness, turned, above a half of its range."""
    fineness = [2 ** int(torch.randint(1, 6, (), generator=random)) for _ in range(2)]
    noise = 0.5 * (smooth_noise(size, fineness[0], random) + smooth_noise(size, fineness[1], random))
    mask = (noise > 0.5 * (noise.mean() + noise.max())).float()
    return torch.rot90(mask, int(torch.randint(4, (), generator=random)))


def texture(size: int, random: torch.Generator) -> Tensor:
    """A texture (3, size, size) in [0, 1]: stripes, checks, blobs or grain between two or more random colours."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    angle, period = (
        math.pi * float(torch.rand((), generator=random)),
        3 + 0.25 * size * float(torch.rand((), generator=random)),
    )
    along = (math.cos(angle) * columns + math.sin(angle) * rows) / period
    across = (math.cos(angle) * rows - math.sin(angle) * columns) / period
    kind = int(torch.randint(4, (), generator=random))
    if kind == 0:
        share = 0.5 + 0.5 * torch.sin(2 * math.pi * along)
    elif kind == 1:
        share = ((along.floor() + across.floor()) % 2).float()
    elif kind == 2:
        share = smooth_noise(size, int(torch.randint(2, 17, (), generator=random)), random)
    else:
        share = torch.rand(size, size, generator=random)
    first, second = torch.rand(2, 3, 1, 1, generator=random)
    return first * share + second * (1 - share)
