"""Rigid motions SE(3) and the exponential map of their twists.

Convention
----------
A twist is (..., 6) = (translation part rho, rotation part omega); ``exp`` maps it to a rigid motion (..., 4, 4).
Closed forms after Sola et al., "A micro Lie theory for state estimation in robotics", arXiv:1812.01537, eqs. 145-147
and 172-180, with series where the angle is small, so that values and gradients are exact at zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_SMALL = 1e-2  # squared angle below which the series (error < 1e-14) replaces the quotient
_SERIES = [[(-1.0) ** term / math.factorial(2 * term + first) for term in range(6)] for first in (1, 2, 3)]


def hat(vector: Tensor) -> Tensor:
    """Return the cross-product matrix (..., 3, 3) of ``vector`` (..., 3): ``hat(a) @ b = a x b``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.stack(rows, -2)


@lru_cache
def _series_table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the series' coefficients (functions, terms), copied to each device once, since a copy synchronises it."""
    with torch.inference_mode(False):
        return torch.tensor(_SERIES, dtype=dtype, device=device)


def _coefficients(squared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute sin(a)/a, (1 - cos a)/a^2 and (a - sin a)/a^3 from the squared angle a^2."""
    table = _series_table(squared.dtype, squared.device)
    powers = squared[..., None] ** torch.arange(table.shape[1], device=squared.device)
    series = powers @ table.T
    small = squared < _SMALL
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    sine = angle.sin()
    closed = torch.stack([sine / angle, (1.0 - angle.cos()) / safe, (angle - sine) / (safe * angle)], -1)
    first, second, third = torch.where(small[..., None], series, closed).unbind(-1)
    return first, second, third


def exp(twist: Tensor) -> Tensor:
    """Map a twist to its rigid motion, smoothly everywhere.

    Args:
        twist: (..., 6), translation part first, rotation part (radians) second.
    Returns:
        (..., 4, 4) in SE(3), of the twist's dtype and device.

    >>> exp(torch.zeros(6)).equal(torch.eye(4))
    True
    """
    rho, omega = twist[..., :3], twist[..., 3:]
    first, second, third = (value[..., None, None] for value in _coefficients((omega * omega).sum(-1)))
    cross = hat(omega)
    square = cross @ cross
    eye = torch.eye(3, dtype=twist.dtype, device=twist.device)
    rotation = eye + first * cross + second * square
    translation = (eye + second * cross + third * square) @ rho[..., None]
    bottom = torch.eye(4, dtype=twist.dtype, device=twist.device)[3]
    top = torch.cat([rotation, translation], -1)
    return torch.cat([top, bottom.expand(*top.shape[:-2], 1, 4)], -2)


def exp_numpy(twist: np.ndarray) -> np.ndarray:
    """Map one twist (6,) float64 to its motion (4, 4) as ``exp`` does, 20 times faster.

    >>> bool((exp_numpy(np.zeros(6)) == np.eye(4)).all())
    True
    """
    x, y, z = omega = twist[3:]
    squared = float(omega @ omega)
    if squared < _SMALL:
        first, second, third = (sum(c * squared**power for power, c in enumerate(series)) for series in _SERIES)
    else:
        angle = math.sqrt(squared)
        first, second = math.sin(angle) / angle, (1.0 - math.cos(angle)) / squared
        third = (1.0 - first) / squared
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    square, motion = cross @ cross, np.eye(4)
    motion[:3, :3] += first * cross + second * square
    motion[:3, 3] = twist[:3] + (second * cross + third * square) @ twist[:3]
    return motion


def inverse(motion: Tensor) -> Tensor:
    """Return the inverse (..., 4, 4) of a rigid motion (..., 4, 4)."""
    rotation = motion[..., :3, :3].transpose(-1, -2)
    result = motion.clone()
    result[..., :3, :3] = rotation
    result[..., :3, 3:] = -rotation @ motion[..., :3, 3:]
    return result


def renormalised(motion: Tensor) -> Tensor:
    """Replace the rotation part of ``motion`` (..., 4, 4) by the nearest rotation (polar decomposition)."""
    left, _, right = torch.linalg.svd(motion[..., :3, :3])
    sign = torch.ones_like(motion[..., 0, :3])
    sign[..., 2] = torch.linalg.det(left @ right)
    result = motion.clone()
    result[..., :3, :3] = (left * sign[..., None, :]) @ right
    return result
