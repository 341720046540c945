"""Compiled twin of ``inerf.photometric.sums_torch`` for the CPU."""

from __future__ import annotations

import numba
import numpy as np

_CHUNK = 1024  # samples summed by one task; constant, so that sums do not depend on the number of threads
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@numba.njit(cache=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")
def _accumulate_chunk(query, points, colours, lens, moved, squared_scale, start, stop, sums):
    """Write the sums over samples ``start`` to ``stop`` to ``sums`` (32,); the other arguments as ``accumulate``'s.

    Numbers are float32; each sum has a variable of its own, which stays in a register.
    """
    height, width = query.shape[0], query.shape[1]
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    fx, fy, cx, cy = lens[0], lens[1], lens[2] - _HALF, lens[3] - _HALF
    h00 = h02 = h03 = h04 = h05 = h11 = h12 = h13 = h14 = h15 = _ZERO
    h01 = h22 = h23 = h24 = h25 = h33 = h34 = h35 = h44 = h45 = h55 = _ZERO
    g0 = g1 = g2 = g3 = g4 = g5 = cost = count = _ZERO
    for sample in range(start, stop):
        p0, p1, p2 = points[sample, 0], points[sample, 1], points[sample, 2]
        m0 = moved[0, 0] * p0 + moved[0, 1] * p1 + moved[0, 2] * p2 + moved[0, 3]
        m1 = moved[1, 0] * p0 + moved[1, 1] * p1 + moved[1, 2] * p2 + moved[1, 3]
        m2 = moved[2, 0] * p0 + moved[2, 1] * p1 + moved[2, 2] * p2 + moved[2, 3]
        depth = -(m2 + moved[2, 4])
        if depth <= np.float32(1e-6):
            continue
        inverse = _ONE / depth
        tx, ty = (m0 + moved[0, 4]) * inverse, (m1 + moved[1, 4]) * inverse
        x, y = fx * tx + cx, cy - fy * ty
        if not (x >= _ZERO and y >= _ZERO and x < right and y < bottom):
            continue
        column, row = np.uint32(x), np.uint32(y)  # unsigned: no wraparound of negative indices
        bx, by = x - np.float32(column), y - np.float32(row)
        w01, w10, w11 = bx * (_ONE - by), (_ONE - bx) * by, bx * by
        w00 = (_ONE - bx) * (_ONE - by)
        squared = sxx = sxy = syy = gx = gy = _ZERO
        for c in range(3):
            value = _bilinear(query, row, column, c, w00, w01, w10, w11)
            along_x = _bilinear(query, row, column, c + 3, w00, w01, w10, w11)
            along_y = _bilinear(query, row, column, c + 6, w00, w01, w10, w11)
            residual = value - colours[sample, c]
            along_x = _HALF * (along_x + colours[sample, c + 3])
            along_y = _HALF * (along_y + colours[sample, c + 6])
            squared += residual * residual
            sxx += along_x * along_x
            sxy += along_x * along_y
            syy += along_y * along_y
            gx += along_x * residual
            gy += along_y * residual
        ratio = _ONE / (squared + squared_scale)
        cost += squared * ratio
        count += _ONE
        weight = (squared_scale * ratio) * (squared_scale * ratio)
        # Rows of d(pixel) / d(twist): [I, -hat(m)] seen through the projection; u1 = v0 = 0.
        u0, v1 = fx * inverse, -fy * inverse
        u2, v2 = u0 * tx, v1 * ty
        u3, u4, u5 = u2 * m1, u0 * m2 - u2 * m0, -u0 * m1
        v3, v4, v5 = v2 * m1 - v1 * m2, -v2 * m0, v1 * m0
        wxx, wxy, wyy, wx, wy = weight * sxx, weight * sxy, weight * syy, weight * gx, weight * gy
        p, q = wxx * u0, wxy * u0
        h00, h01, h02 = h00 + p * u0, h01 + q * v1, h02 + p * u2 + q * v2
        h03, h04, h05 = h03 + p * u3 + q * v3, h04 + p * u4 + q * v4, h05 + p * u5 + q * v5
        p, q = wxy * v1, wyy * v1
        h11, h12 = h11 + q * v1, h12 + p * u2 + q * v2
        h13, h14, h15 = h13 + p * u3 + q * v3, h14 + p * u4 + q * v4, h15 + p * u5 + q * v5
        p, q = wxx * u2 + wxy * v2, wxy * u2 + wyy * v2
        h22, h23 = h22 + p * u2 + q * v2, h23 + p * u3 + q * v3
        h24, h25 = h24 + p * u4 + q * v4, h25 + p * u5 + q * v5
        p, q = wxx * u3 + wxy * v3, wxy * u3 + wyy * v3
        h33, h34, h35 = h33 + p * u3 + q * v3, h34 + p * u4 + q * v4, h35 + p * u5 + q * v5
        p, q = wxx * u4 + wxy * v4, wxy * u4 + wyy * v4
        h44, h45 = h44 + p * u4 + q * v4, h45 + p * u5 + q * v5
        h55 += (wxx * u5 + wxy * v5) * u5 + (wxy * u5 + wyy * v5) * v5
        g0, g1, g2 = g0 + wx * u0, g1 + wy * v1, g2 + wx * u2 + wy * v2
        g3, g4, g5 = g3 + wx * u3 + wy * v3, g4 + wx * u4 + wy * v4, g5 + wx * u5 + wy * v5
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = h00, h01, h02, h03, h04, h05
    sums[6], sums[7], sums[8], sums[9], sums[10] = h11, h12, h13, h14, h15
    sums[11], sums[12], sums[13], sums[14] = h22, h23, h24, h25
    sums[15], sums[16], sums[17], sums[18], sums[19], sums[20] = h33, h34, h35, h44, h45, h55
    sums[21], sums[22], sums[23], sums[24], sums[25], sums[26] = g0, g1, g2, g3, g4, g5
    sums[27], sums[28] = cost, count


@numba.njit(fastmath={"contract", "arcp", "nsz"}, inline="always")
def _bilinear(query, row, column, channel, w00, w01, w10, w11):
    """Return a channel of ``query`` between the four pixels from (row, column) on."""
    return (
        w00 * query[row, column, channel] + w01 * query[row, column + np.uint32(1), channel]
        + w10 * query[row + np.uint32(1), column, channel]
        + w11 * query[row + np.uint32(1), column + np.uint32(1), channel]
    )  # fmt: skip


@numba.njit(cache=True, parallel=True, error_model="numpy")
def accumulate(query, points, colours, lens, moved, squared_scale):
    """Sum over all samples (32,) float64: the Hessian's upper triangle (21), gradient (6), cost, count, padding.

    Args, all float32:
        query: (height, width, 9). points: (samples, 3). colours: (samples, 9). lens: (4,) fx, fy, cx, cy.
        moved: (3, 5), a motion's rotation and translation, and the point about which it turns.
        squared_scale: the robust cost's.
    """
    count = points.shape[0]
    chunks = (count + _CHUNK - 1) // _CHUNK
    partial = np.zeros((chunks, 32), np.float32)
    for chunk in numba.prange(chunks):
        stop = min(count, (chunk + 1) * _CHUNK)
        _accumulate_chunk(query, points, colours, lens, moved, squared_scale, chunk * _CHUNK, stop, partial[chunk])
    sums = np.zeros(32)
    for chunk in range(chunks):
        for entry in range(32):
            sums[entry] += partial[chunk, entry]
    return sums
