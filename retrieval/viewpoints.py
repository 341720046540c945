"""Viewpoints: cameras between and apart from cameras, and as a query sees the object."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from utils.camera import Intrinsics
from utils.geometry import shortest_rotation

_APART = math.radians(15.0)  # hypotheses closer than this are one
_TURN = math.radians(12.0)  # step between the rolls that are tried


def sight(middle: Tensor, radius: Tensor, intrinsics: Intrinsics) -> tuple[Tensor, Tensor]:
    """Unit direction (..., 3), camera axes, of pixels ``middle`` (..., 2), and tangent (...) of ``radius`` pixels."""
    x = (middle[..., 0] - intrinsics.centre_x) / intrinsics.focal_x
    y = -(middle[..., 1] - intrinsics.centre_y) / intrinsics.focal_y
    ray = functional.normalize(torch.stack([x, y, -torch.ones_like(x)], -1), dim=-1)
    return ray, radius / (0.5 * (intrinsics.focal_x + intrinsics.focal_y))


def about_axis(angle: Tensor) -> Tensor:
    """Rotations (..., 3, 3) by ``angle`` (...) about the camera's z axis."""
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = ([cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one])
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def directions(camera_to_world: Tensor, centre: Tensor) -> Tensor:
    """Unit directions (views, 3) from ``centre`` (3,) to the cameras (views, 4, 4)."""
    return functional.normalize(camera_to_world[:, :3, 3] - centre, dim=-1)


def sphere(count: int) -> Tensor:
    """``count`` unit vectors (count, 3) spread evenly over the sphere (Fibonacci's lattice)."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1.0 - 2.0 * index / count
    azimuth = math.pi * (1.0 + math.sqrt(5.0)) * index
    ring = (1.0 - z * z).sqrt()
    return torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), z], -1).float()


def virtual_poses(camera_to_world: Tensor, centre: Tensor, count: int) -> Tensor:
    """Cameras (at most ``count``, 4, 4) between those of the views (views, 4, 4).

    Each is the nearest view's camera, swung about ``centre`` the shortest way to a direction of an even lattice;
    directions far from all views are left out.
    """
    known = directions(camera_to_world, centre)
    wanted = sphere(count)
    angle, nearest = (wanted @ known.T).clamp(-1, 1).acos().min(1)
    keep = angle <= max(math.radians(25.0), 1.5 * _spacing(known))
    swing = shortest_rotation(known[nearest[keep]], wanted[keep])
    source = camera_to_world[nearest[keep]]
    poses = source.clone()
    poses[:, :3, :3] = swing @ source[:, :3, :3]
    poses[:, :3, 3] = (swing @ (source[:, :3, 3] - centre)[..., None])[..., 0] + centre
    return poses


def _spacing(known: Tensor) -> float:
    """Median angle between a view and the one nearest to it."""
    if len(known) < 2:
        return 0.0
    cosine = known @ known.T
    cosine.fill_diagonal_(-1.0)
    return float(cosine.max(1).values.clamp(-1, 1).acos().median())


def turns(camera_to_world: Tensor, centre: Tensor) -> Tensor:
    """Angles (rolls,) by which queries may be turned in the picture, judged by how views differ from their neighbours.

    Upright views give a few small angles (near the poles even they turn), held-anyhow ones the whole circle.
    """
    known = directions(camera_to_world, centre)
    largest = _TURN
    if len(known) > 1:
        cosine = known @ known.T
        cosine.fill_diagonal_(-1.0)
        neighbour = cosine.argmax(1)
        swung = shortest_rotation(known[neighbour], known) @ camera_to_world[neighbour, :3, :3]
        relative = camera_to_world[:, :3, :3].transpose(1, 2) @ swung
        largest = max(largest, float(torch.atan2(relative[:, 1, 0], relative[:, 0, 0]).abs().max()))
    steps = math.ceil(largest / _TURN - 0.1)
    if largest > math.radians(60.0):
        return torch.arange(round(2 * math.pi / _TURN)) * _TURN
    return torch.arange(-steps, steps + 1) * _TURN


def diverse(score: Tensor, camera_to_world: Tensor, top_k: int) -> Tensor:
    """Indices of at most ``top_k`` cameras (cameras, 4, 4), best ``score`` (cameras,) first, 15 degrees or more apart.

    The first is the best of all; among equals, the one that comes first.
    """
    chosen: list[int] = []
    rotations = camera_to_world[:, :3, :3]
    for index in score.argsort(descending=True, stable=True).tolist():
        trace = (rotations[chosen] * rotations[index]).sum((1, 2))
        if bool((trace < 1.0 + 2.0 * math.cos(_APART)).all()):
            chosen.append(index)
            if len(chosen) == top_k:
                break
    return torch.tensor(chosen)


def as_seen(poses: Tensor, rays: Tensor, sizes: Tensor, centre: Tensor, ray: Tensor, size: float) -> Tensor:
    """Cameras that see the object along ``ray`` and as large as ``size``, from the viewpoints of others.

    Args:
        poses: (poses, 4, 4), which see it along ``rays`` (poses, 3), camera axes, as large as ``sizes`` (poses,).
        centre: (3,) about where the object is.
        ray: (3,) unit direction, camera axes. size: tangent of the angle of its radius.
    """
    seen = (poses[:, :3, :3] @ rays[..., None])[..., 0]  # (poses, 3) world
    distance = ((centre - poses[:, :3, 3]) * seen).sum(-1, keepdim=True)
    point = poses[:, :3, 3] + seen * distance
    result = poses.clone()
    result[:, :3, :3] = poses[:, :3, :3] @ shortest_rotation(ray.expand_as(rays), rays)
    result[:, :3, 3] = point - seen * distance * (sizes / size)[:, None]
    return result
