"""Procedural textures and random masks to paint anomalies with, in place of a texture dataset."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def smooth_noise(size: int, cells: int, rng: torch.Generator) -> Tensor:
    """Return noise (size, size) in [0, 1] with about ``cells`` bumps a side."""
    coarse = torch.rand(1, 1, cells + 1, cells + 1, generator=rng)
    noise = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0, 0]
    low, high = noise.min(), noise.max()
    return (noise - low) / (high - low).clamp(min=1e-6)


def noise_mask(size: int, rng: torch.Generator) -> Tensor:
    """Return a random mask (size, size) of 0 and 1: smooth noise of random scale, rotated, above half its range."""
    cells = [2 ** int(torch.randint(1, 6, (), generator=rng)) for _ in range(2)]
    noise = 0.5 * (smooth_noise(size, cells[0], rng) + smooth_noise(size, cells[1], rng))
    mask = (noise > 0.5 * (noise.mean() + noise.max())).float()
    return torch.rot90(mask, int(torch.randint(4, (), generator=rng)))


def random_texture(size: int, rng: torch.Generator) -> Tensor:
    """Return a texture (3, size, size) in [0, 1]: stripes, checks, blobs or grain in two random colours."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    angle = math.pi * float(torch.rand((), generator=rng))
    period = 3 + 0.25 * size * float(torch.rand((), generator=rng))
    along = (math.cos(angle) * columns + math.sin(angle) * rows) / period
    across = (math.cos(angle) * rows - math.sin(angle) * columns) / period
    kind = int(torch.randint(4, (), generator=rng))
    if kind == 0:
        blend = 0.5 + 0.5 * torch.sin(2 * math.pi * along)
    elif kind == 1:
        blend = ((along.floor() + across.floor()) % 2).float()
    elif kind == 2:
        blend = smooth_noise(size, int(torch.randint(2, 17, (), generator=rng)), rng)
    else:
        blend = torch.rand(size, size, generator=rng)
    first, second = torch.rand(2, 3, 1, 1, generator=rng)
    return first * blend + second * (1 - blend)
