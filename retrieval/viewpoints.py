"""Geometry of viewpoints: cameras between others, candidate rolls, and poses adapted to a query."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from utils.camera import Intrinsics
from utils.geometry import shortest_rotation

_MIN_SEPARATION = math.radians(15.0)  # hypotheses closer than this are duplicates
_ROLL_STEP = math.radians(12.0)  # between candidate rolls
_ANY_ROLL = math.radians(60.0)  # roll between neighbouring views above which queries may have any roll
_MAX_GAP = math.radians(25.0)  # from a virtual camera to the nearest view, at most, where views are dense


def angular_radius(radius: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Convert a ``radius`` in pixels to the tangent of its angle."""
    return radius / (0.5 * (intrinsics.focal_x + intrinsics.focal_y))


def roll_rotations(angle: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) by ``angle`` (...) about the camera's z axis."""
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = ([cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one])
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def view_directions(camera_to_world: Tensor, centre: Tensor) -> Tensor:
    """Return unit directions (views, 3) from ``centre`` (3,) to the cameras (views, 4, 4)."""
    return functional.normalize(camera_to_world[:, :3, 3] - centre, dim=-1)


def fibonacci_sphere(count: int) -> Tensor:
    """Return ``count`` unit vectors (count, 3) spread evenly over the sphere (Fibonacci lattice)."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1.0 - 2.0 * index / count
    azimuth = math.pi * (1.0 + math.sqrt(5.0)) * index
    ring = (1.0 - z * z).sqrt()
    return torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), z], -1).float()


def virtual_poses(camera_to_world: Tensor, centre: Tensor, count: int) -> Tensor:
    """Return cameras (at most ``count``, 4, 4) between those of the views (views, 4, 4).

    Each is the nearest view's camera, rotated about ``centre`` to a direction of an even lattice; directions far from
    all views are left out.
    """
    known = view_directions(camera_to_world, centre)
    lattice = fibonacci_sphere(count)
    angle, nearest = (lattice @ known.T).clamp(-1, 1).acos().min(1)
    keep = angle <= max(_MAX_GAP, 1.5 * _median_spacing(known))
    rotation = shortest_rotation(known[nearest[keep]], lattice[keep])
    source = camera_to_world[nearest[keep]]
    poses = source.clone()
    poses[:, :3, :3] = rotation @ source[:, :3, :3]
    poses[:, :3, 3] = (rotation @ (source[:, :3, 3] - centre)[..., None])[..., 0] + centre
    return poses


def _neighbours(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and index (views,) of the direction nearest to each of at least two ``directions`` (views, 3)."""
    cosine = directions @ directions.T
    cosine.fill_diagonal_(-1.0)
    largest, index = cosine.max(1)
    return largest, index


def _median_spacing(directions: Tensor) -> float:
    """Return the median angle between a view and its nearest neighbour."""
    return float(_neighbours(directions)[0].clamp(-1, 1).acos().median()) if len(directions) > 1 else 0.0


def candidate_rolls(camera_to_world: Tensor, centre: Tensor) -> Tensor:
    """Return the rolls (rolls,) in radians that queries may have, judged by the rolls between neighbouring views.

    Upright views give a few small angles (near the poles even those roll), views held at any roll the whole circle.
    """
    known = view_directions(camera_to_world, centre)
    largest = _ROLL_STEP
    if len(known) > 1:
        neighbour = _neighbours(known)[1]
        rotated = shortest_rotation(known[neighbour], known) @ camera_to_world[neighbour, :3, :3]
        relative = camera_to_world[:, :3, :3].transpose(1, 2) @ rotated
        largest = max(largest, float(torch.atan2(relative[:, 1, 0], relative[:, 0, 0]).abs().max()))
    if largest > _ANY_ROLL:
        return torch.arange(round(2 * math.pi / _ROLL_STEP)) * _ROLL_STEP
    steps = math.ceil(largest / _ROLL_STEP - 0.1)
    return torch.arange(-steps, steps + 1) * _ROLL_STEP


def select_diverse(score: Tensor, camera_to_world: Tensor, top_k: int) -> Tensor:
    """Select at most ``top_k`` cameras (cameras, 4, 4) by ``score`` (cameras,), at least 15 degrees apart.

    Returns:
        Indices, best first; the first is the best of all, and among equals the one with the lowest index.
    """
    chosen: list[int] = []
    rotations = camera_to_world[:, :3, :3]
    for index in score.argsort(descending=True, stable=True).tolist():
        trace = (rotations[chosen] * rotations[index]).sum((1, 2))
        if bool((trace < 1.0 + 2.0 * math.cos(_MIN_SEPARATION)).all()):
            chosen.append(index)
            if len(chosen) == top_k:
                break
    return torch.tensor(chosen)


def reframe_poses(poses: Tensor, rays: Tensor, sizes: Tensor, centre: Tensor, ray: Tensor, size: float) -> Tensor:
    """Rotate and move cameras so that they see the object along ``ray`` and as large as ``size``.

    Args:
        poses: (poses, 4, 4) of cameras that see the object along ``rays`` (poses, 3), unit directions in camera axes,
            as large as ``sizes`` (poses,), tangents of the angle of its radius.
        centre: (3,) approximate position of the object.
        ray: (3,) unit direction, camera axes.
        size: tangent of the angle of its radius.
    Returns:
        (poses, 4, 4) from about the same viewpoints.
    """
    seen = (poses[:, :3, :3] @ rays[..., None])[..., 0]  # (poses, 3) world
    distance = ((centre - poses[:, :3, 3]) * seen).sum(-1, keepdim=True)
    point = poses[:, :3, 3] + seen * distance
    result = poses.clone()
    result[:, :3, :3] = poses[:, :3, :3] @ shortest_rotation(ray.expand_as(rays), rays)
    result[:, :3, 3] = point - seen * distance * (sizes / size)[:, None]
    return result
