"""A smooth little world for the tests: glowing Gaussian blobs, whose optical depth along a ray has a closed form."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from inerf import se3
from tests.inerf import scene
from utils.camera import Intrinsics, pixel_centres, world_rays
from utils.rendering import Rendering

CAMERA = Intrinsics.from_angle(64, 64, 0.69)

CENTRES = torch.tensor(
    [[0.0, 0.0, 0.0], [0.5, 0.1, 0.2], [-0.5, 0.3, 0.1], [0.1, -0.6, -0.2], [-0.2, 0.5, -0.5], [0.1, -0.2, 0.6],
     [-0.4, -0.4, 0.3], [0.4, 0.4, -0.4]]
)  # fmt: skip
WIDTHS = torch.tensor([0.3, 0.15, 0.15, 0.18, 0.14, 0.12, 0.13, 0.12])
COLOURS = torch.tensor(
    [[0.7, 0.2, 0.2], [0.2, 0.6, 0.3], [0.2, 0.3, 0.7], [0.8, 0.7, 0.2], [0.1, 0.1, 0.1], [0.6, 0.3, 0.6],
     [0.2, 0.7, 0.7], [0.9, 0.5, 0.1]]
)  # fmt: skip
THICKNESS = 4.0  # optical depth through the middle of a blob


class Blobs:
    """A field; blobs mix where they overlap, none hides another."""

    def _along(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> tuple[Tensor, Tensor, Tensor]:
        origins, directions = world_rays(pixels, intrinsics, camera_to_world)
        offset = CENTRES.to(pixels.dtype) - origins[..., None, :]  # (..., blobs, 3)
        along = (offset * directions[..., None, :]).sum(-1)
        across = offset.square().sum(-1) - along.square()
        thickness = THICKNESS * torch.exp(-0.5 * across / WIDTHS.square()) * (along > 0)
        total = thickness.sum(-1)
        opacity = -torch.expm1(-total)
        shares = thickness / total.clamp(min=1e-12)[..., None]
        colour = 1.0 + opacity[..., None] * (shares @ COLOURS.to(pixels.dtype) - shares.sum(-1, keepdim=True))
        return colour, opacity, (shares * along).sum(-1)

    def render_pixels(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> Tensor:
        return self._along(pixels, camera_to_world, intrinsics)[0]

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        return Rendering(*self._along(pixel_centres(intrinsics), camera_to_world, intrinsics))

    def save(self, path: Path) -> None:
        raise NotImplementedError


FIELD = Blobs()
TRUTH = scene.camera(40, 20)
QUERY = FIELD.render(TRUTH.float(), CAMERA).colour


def turned(degrees: float, shift: float = 0.05, seed: int = 0) -> Tensor:
    """The true pose, turned about a random axis and shifted at random."""
    random = torch.Generator().manual_seed(seed)
    axes = torch.nn.functional.normalize(torch.randn(2, 3, generator=random, dtype=torch.float64), dim=-1)
    return se3.exp(torch.cat([shift * axes[0], math.radians(degrees) * axes[1]])) @ TRUTH
