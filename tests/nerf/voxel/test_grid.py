"""Laws of the sparse grid."""

from __future__ import annotations

import numpy as np
import pytest

from nerf.voxel.grid import BLOCK, block_gaps, cells_around, interpolate, make_grid, occupied_blocks, refine_grid
from nerf.voxel.kernels import EMPTY_RAW_DENSITY
from tests.nerf.scene import ball_cells, grids_equal, random_table


@pytest.mark.parametrize("count", [5, 8, 13])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_grid_comes_back_from_its_active_cells(count: int, share: float) -> None:
    cells = np.random.default_rng(count).random((count, count + 1, count - 2)) < share
    grid = make_grid(np.array([0.1, -2, 3]), 0.07, cells)
    active = grid.active_cells()
    assert bool(active[cells].all())
    assert grids_equal(make_grid(grid.origin, grid.voxel, active), grid)


def test_exactly_the_corners_of_cells_have_parameters() -> None:
    cells = np.zeros((6, 5, 9), bool)
    cells[2, 3, 4] = cells[5, 4, 8] = True
    grid = make_grid(np.zeros(3), 1.0, cells)
    expected = {(2 + a, 3 + b, 4 + c) for a, b, c in np.ndindex(2, 2, 2)}
    expected |= {(5 + a, 4 + b, 8 + c) for a, b, c in np.ndindex(2, 2, 2)}
    assert {tuple(corner) for corner in np.argwhere(grid.index >= 0).tolist()} == expected
    assert sorted(grid.index[grid.index >= 0].tolist()) == list(range(grid.vertices)) and grid.vertices == 16


def test_blocks_say_where_cells_are() -> None:
    cells = ball_cells(13)
    blocks = occupied_blocks(cells)
    for block in np.ndindex(*blocks.shape):
        part = cells[tuple(slice(BLOCK * side, BLOCK * (side + 1)) for side in block)]
        assert blocks[block] == part.any()


def test_gaps_are_chessboard_distances_to_the_nearest_block() -> None:
    cells = np.zeros((29, 17, 22), bool)
    cells[3, 2, 20] = cells[25, 13, 1] = True
    gaps, occupied = block_gaps(occupied_blocks(cells)), np.argwhere(occupied_blocks(cells))
    for block in np.ndindex(*gaps.shape):
        assert gaps[block] == np.abs(occupied - block).max(1).min()


def test_solid_cells_are_active_and_dense() -> None:
    grid = make_grid(np.zeros(3), 1.0, ball_cells(11))
    table = random_table(grid.vertices)
    table[:, 0] -= 4
    arrays, active = grid.arrays(table), grid.active_cells()
    solid = arrays.solid
    np.testing.assert_array_equal(arrays.gaps, block_gaps(occupied_blocks(solid)))
    for cell in np.ndindex(*active.shape):
        rows = grid.index[tuple(slice(at, at + 2) for at in cell)]
        assert solid[cell] == (active[cell] and table[rows.reshape(-1), 0].max() > EMPTY_RAW_DENSITY)
    assert 0.1 < solid.sum() / active.sum() < 0.9


def test_cells_around_vertices_touch_them() -> None:
    vertices = np.random.default_rng(0).random((5, 6, 7)) < 0.1
    around = cells_around(vertices)
    for i, j, k in np.ndindex(*around.shape):
        assert around[i, j, k] == vertices[i : i + 2, j : j + 2, k : k + 2].any()


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_refining_keeps_place_and_covers_what_is_kept(ratio: float) -> None:
    grid = make_grid(np.array([1.0, 2, 3]), 0.5, ball_cells(12))
    keep = np.random.default_rng(0).random(grid.vertices) < 0.3
    finer, positions = refine_grid(grid, keep, ratio)
    assert finer.voxel == pytest.approx(0.5 / ratio) and np.array_equal(finer.origin, grid.origin)
    assert len(positions) == finer.vertices
    where = finer.origin + finer.voxel * np.argwhere(finer.index >= 0)
    np.testing.assert_allclose(where, grid.origin + grid.voxel * positions, atol=1e-5)
    kept = np.argwhere(grid.index >= 0)[keep]
    if ratio != 1.5:  # then every old vertex is a new one
        assert bool((finer.index[tuple((kept * int(ratio)).T)] >= 0).all())
    reach = np.abs(positions[:, None] - kept).max(-1).min(1)
    assert float(reach.max()) <= 1 + ratio % 1 / ratio + 1e-5  # nothing but the cells around what is kept


def test_refining_nothing_away_keeps_values() -> None:
    grid, rows = make_grid(np.zeros(3), 1.0, ball_cells(9)), np.arange(4)
    table = random_table(grid.vertices)
    finer, positions = refine_grid(grid, np.ones(grid.vertices, bool), 2.0)
    outside = np.array([-5.0, 0.5, 0.5, 0.5])
    values = interpolate(grid, table, positions, outside)
    old = np.argwhere(grid.index >= 0)
    np.testing.assert_array_equal(values[finer.index[tuple((2 * old).T)]], table[:, rows])


def test_interpolation_is_exact_for_linear_values_and_continuous() -> None:
    grid = make_grid(np.zeros(3), 1.0, np.ones((4, 5, 6), bool))
    where = np.argwhere(grid.index >= 0)
    slope = np.array([[0.3, -1.0], [2.0, 0.5], [0.0, 1.0]])
    table = (where @ slope + 1).astype(np.float32)
    points = np.random.default_rng(1).random((200, 3)) * [4, 5, 6]
    np.testing.assert_allclose(interpolate(grid, table, points, np.zeros(2)), points @ slope + 1, atol=1e-5)
    far_corner = np.array([[4.0, 5.0, 6.0]])
    np.testing.assert_allclose(interpolate(grid, table, far_corner, np.zeros(2)), far_corner @ slope + 1, atol=1e-5)


def test_interpolation_beside_the_grid_mixes_with_outside() -> None:
    cells = np.zeros((4, 4, 4), bool)
    cells[0, 0, 0] = True
    grid = make_grid(np.zeros(3), 1.0, cells)
    table = np.full((grid.vertices, 1), 3.0, np.float32)
    values = interpolate(grid, table, np.array([[0.5, 0.5, 0.5], [1.25, 0.5, 0.5], [3.0, 3.0, 3.0]]), np.array([-1.0]))
    np.testing.assert_allclose(values[:, 0], [3.0, 0.75 * 3 - 0.25, -1.0], atol=1e-6)


def test_neighbours_are_one_step_away() -> None:
    grid = make_grid(np.zeros(3), 1.0, ball_cells(8))
    rows, where = grid.neighbour_rows(), np.argwhere(grid.index >= 0)
    for direction in range(6):
        step = np.eye(3, dtype=int)[direction // 2] * (1 if direction % 2 else -1)
        for vertex, place in enumerate(where):
            to = place + step
            inside = (to >= 0).all() and (to < grid.index.shape).all()
            assert rows[vertex, direction] == (grid.index[tuple(to)] if inside else -1)
