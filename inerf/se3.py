"""SE(3): rigid motions and their twists.

Convention
----------
A twist is (..., 6) = (translation part rho, rotation part omega); ``exp`` of it is the rigid motion (..., 4, 4).
Closed forms after Sola et al., "A micro Lie theory for state estimation in robotics", arXiv:1812.01537, eqs. 145-147
and 172-180, with series where the angle is small, so that values and gradients are exact at zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

_SMALL = 1e-2  # squared angle below which the series (error < 1e-14) replaces the quotient
_SERIES = [[(-1.0) ** term / math.factorial(2 * term + first) for term in range(6)] for first in (1, 2, 3)]


def hat(vector: Tensor) -> Tensor:
    """Cross-product matrix (..., 3, 3) of ``vector`` (..., 3): ``hat(a) @ b = a x b``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.stack(rows, -2)


@lru_cache
def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The series' terms (functions, terms), carried to a device once: that waits for all that it has to do."""
    with torch.inference_mode(False):
        return torch.tensor(_SERIES, dtype=dtype, device=device)


def _coefficients(squared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sin(a)/a, (1 - cos a)/a^2 and (a - sin a)/a^3 of the squared angle a^2."""
    table = _table(squared.dtype, squared.device)
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
    """Rigid motion of a twist, smooth everywhere.

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


def rotation_log(rotation: Tensor) -> Tensor:
    """Rotation vector (..., 3), of length at most pi, of ``rotation`` (..., 3, 3), by way of its quaternion.

    The quaternion is read from whichever of its four components is largest, hence no digits are lost at 0 or at pi.
    """
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation.flatten(-2).unbind(-1)
    squares = torch.stack(
        [1 + r00 + r11 + r22, 1 + r00 - r11 - r22, 1 - r00 + r11 - r22, 1 - r00 - r11 + r22], -1
    )  # (..., 4): four times the squared components w, x, y, z
    rows = [
        torch.stack(row, -1)
        for row in (
            (squares[..., 0], r21 - r12, r02 - r20, r10 - r01),
            (r21 - r12, squares[..., 1], r10 + r01, r02 + r20),
            (r02 - r20, r10 + r01, squares[..., 2], r21 + r12),
            (r10 - r01, r02 + r20, r21 + r12, squares[..., 3]),
        )
    ]
    largest = squares.argmax(-1, keepdim=True)
    row = torch.stack(rows, -2).gather(-2, largest[..., None].expand(*largest.shape, 4)).squeeze(-2)
    quaternion = row / (2.0 * squares.gather(-1, largest).sqrt())
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    real, imaginary = quaternion[..., 0], quaternion[..., 1:]
    squared = (imaginary * imaginary).sum(-1)
    small = squared < 1e-4
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    ratio = squared / real.clamp(min=0.1).square()  # tan^2 of half the angle
    series = 2.0 / real.clamp(min=0.1) * (1 - ratio / 3 * (1 - ratio * 3 / 5 * (1 - ratio * 5 / 7)))
    factor = torch.where(small, series, 2.0 * torch.atan2(sine, real) / sine)
    return factor[..., None] * imaginary


def log(motion: Tensor) -> Tensor:
    """Twist of a rigid motion, the inverse of ``exp`` for rotation angles below pi.

    Args:
        motion: (..., 4, 4) in SE(3).
    Returns:
        (..., 6), translation part first, rotation part (radians, length at most pi) second.
    """
    omega = rotation_log(motion[..., :3, :3])
    squared = (omega * omega).sum(-1)
    _, second, third = _coefficients(squared)
    cross = hat(omega)
    eye = torch.eye(3, dtype=motion.dtype, device=motion.device)
    jacobian = eye + second[..., None, None] * cross + third[..., None, None] * (cross @ cross)
    rho = torch.linalg.solve(jacobian, motion[..., :3, 3:]).squeeze(-1)
    return torch.cat([rho, omega], -1)


def inverse(motion: Tensor) -> Tensor:
    """Inverse (..., 4, 4) of a rigid motion (..., 4, 4)."""
    rotation = motion[..., :3, :3].transpose(-1, -2)
    result = motion.clone()
    result[..., :3, :3] = rotation
    result[..., :3, 3:] = -rotation @ motion[..., :3, 3:]
    return result


def renormalised(motion: Tensor) -> Tensor:
    """``motion`` (..., 4, 4) with its rotation replaced by the nearest one (polar decomposition)."""
    left, _, right = torch.linalg.svd(motion[..., :3, :3])
    sign = torch.ones_like(motion[..., 0, :3])
    sign[..., 2] = torch.linalg.det(left @ right)
    result = motion.clone()
    result[..., :3, :3] = (left * sign[..., None, :]) @ right
    return result
