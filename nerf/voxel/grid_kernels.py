"""Compiled loops over the cells and vertices of a sparse grid."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from nerf.voxel.kernels import EMPTY_RAW_DENSITY


@njit(parallel=True, cache=True)
def find_solid_cells(index, active, table, solid, occupied):
    """Set ``solid`` (cells) to the ``active`` cells that can absorb light: interpolation exceeds no corner.

    ``occupied`` (blocks): whether a block of 4 x 4 x 4 cells holds any of them.
    """
    nx, ny, nz = active.shape
    for block in prange(len(occupied)):
        occupied[block] = False
        for i in range(4 * block, min(4 * block + 4, nx)):
            for j in range(ny):
                for k in range(nz):
                    solid[i, j, k] = False
                    if active[i, j, k]:
                        for corner in range(4):
                            row = index[i + (corner >> 1), j + (corner & 1), k]
                            if max(table[row, 0], table[row + 1, 0]) > EMPTY_RAW_DENSITY:
                                solid[i, j, k] = True
                        if solid[i, j, k]:
                            occupied[block, j >> 2, k >> 2] = True


@njit(parallel=True, fastmath=True, cache=True)
def interpolate_table(index, table, positions, outside, values):
    """Fill ``values`` (points, columns): ``table`` (vertices, columns), interpolated at ``positions`` (points, 3).

    Corners without parameters count as ``outside`` (columns,).
    """
    nx, ny, nz = index.shape
    for p in prange(len(positions)):
        i = min(max(int(positions[p, 0]), 0), nx - 2)
        j = min(max(int(positions[p, 1]), 0), ny - 2)
        k = min(max(int(positions[p, 2]), 0), nz - 2)
        x, y, z = positions[p, 0] - i, positions[p, 1] - j, positions[p, 2] - k
        values[p] = 0
        for corner in range(8):
            a, b, c = corner >> 2, (corner >> 1) & 1, corner & 1
            weight = np.float32((x if a else 1 - x) * (y if b else 1 - y) * (z if c else 1 - z))
            row = index[i + a, j + b, k + c]
            for column in range(values.shape[1]):
                values[p, column] += weight * (table[row, column] if row >= 0 else outside[column])
