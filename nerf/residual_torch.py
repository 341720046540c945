"""The loops of ``nerf/residual_kernels.py`` in plain torch: what runs on CUDA, and the twin of the tests.

The arguments are those of the compiled loops, as tensors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nerf.residual_kernels import MIN_OPACITY, MIN_SHARE, MIN_SPREAD


class ViewArrays(NamedTuple):
    """What is looked up in the views; see ``ResidualViews``."""

    codes: Tensor
    depths: Tensor
    ranges: Tensor
    corners: Tensor
    cameras: Tensor
    lens: Tensor  # (4,) focal lengths and principal point of the views
    decoded: Tensor  # (256,) values of codes


def surface_points(depth: Tensor, camera: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points (height, width, 3) at ``depth`` along the rays of all pixels, and the rays' directions."""
    height, width = depth.shape
    line, column = torch.meshgrid(
        torch.arange(height, device=depth.device) + 0.5, torch.arange(width, device=depth.device) + 0.5, indexing="ij"
    )
    right, up = (column - lens[2]) / lens[0], -(line - lens[3]) / lens[1]
    local = torch.nn.functional.normalize(torch.stack([right, up, -torch.ones_like(up)], -1), dim=-1)
    directions = local @ camera[:3, :3].T
    return camera[:3, 3] + directions * depth[..., None], directions


def sample_view(view: int, points: Tensor, rays: Tensor, views: ViewArrays, tolerance: float) -> Tensor:
    """Return the weight of a view at points (points, 3), and its residual RGB and squared error: (points, 5)."""
    camera, lens = views.cameras[view], views.lens
    offset = points - camera[:3, 3]
    right, up, back = (offset @ camera[:3, :3]).unbind(-1)
    corner = views.corners[view]
    across = lens[2] - lens[0] * right / back - 0.5 - corner[0]
    down = lens[3] + lens[1] * up / back - 0.5 - corner[1]
    height, width = views.depths.shape[1:]
    framed = (back < 0) & (across >= 0) & (down >= 0) & (across < width - 1) & (down < height - 1)
    across, down = torch.where(framed, across, 0.0), torch.where(framed, down, 0.0)
    column, line = across.long(), down.long()
    u, v, distance = across - column, down - line, offset.norm(dim=-1)
    near, step = views.ranges[view]
    total = points.new_zeros(len(points), 5)
    for j, i, part in ((0, 0, (1 - v) * (1 - u)), (0, 1, (1 - v) * u), (1, 0, v * (1 - u)), (1, 1, v * u)):
        at = line.clamp(max=height - 1 - j) + j, column.clamp(max=width - 1 - i) + i
        code = views.depths[view][at]
        shown = framed & (code > 0) & ((near + code * step - distance).abs() <= tolerance)
        values = views.decoded[views.codes[view][at].long()]  # (points, 4)
        values = torch.cat([torch.ones_like(values[:, :1]), values[:, :3], values[:, 3:].square()], 1)
        total += torch.where(shown, part, 0.0)[:, None] * values
    share = total[:, :1]
    closeness = 1.0 / ((1.0 - (offset * rays).sum(-1) / distance).clamp(min=0) + float(MIN_SPREAD))
    weight = closeness[:, None].square() * share
    sampled = torch.cat([weight, total[:, 1:] / share.clamp(min=float(MIN_SHARE))], 1)
    return torch.where(share >= float(MIN_SHARE), sampled, 0.0)


def blend_residuals(
    opacity: Tensor, depth: Tensor, camera: Tensor, lens: Tensor, views: ViewArrays, chosen: Tensor, tolerance: float
) -> Tensor:
    """Return (height, width, 5): the weighted means of residual RGB and squared error, and the weights' sum."""
    solid = opacity >= float(MIN_OPACITY)
    points, rays = (each[solid] for each in surface_points(depth, camera, lens))
    total = points.new_zeros(len(points), 5)
    for view in chosen.tolist():
        sampled = sample_view(view, points, rays, views, tolerance)
        total += torch.cat([sampled[:, :1] * sampled[:, 1:], sampled[:, :1]], 1)
    total[:, :4] /= total[:, 4:].clamp(min=1e-12)
    blended = opacity.new_zeros(*opacity.shape, 5)
    blended[solid] = total
    return blended


def look_up_views(
    opacity: Tensor, depth: Tensor, camera: Tensor, lens: Tensor, views: ViewArrays, chosen: Tensor, tolerance: float
) -> Tensor:
    """Return (height, width, 4 views): each view's residual RGB and 1, or 0 where it does not show the point."""
    solid = opacity >= float(MIN_OPACITY)
    points, rays = (each[solid] for each in surface_points(depth, camera, lens))
    single = opacity.new_zeros(*opacity.shape, len(chosen), 4)
    for number, view in enumerate(chosen.tolist()):
        sampled = sample_view(view, points, rays, views, tolerance)
        single[:, :, number][solid] = torch.cat([sampled[:, 1:4], (sampled[:, :1] > 0).float()], 1)
    return single.flatten(2)


def cells_of(points: Tensor, low: Tensor, side: float, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Return the flat cell (points,) of a lattice of ``shape`` for each of points (points, 3), and which are in it."""
    cells = ((points - low) / side).floor().long()
    inside = ((cells >= 0) & (cells < torch.tensor(shape, device=cells.device))).all(-1)
    flat = (cells[:, 0] * shape[1] + cells[:, 1]) * shape[2] + cells[:, 2]
    return torch.where(inside, flat, 0), inside


def count_views(views: ViewArrays, low: Tensor, side: float, counts: Tensor) -> None:
    """Add to ``counts`` (nx, ny, nz) how many views show a surface in each cell."""
    for view, depths in enumerate(views.depths):
        window = torch.cat([views.lens[:2], views.lens[2:] - views.corners[view]])
        distance = views.ranges[view, 0] + depths * views.ranges[view, 1]
        points = surface_points(distance, views.cameras[view], window)[0][depths > 0]
        flat, inside = cells_of(points, low, side, counts.shape)
        counts.view(-1)[flat[inside].unique()] += 1


def look_up_counts(
    opacity: Tensor, depth: Tensor, camera: Tensor, lens: Tensor, cells: tuple[Tensor, Tensor, float]
) -> Tensor:
    """Return the count (height, width) of the cell in which each pixel's surface lies, else 0."""
    counts, low, side = cells
    points, _ = surface_points(depth, camera, lens)
    flat, inside = cells_of(points.reshape(-1, 3), low, side, counts.shape)
    seen = torch.where(inside, counts.view(-1)[flat], 0).view(opacity.shape)
    return torch.where(opacity >= float(MIN_OPACITY), seen, 0).to(counts.dtype)
