"""Rays and the depths of their samples, as pure functions (NeRF, arXiv:2003.08934, sections 4 and 5.2).

Depths are measured along the viewing axis, as nerf-pytorch does: a ray's direction then has unit length along that
axis, and samples of all rays of an image lie in the same planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.camera import Intrinsics, camera_directions

ENDLESS = 1e10  # length of the last interval where the end of a ray is opaque
MIN_WEIGHT = 1e-5  # added to every interval's weight before importance sampling


@dataclass(frozen=True)
class AxisRays:
    """Rays whose parameter is the depth along the viewing axis."""

    origins: Tensor  # (rays, 3)
    directions: Tensor  # (rays, 3), of length 1 along the viewing axis

    def points(self, depths: Tensor) -> Tensor:
        """Return world positions (rays, samples, 3) at ``depths`` (rays, samples)."""
        return self.origins[:, None] + self.directions[:, None] * depths[..., None]

    def lengths(self) -> Tensor:
        """Return the distance along each ray per unit of depth: (rays, 1), at least 1."""
        return self.directions.norm(dim=-1, keepdim=True)


def axis_rays(pixels: Tensor, intrinsics: Intrinsics, camera_to_world: Tensor) -> AxisRays:
    """Return the rays through ``pixels`` (rays, 2), differentiable in ``camera_to_world`` (4, 4) or (rays, 4, 4)."""
    unit = camera_directions(pixels, intrinsics)
    at_unit_depth = unit / -unit[:, 2:]
    camera = camera_to_world.to(pixels)
    directions = (camera[..., :3, :3] * at_unit_depth[:, None]).sum(-1)
    return AxisRays(camera[..., :3, 3].expand_as(directions), directions)


def stratified_depths(near: float, far: float, samples: int, jitter: Tensor) -> Tensor:
    """Return depths from ``near`` to ``far`` (NeRF eq. 2, with nerf-pytorch's intervals).

    Args:
        samples: number of samples, at least 2.
        jitter: (rays, samples) in [0, 1): the place of each sample in its interval, whose bounds are the midpoints
            between evenly spaced depths; (rays, 0) leaves the samples evenly spaced.
    Returns:
        (rays, samples), ascending.
    """
    share = torch.linspace(0, 1, samples, device=jitter.device, dtype=jitter.dtype)
    depths = near * (1 - share) + far * share
    if jitter.shape[1] == 0:
        return depths.expand(len(jitter), samples)
    middles = 0.5 * (depths[1:] + depths[:-1])
    lower, upper = torch.cat([depths[:1], middles]), torch.cat([middles, depths[-1:]])
    return lower + (upper - lower) * jitter


def importance_depths(depths: Tensor, weights: Tensor, uniform: Tensor) -> Tensor:
    """Draw depths from the piecewise constant density that ``weights`` define, by inverting its running sum.

    Args:
        depths: (rays, samples), ascending; the intervals lie between their midpoints.
        weights: (rays, samples) compositing weights; the first and the last one are left out.
        uniform: (rays, drawn) in [0, 1].
    Returns:
        (rays, drawn); ascending where ``uniform`` is.
    """
    edges = 0.5 * (depths[:, 1:] + depths[:, :-1])  # (rays, samples - 1)
    mass = weights[:, 1:-1] + MIN_WEIGHT
    total = torch.cumsum(mass / mass.sum(-1, keepdim=True), -1)
    total = torch.nn.functional.pad(total, (1, 0))  # (rays, samples - 1)
    above = torch.searchsorted(total, uniform.contiguous(), right=True)
    below, above = (above - 1).clamp(min=0), above.clamp(max=total.shape[1] - 1)
    start, width = total.gather(1, below), total.gather(1, above) - total.gather(1, below)
    width = torch.where(width < MIN_WEIGHT, torch.ones_like(width), width)
    left, right = edges.gather(1, below), edges.gather(1, above)
    return left + (uniform - start) / width * (right - left)


def intervals(depths: Tensor, opaque_end: bool) -> Tensor:
    """Return the length that each sample stands for, in units of depth: (rays, samples).

    The last sample has no successor: it stands for nothing, or with ``opaque_end`` for all that follows, which makes
    it opaque wherever there is any density, as in networks that nerf-pytorch has trained.
    """
    last = torch.full_like(depths[:, :1], ENDLESS if opaque_end else 0.0)
    return torch.cat([depths[:, 1:] - depths[:, :-1], last], -1)
