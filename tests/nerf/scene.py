"""Small grids, fields and views on which the voxel field's laws are checked."""

from __future__ import annotations

import numpy as np
import torch

from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField
from nerf.voxel.grid import VoxelGrid, make_grid
from nerf.voxel.state import VoxelTrainingState
from tests.inerf.scene import camera, render
from utils.camera import Intrinsics
from utils.views import Views

CAMERA = Intrinsics.from_angle(48, 48, 0.69)
CONFIG = FieldConfig(resolution=48, levels=2, steps=60, rays_per_step=2048)
WHITE = (1.0, 1.0, 1.0)


def ball_cells(count: int, seed: int = 0) -> np.ndarray:
    """Return cells (count, count + 1, count - 2) of a ball from which a fifth is removed at random."""
    shape = (count, count + 1, count - 2)
    middle = (np.argwhere(np.ones(shape)) + 0.5 - np.array(shape) / 2) / (0.45 * count)
    ball = (np.linalg.norm(middle, axis=1) < 1).reshape(shape)
    return ball & (np.random.default_rng(seed).random(shape) > 0.2)


def random_table(vertices: int, seed: int = 0) -> np.ndarray:
    """Return raw densities from clear to dense, and colours: (vertices, 4)."""
    generator = np.random.default_rng(seed)
    table = generator.random((vertices, 4), np.float32)
    table[:, 0] = generator.normal(-1.5, 2.0, vertices)
    return table


def random_field(count: int = 21, side: float = 1.4, seed: int = 0) -> VoxelField:
    """Return a field of noise on a ball with holes, its longest side ``side``, in front of a coloured background."""
    cells = ball_cells(count, seed)
    grid = make_grid(-0.5 * side / count * np.array(cells.shape), side / count, cells)
    return VoxelField(grid, torch.from_numpy(random_table(grid.vertices, seed)), (0.9, 0.6, 0.3))


def full_field(shape: tuple[int, int, int], voxel: float, raw: float, background: tuple = WHITE) -> VoxelField:
    """Return a blue box of ``shape`` cells around the origin, of one raw density."""
    grid = make_grid(-0.5 * voxel * np.array(shape), voxel, np.ones(shape, bool))
    table = torch.tensor([raw, 0.1, 0.2, 0.7]).repeat(grid.vertices, 1)
    return VoxelField(grid, table, background)


def ball_views(intrinsics: Intrinsics = CAMERA) -> Views:
    """Return 24 views of the world of spheres."""
    poses = [camera(60 * step + ring, ring) for ring in (-50, -20, 15, 50) for step in range(6)]
    images = torch.stack([render(pose, intrinsics).colour for pose in poses])
    images = (255 * images).round().clamp(0, 255).to(torch.uint8)
    names = tuple(str(number) for number in range(len(poses)))
    return Views(images, None, torch.stack(poses).float(), intrinsics, names, WHITE)


def state_of(field: VoxelField) -> VoxelTrainingState:
    """Return a training state whose parameters are those of ``field``."""
    table = field.table.numpy().copy()
    empty = np.zeros_like(table)
    return VoxelTrainingState(field.grid, table, empty, empty.copy(), np.zeros(len(table), np.float32))


def random_batch(views: Views, pixels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw pixels (pixels, 4) anywhere in the views, with one ray or four, and offsets (pixels,)."""
    generator = np.random.default_rng(seed)
    limits = (len(views), views.intrinsics.width, views.intrinsics.height)
    where = np.stack([*(generator.integers(0, limit, pixels) for limit in limits), generator.choice([1, 4], pixels)], 1)
    return where.astype(np.int32), generator.random(pixels, np.float32)


def grids_equal(one: VoxelGrid, other: VoxelGrid) -> bool:
    """Return whether two grids are equal in every number."""
    arrays = ((one.origin, other.origin), (one.index, other.index))
    return one.voxel == other.voxel and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)
