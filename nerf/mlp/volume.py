"""Where a ray takes its samples, and how they add up to a pixel: NeRF's equations as pure functions.

Depths are measured along the viewing axis, as nerf-pytorch does: a ray's direction then has unit length along that
axis, and samples of all rays of a picture lie in the same planes. Source: NeRF, arXiv:2003.08934, sections 4 and 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.camera import Intrinsics, camera_directions

ENDLESS = 1e10  # length of the last interval where the end of a ray is opaque
LEAST_WEIGHT = 1e-5  # what every interval's weight is raised by before importance sampling


@dataclass(frozen=True)
class Rays:
    """Rays whose parameter is the depth along the viewing axis."""

    origins: Tensor  # (rays, 3)
    directions: Tensor  # (rays, 3), of length 1 along the viewing axis

    def points(self, depths: Tensor) -> Tensor:
        """World positions (rays, samples, 3) at ``depths`` (rays, samples)."""
        return self.origins[:, None] + self.directions[:, None] * depths[..., None]

    def stretch(self) -> Tensor:
        """Distance along each ray per unit of depth: (rays, 1), at least 1."""
        return self.directions.norm(dim=-1, keepdim=True)


def axis_rays(pixels: Tensor, intrinsics: Intrinsics, camera_to_world: Tensor) -> Rays:
    """The rays through ``pixels`` (rays, 2), differentiable in ``camera_to_world`` (4, 4), or (rays, 4, 4)."""
    unit = camera_directions(pixels, intrinsics)
    at_unit_depth = unit / -unit[:, 2:]
    camera = camera_to_world.to(pixels)
    directions = (camera[..., :3, :3] * at_unit_depth[:, None]).sum(-1)
    return Rays(camera[..., :3, 3].expand_as(directions), directions)


def stratified_depths(near: float, far: float, samples: int, jitter: Tensor) -> Tensor:
    """Depths from ``near`` to ``far``: NeRF eq. 2, in nerf-pytorch's manner.

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
    """Depths drawn from the piecewise constant density that ``weights`` make, by inverting its running sum.

    Args:
        depths: (rays, samples), ascending; the intervals lie between their midpoints.
        weights: (rays, samples) compositing weights; the first and the last one are left out.
        uniform: (rays, drawn) in [0, 1].
    Returns:
        (rays, drawn); ascending where ``uniform`` is.
    """
    edges = 0.5 * (depths[:, 1:] + depths[:, :-1])  # (rays, samples - 1)
    mass = weights[:, 1:-1] + LEAST_WEIGHT
    total = torch.cumsum(mass / mass.sum(-1, keepdim=True), -1)
    total = torch.nn.functional.pad(total, (1, 0))  # (rays, samples - 1)
    above = torch.searchsorted(total, uniform.contiguous(), right=True)
    below, above = (above - 1).clamp(min=0), above.clamp(max=total.shape[1] - 1)
    start, width = total.gather(1, below), total.gather(1, above) - total.gather(1, below)
    width = torch.where(width < LEAST_WEIGHT, torch.ones_like(width), width)
    left, right = edges.gather(1, below), edges.gather(1, above)
    return left + (uniform - start) / width * (right - left)


def intervals(depths: Tensor, opaque_end: bool) -> Tensor:
    """What each sample stands for, in units of depth: (rays, samples).

    The last sample has no successor: it stands for nothing, or with ``opaque_end`` for all that follows, which makes
    it opaque wherever there is any density, as in networks that nerf-pytorch has trained.
    """
    last = torch.full_like(depths[:, :1], ENDLESS if opaque_end else 0.0)
    return torch.cat([depths[:, 1:] - depths[:, :-1], last], -1)


def transmittance(optical: Tensor) -> Tensor:
    """The share of light (rays, samples) that reaches each sample past those before it, of optical depths ``optical``.

    The running sum is shifted, not subtracted: one huge optical depth would make differences meaningless.

    >>> transmittance(torch.tensor([[0.0, 1e12, 1.0]])).tolist()
    [[1.0, 1.0, 0.0]]
    """
    return torch.exp(-torch.cumsum(torch.nn.functional.pad(optical[:, :-1], (1, 0)), -1))


def compositing_weights(optical: Tensor) -> Tensor:
    """The share of each sample in its pixel, NeRF eq. 3: (rays, samples), summing to at most 1 along each ray."""
    return transmittance(optical) * -torch.expm1(-optical)
