"""An exact little world for the tests: shaded, coloured spheres traced in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from utils.camera import Intrinsics, look_at, world_rays
from utils.rendering import Rendering

CAMERA = Intrinsics.from_angle(200, 200, 0.69)
BACKGROUND = 1.0

CENTRES = torch.tensor(
    [[0.0, 0.0, 0.0], [0.35, 0.1, 0.3], [-0.4, 0.2, 0.1], [0.1, -0.45, -0.1], [-0.1, 0.3, -0.45], [0.0, -0.2, 0.55]]
)
RADII = torch.tensor([0.45, 0.25, 0.22, 0.25, 0.2, 0.15])
COLOURS = torch.tensor(
    [[0.7, 0.2, 0.2], [0.2, 0.6, 0.3], [0.2, 0.3, 0.7], [0.8, 0.7, 0.2], [0.2, 0.2, 0.2], [0.6, 0.3, 0.6]]
)


def render(
    camera_to_world: Tensor, intrinsics: Intrinsics, oversample: int = 2, missing: tuple[int, ...] = ()
) -> Rendering:
    """Picture of the spheres, anti-aliased by ``oversample`` x ``oversample`` rays a pixel."""
    fine = intrinsics.resized(intrinsics.width * oversample, intrinsics.height * oversample)
    y, x = torch.meshgrid(torch.arange(fine.height) + 0.5, torch.arange(fine.width) + 0.5, indexing="ij")
    origins, directions = world_rays(torch.stack([x, y], -1).double(), fine, camera_to_world.double())
    keep = [index for index in range(len(RADII)) if index not in missing]
    offset = origins[..., None, :] - CENTRES[keep].double()  # (height, width, spheres, 3)
    along = (offset * directions[..., None, :]).sum(-1)
    inside = along.square() - offset.square().sum(-1) + RADII[keep].double().square()
    depth = -along - inside.clamp(min=0).sqrt()
    depth = torch.where((inside > 0) & (depth > 0), depth, torch.inf)
    nearest, which = depth.min(-1)
    hit = nearest.isfinite()
    nearest = torch.where(hit, nearest, 0.0)
    points = origins + directions * nearest[..., None]
    normal = (points - CENTRES[keep].double()[which]) / RADII[keep].double()[which][..., None]
    light = 0.6 + 0.4 * normal @ torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.8]).double(), dim=0)
    stripes = 0.85 + 0.15 * torch.sin(14.0 * points).prod(-1)
    colour = COLOURS[keep].double()[which] * (light * stripes)[..., None]
    colour = torch.where(hit[..., None], colour, BACKGROUND)
    shape = (intrinsics.height, oversample, intrinsics.width, oversample)
    colour = colour.reshape(*shape, 3).mean((1, 3)).float()
    opacity = hit.double().reshape(shape).mean((1, 3))
    mean_depth = nearest.reshape(shape).mean((1, 3)) / opacity.clamp(min=1e-9)
    return Rendering(colour, opacity.float(), torch.where(opacity > 0, mean_depth, 0.0).float())


def render_symmetric(camera_to_world: Tensor, intrinsics: Intrinsics, oversample: int = 2) -> Rendering:
    """Picture of the spheres beside themselves turned by 180 degrees about z: two poses show the same."""
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    aside = torch.eye(4, dtype=torch.float64)
    aside[0, 3] = -0.6
    one, two = (
        render(aside @ each @ camera_to_world.double(), intrinsics, oversample)
        for each in (torch.eye(4).double(), turn)
    )
    nearer = (two.opacity > 0) & ((one.opacity == 0) | (two.depth < one.depth))
    colour = torch.where(nearer[..., None], two.colour, one.colour)
    return Rendering(colour, *(torch.where(nearer, getattr(two, k), getattr(one, k)) for k in ("opacity", "depth")))


def camera(
    azimuth: float, elevation: float, radius: float = 3.0, target: tuple[float, float, float] = (0, 0, 0)
) -> Tensor:
    """``camera_to_world`` of a camera on a sphere, angles in degrees, z up."""
    a, e = math.radians(azimuth), math.radians(elevation)
    eye = radius * torch.tensor(
        [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)], dtype=torch.float64
    )
    return look_at(eye, torch.tensor(target, dtype=torch.float64), torch.tensor([0, 0, 1], dtype=torch.float64))
