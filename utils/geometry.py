"""Geometry of points and directions that several rooms need."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

WEAK_PRIOR = 1e-3  # a prior weight that decides only what the viewing axes leave open


def common_point(camera_to_world: Tensor, prior_weight: float = 0.0) -> Tensor:
    """Find the point (3,) float32 nearest to all viewing axes of cameras (views, 4, 4), by least squares.

    One camera, or parallel ones, leave it open along the axis. A ``prior_weight`` above 0, as ``WEAK_PRIOR`` is,
    pulls it to where the cameras look at the distance of the world's origin; 1 is as strong as the axes.
    """
    eye, axis = camera_to_world[:, :3, 3].double(), -camera_to_world[:, :3, 2].double()
    identity = torch.eye(3, dtype=torch.float64)
    across = identity - axis[:, :, None] * axis[:, None, :]  # (views, 3, 3) projections across the axes
    prior = (eye + axis * eye.norm(dim=-1, keepdim=True)).mean(0)
    weight = prior_weight * len(eye)
    matrix = across.sum(0) + weight * identity
    target = (across @ eye[:, :, None]).sum(0) + weight * prior[:, None]
    return torch.linalg.lstsq(matrix, target).solution[:, 0].float()


def shortest_rotation(source: Tensor, target: Tensor) -> Tensor:
    """Return the rotation (..., 3, 3) that takes unit vectors ``source`` to ``target`` (..., 3) by the shortest way.

    Opposite vectors, which have no single shortest way, are turned about some axis at right angles.
    """
    cosine = (source * target).sum(-1)
    other = functional.one_hot(source.abs().argmin(-1), 3).to(source.dtype)
    normal = functional.normalize(torch.linalg.cross(source, other), dim=-1)
    opposite = (cosine < -0.999999)[..., None, None]
    x, y, z = torch.linalg.cross(source, target).unbind(-1)
    zero = torch.zeros_like(x)
    rows = ([zero, -z, y], [z, zero, -x], [-y, x, zero])
    skew = torch.stack([torch.stack(row, -1) for row in rows], -2)
    identity = torch.eye(3, dtype=source.dtype)
    usual = identity + skew + skew @ skew / (1.0 + cosine).clamp(min=1e-6)[..., None, None]
    return torch.where(opposite, 2.0 * normal[..., :, None] * normal[..., None, :] - identity, usual)


def best_similarity(source: Tensor, target: Tensor) -> tuple[float, Tensor, Tensor]:
    """Fit the similarity that takes poses ``source`` (views, 4, 4) to ``target`` with the least squared error.

    Both the camera centres (Umeyama, PAMI 1991) and the directions of the axes decide the rotation: an axis weighs as
    much as a centre at the root-mean-square distance from all of them.

    Returns:
        Scale, rotation (3, 3) and translation (3,), float64.
    """
    source, target = source.double(), target.double()
    first, second = source[:, :3, 3], target[:, :3, 3]
    spread, moved = first - first.mean(0), second - second.mean(0)
    axes = (target[:, :3, :3] @ source[:, :3, :3].transpose(1, 2)).sum(0)
    size = spread.square().sum()
    left, _, right = torch.linalg.svd(moved.T @ spread + size / len(spread) * axes)
    left[:, 2] *= torch.linalg.det(left @ right)
    rotation = left @ right
    scale = float((moved * (spread @ rotation.T)).sum() / size.clamp(min=1e-12))
    return scale, rotation, second.mean(0) - scale * rotation @ first.mean(0)


def farthest_points(distances_from: Callable[[int], Tensor], first: int) -> Iterator[int]:
    """Yield rows of which each next one is the farthest from all before it (greedy k-centre, Gonzalez 1985).

    Args:
        distances_from: returns the distances (rows,) of all rows from one row, or their squares, in a new tensor.
        first: the row to begin with.
    """
    row, nearest = first, distances_from(first)  # (rows,) distances to the nearest row that was yielded
    for _ in range(len(nearest)):
        yield row
        if row != first:
            torch.minimum(nearest, distances_from(row), out=nearest)
        nearest[row] = -float("inf")
        row = int(nearest.argmax())
