"""The sparse voxel grid: which vertices have parameters, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor

from nerf.voxel.grid_kernels import find_solid_cells, interpolate_table

BLOCK = 4  # cells along a side of the blocks by which empty space is skipped
STEP = 0.5  # distance between samples, in voxels


class MarchArrays(NamedTuple):
    """What the compiled loops march through."""

    origin: np.ndarray  # (3,) of the lattice
    voxel: np.float32
    step: np.float32
    rows: np.ndarray  # (nx, ny, nz) int32, the grid's `index`
    solid: np.ndarray  # (nx - 1, ny - 1, nz - 1) bool: cells that hold enough density to be seen
    gaps: np.ndarray  # uint8, a block: see `block_gaps`
    table: np.ndarray  # (vertices, 4) float32


@dataclass(frozen=True)
class VoxelGrid:
    """A cubic lattice of which only the vertices around the surface have parameters."""

    origin: np.ndarray  # (3,) float32, world position of vertex (0, 0, 0)
    voxel: float  # side of a cell, scene units
    index: np.ndarray  # (nx, ny, nz) int32: a vertex's row in the parameter table, -1 where it has none

    @property
    def step(self) -> float:
        """Distance between the samples of a ray, scene units."""
        return STEP * self.voxel

    @property
    def vertices(self) -> int:
        """Number of vertices with parameters."""
        return int(self.index.max()) + 1

    def arrays(self, table: np.ndarray, active: np.ndarray | None = None) -> MarchArrays:
        """Return what the compiled loops take.

        Args:
            table: (vertices, 4) float32, raw density and RGB of each vertex.
            active: ``active_cells()``, where the caller has it already.
        """
        active = self.active_cells() if active is None else active
        solid, occupied = np.empty(active.shape, bool), np.empty(block_counts(active.shape), bool)
        find_solid_cells(self.index, active, table, solid, occupied)
        voxel, step = np.float32(self.voxel), np.float32(self.step)
        return MarchArrays(self.origin, voxel, step, self.index, solid, block_gaps(occupied), table)

    def active_cells(self) -> np.ndarray:
        """Return a mask (nx - 1, ny - 1, nz - 1) of the cells whose eight corners all have parameters."""
        present = self.index >= 0
        cells = np.ones([count - 1 for count in present.shape], bool)
        for corner in np.ndindex(2, 2, 2):
            cells &= present[tuple(slice(c, count - 1 + c) for c, count in zip(corner, present.shape))]
        return cells

    def neighbour_rows(self) -> np.ndarray:
        """Return the rows (vertices, 6) of the neighbours along -x, +x, -y, +y, -z, +z; -1 where there is none."""
        padded, vertices = np.pad(self.index, 1, constant_values=-1), np.argwhere(self.index >= 0) + 1
        steps = [step * axis for axis in np.eye(3, dtype=int) for step in (-1, 1)]
        return np.stack([padded[tuple((vertices + step).T)] for step in steps], axis=1)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the header by which a file keeps the grid; ``grid_from_tensors`` reads them."""
        cells = self.active_cells()
        tensors = {
            "cells": torch.from_numpy(np.packbits(cells.reshape(-1))),
            "origin": torch.from_numpy(self.origin.copy()),  # levels share one origin in memory
        }
        return tensors, {"voxel": self.voxel, "cells": list(cells.shape)}


def grid_from_tensors(tensors: dict[str, Tensor], header: dict[str, Any]) -> VoxelGrid:
    """Return the grid of ``VoxelGrid.to_tensors``."""
    shape = header["cells"]
    cells = np.unpackbits(tensors["cells"].numpy(), count=int(np.prod(shape))).astype(bool).reshape(shape)
    return make_grid(tensors["origin"].numpy(), header["voxel"], cells)


def cells_around(vertices: np.ndarray) -> np.ndarray:
    """Return a mask (nx - 1, ny - 1, nz - 1) of the cells with a corner in ``vertices`` (nx, ny, nz) bool."""
    cells = np.zeros([count - 1 for count in vertices.shape], bool)
    for corner in np.ndindex(2, 2, 2):
        cells |= vertices[tuple(slice(c, count - 1 + c) for c, count in zip(corner, vertices.shape))]
    return cells


def make_grid(origin: np.ndarray, voxel: float, cells: np.ndarray) -> VoxelGrid:
    """Return the grid whose active cells are ``cells`` (bool); exactly their corners get parameters."""
    corners = np.zeros([count + 1 for count in cells.shape], bool)
    for corner in np.ndindex(2, 2, 2):
        corners[tuple(slice(c, count + c) for c, count in zip(corner, cells.shape))] |= cells
    index = np.full(corners.shape, -1, np.int32)
    index[corners] = np.arange(int(corners.sum()), dtype=np.int32)
    return VoxelGrid(np.asarray(origin, np.float32), float(voxel), index)


def block_counts(cells: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many blocks of BLOCK^3 cells cover a lattice of ``cells``, with room for one more cell an axis."""
    return tuple(-(-(count + 1) // BLOCK) for count in cells)


def occupied_blocks(cells: np.ndarray) -> np.ndarray:
    """Return which blocks hold any of ``cells`` (bool)."""
    counts = block_counts(cells.shape)
    padded = np.zeros([BLOCK * count for count in counts], bool)
    padded[tuple(slice(0, count) for count in cells.shape)] = cells
    return np.asarray(padded.reshape(counts[0], BLOCK, counts[1], BLOCK, counts[2], BLOCK).any(axis=(1, 3, 5)))


def block_gaps(occupied: np.ndarray) -> np.ndarray:
    """Return the distance of each block to the nearest ``occupied`` one: uint8, in blocks.

    Along whichever axis it is largest; 0 where the block itself is occupied, so that a ray may leave all blocks that
    are nearer than this at once.
    """
    return np.minimum(distance_transform_cdt(~occupied, metric="chessboard"), 255).astype(np.uint8)


def refine_grid(grid: VoxelGrid, keep: np.ndarray, resolution_ratio: float) -> tuple[VoxelGrid, np.ndarray]:
    """Return a finer grid over the cells around the vertices to keep.

    Args:
        keep: (vertices,) bool, by row of the parameter table.
        resolution_ratio: old voxel side / new voxel side, >= 1.
    Returns:
        The new grid, and the position (vertices, 3) of each of its vertices in units of the old lattice.
    """
    kept = np.zeros(grid.index.shape, bool)
    kept[grid.index >= 0] = keep[grid.index[grid.index >= 0]]
    cells = cells_around(kept)
    counts = [int(np.floor(count * resolution_ratio + 1e-6)) for count in cells.shape]
    middles = [(np.arange(count) + 0.5) / resolution_ratio for count in counts]
    parents = [np.minimum(middle.astype(int), old - 1) for middle, old in zip(middles, cells.shape)]
    finer = make_grid(grid.origin, grid.voxel / resolution_ratio, cells[np.ix_(*parents)])
    return finer, np.argwhere(finer.index >= 0).astype(np.float32) / np.float32(resolution_ratio)


def interpolate(grid: VoxelGrid, table: np.ndarray, positions: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Interpolate ``table`` (vertices, columns) trilinearly at ``positions`` (points, 3), lattice units.

    Corners without parameters count as ``outside`` (columns,).
    """
    values = np.empty((len(positions), table.shape[1]), np.float32)
    interpolate_table(grid.index, table, positions.astype(np.float32), outside.astype(np.float32), values)
    return values
