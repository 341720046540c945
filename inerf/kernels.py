"""Compiled twin of ``inerf.photometric.sums_torch`` for the CPU."""

from __future__ import annotations

import numba
import numpy as np

_CHUNK = 1024  # samples summed by one task; constant, so that sums do not depend on the number of threads


@numba.njit(cache=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")
def _accumulate_chunk(query, points, colours, centre, camera, motion, squared_scale, start, stop, sums):
    """Add samples ``start`` to ``stop`` to ``sums`` (32,); the other arguments are those of ``accumulate``."""
    height, width = query.shape[0], query.shape[1]
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    for sample in range(start, stop):
        p0, p1, p2 = points[sample, 0], points[sample, 1], points[sample, 2]
        m0 = motion[0, 0] * p0 + motion[0, 1] * p1 + motion[0, 2] * p2 + motion[0, 3]
        m1 = motion[1, 0] * p0 + motion[1, 1] * p1 + motion[1, 2] * p2 + motion[1, 3]
        m2 = motion[2, 0] * p0 + motion[2, 1] * p1 + motion[2, 2] * p2 + motion[2, 3]
        depth = -(m2 + centre[2])
        if depth <= 1e-6:
            continue
        inverse = 1.0 / depth
        tx, ty = (m0 + centre[0]) * inverse, (m1 + centre[1]) * inverse
        x, y = fx * tx + cx - 0.5, cy - fy * ty - 0.5
        if not (x >= 0.0 and y >= 0.0 and x < width - 1 and y < height - 1):
            continue
        column, row = int(x), int(y)
        bx, by = np.float32(x - column), np.float32(y - row)
        w00, w01 = (1 - bx) * (1 - by), bx * (1 - by)
        w10, w11 = (1 - bx) * by, bx * by
        q00, q01 = query[row, column], query[row, column + 1]
        q10, q11 = query[row + 1, column], query[row + 1, column + 1]
        squared = sxx = sxy = syy = gx = gy = np.float32(0.0)
        for channel in range(3):
            second, third = channel + 3, channel + 6
            value = w00 * q00[channel] + w01 * q01[channel] + w10 * q10[channel] + w11 * q11[channel]
            along_x = w00 * q00[second] + w01 * q01[second] + w10 * q10[second] + w11 * q11[second]
            along_y = w00 * q00[third] + w01 * q01[third] + w10 * q10[third] + w11 * q11[third]
            residual = value - colours[sample, channel]
            along_x = np.float32(0.5) * (along_x + colours[sample, second])
            along_y = np.float32(0.5) * (along_y + colours[sample, third])
            squared += residual * residual
            sxx += along_x * along_x
            sxy += along_x * along_y
            syy += along_y * along_y
            gx += along_x * residual
            gy += along_y * residual
        ratio = 1.0 / (squared + squared_scale)
        sums[27] += squared * ratio
        sums[28] += 1.0
        weight = (squared_scale * ratio) ** 2
        if sxx + syy == 0.0:
            continue
        # rows of d(pixel) / d(twist): [I, -hat(m)] seen through the projection
        a, b = fx * inverse, -fy * inverse
        x2, y2 = a * tx, b * ty
        ju = (a, 0.0, x2, x2 * m1, a * m2 - x2 * m0, -a * m1)
        jv = (0.0, b, y2, -b * m2 + y2 * m1, -y2 * m0, b * m0)
        wxx, wxy, wyy, wx, wy = weight * sxx, weight * sxy, weight * syy, weight * gx, weight * gy
        entry = 0
        for i in range(6):
            su, sv = wxx * ju[i] + wxy * jv[i], wxy * ju[i] + wyy * jv[i]
            for j in range(i, 6):
                sums[entry] += su * ju[j] + sv * jv[j]
                entry += 1
            sums[21 + i] += wx * ju[i] + wy * jv[i]


@numba.njit(cache=True, parallel=True, error_model="numpy")
def accumulate(query, points, colours, centre, camera, motion, squared_scale):
    """Sum over all samples (32,): 21 entries of the Hessian's upper triangle, 6 of the gradient, cost, count, padding.

    Args:
        query: (height, width, 9) float32; points: (samples, 3) float32; colours: (samples, 9) float32;
        centre: (3,), camera: (4,) fx, fy, cx, cy, motion: (4, 4): float64; squared_scale: float.
    """
    count = points.shape[0]
    chunks = (count + _CHUNK - 1) // _CHUNK
    partial = np.zeros((chunks, 32))
    for chunk in numba.prange(chunks):
        stop = min(count, (chunk + 1) * _CHUNK)
        _accumulate_chunk(
            query, points, colours, centre, camera, motion, squared_scale, chunk * _CHUNK, stop, partial[chunk]
        )
    sums = np.zeros(32)
    for chunk in range(chunks):
        sums += partial[chunk]
    return sums
