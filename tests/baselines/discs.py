"""Small normal views: a coloured disc that moves a little on white."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.views import Views


def disc(size: int, place: float) -> Tensor:
    """Draw an image (size, size, 3) in [0, 1] of a striped disc; ``place`` in [0, 1] moves it from left to right."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centre = size * (0.4 + 0.2 * place)
    inside = (rows - size / 2) ** 2 + (columns - centre) ** 2 < (0.3 * size) ** 2
    stripes = 0.5 + 0.3 * torch.sin(rows * 40.0 / size)
    colour = torch.stack([stripes, 0.6 * stripes, torch.full_like(stripes, 0.3)], dim=-1)
    return torch.where(inside[..., None], colour, torch.ones(3))


def disc_views(count: int, size: int) -> Views:
    """Return normal views of the disc at ``count`` places."""
    images = torch.stack([disc(size, index / max(1, count - 1)) for index in range(count)])
    return Views(
        images=(images * 255).round().to(torch.uint8),
        alphas=None,
        camera_to_world=torch.eye(4).repeat(count, 1, 1),
        intrinsics=Intrinsics.from_angle(size, size, 0.7),
        names=tuple(str(index) for index in range(count)),
        background=(1.0, 1.0, 1.0),
    )


def with_square(image: Tensor) -> Tensor:
    """Paint a red square, a fifth of the image's side, in its middle."""
    size = image.shape[0]
    low, high = int(0.4 * size), int(0.6 * size)
    result = image.clone()
    result[low:high, low:high] = torch.tensor([1.0, 0.0, 0.0])
    return result
