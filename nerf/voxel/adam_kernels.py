"""Compiled parameter updates of the voxel field: Adam and the smoothing of densities."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


@njit(parallel=True, fastmath=True, cache=True)
def adam_step(table, moments, gradient, touched, counts, rates, correction, peak, mark):
    """Take a step of Adam (arXiv:1412.6980), decays .9 and .99, on what has a gradient; sum and clear ``gradient``.

    Vertices that no ray has touched keep their moments. ``gradient``, ``touched``, ``counts``: see
    ``accumulate_gradient``; a row that several chunks list is done with the first of them. ``rates`` (4,): learning
    rates of raw density and RGB. ``correction`` (2,): the bias corrections of both moments. With ``mark``, ``peak``
    (vertices,) keeps the largest compositing weight beside each vertex.
    """
    chunks, (mean, square) = len(gradient), moments
    for chunk in range(chunks):
        for number in prange(counts[chunk]):
            v = touched[chunk, number]
            if gradient[chunk, v, 4] > ZERO:
                for c in range(4):
                    total = ZERO
                    for other in range(chunks):
                        total += gradient[other, v, c]
                        gradient[other, v, c] = ZERO
                    if total != ZERO:
                        mean[v, c] = np.float32(0.9) * mean[v, c] + np.float32(0.1) * total
                        square[v, c] = np.float32(0.99) * square[v, c] + np.float32(0.01) * total * total
                        size = math.sqrt(square[v, c] / correction[1]) + np.float32(1e-12)
                        table[v, c] -= rates[c] * (mean[v, c] / correction[0]) / size
                for other in range(chunks):
                    if mark:
                        peak[v] = max(peak[v], gradient[other, v, 4])
                    gradient[other, v, 4] = ZERO


@njit(parallel=True, fastmath=True, cache=True)
def smooth_density(table, neighbours, amount, bound, scratch):
    """Move each raw density by ``amount`` towards the mean of its neighbours, and into [-bound, bound].

    ``neighbours`` (vertices, 6): see ``VoxelGrid.neighbour_rows``. Only axes with both neighbours count: then planes,
    which are linear in the raw density, stay as they are.
    """
    for v in prange(len(table)):
        bend, axes = ZERO, ZERO
        for axis in range(3):
            before, after = neighbours[v, 2 * axis], neighbours[v, 2 * axis + 1]
            if before >= 0 and after >= 0:
                bend += HALF * (table[before, 0] + table[after, 0]) - table[v, 0]
                axes += ONE
        scratch[v] = table[v, 0] + amount * bend / max(axes, ONE)
    for v in prange(len(table)):
        table[v, 0] = min(max(scratch[v], -bound), bound)
