"""A trained field learns from added views what its own did not show, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nerf.voxel.extension import behind_surface, extend_voxel_field
from nerf.voxel.field import VoxelField
from nerf.voxel.optimiser import CompiledOptimiser, TorchOptimiser
from nerf.voxel.pixels import select_pixels
from nerf.voxel.train import train_voxel_field
from tests.nerf.scene import CONFIG, ball_views, random_field, state_of
from utils.hull import silhouettes
from utils.run_context import RunContext
from utils.views import Views

CONTEXT = RunContext(torch.device("cpu"))


@pytest.fixture(scope="module")
def halves() -> tuple[Views, Views]:
    """Views from above, and from below."""
    views = ball_views()
    above = (views.camera_to_world[:, 2, 3] > 0).tolist()
    return tuple(views.subset([row for row, one in enumerate(above) if one == side]) for side in (True, False))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def field(halves: tuple[Views, Views]) -> VoxelField:
    return train_voxel_field(halves[0], replace(CONFIG, residual_views=4), CONTEXT, None)


def error(field: VoxelField, views: Views) -> float:
    """Return the mean squared error of plain renderings."""
    each = [
        (field.render(pose, views.intrinsics).colour - views.image(index)).square().mean()
        for index, pose in enumerate(views.camera_to_world)
    ]
    return float(torch.stack(each).mean())


def test_the_unseen_side_is_learned_and_the_seen_one_stays(field: VoxelField, halves: tuple[Views, Views]) -> None:
    above, below = halves
    grown = extend_voxel_field(field, below, CONFIG, CONTEXT)
    assert error(grown, below) < 0.9 * error(field, below)
    assert error(grown, above) < 1.1 * error(field, above) + 1e-6
    stored, before = grown.residual_views, field.residual_views
    assert stored is not None and before is not None
    assert len(stored.codes) == len(above) + len(below)
    height, width = before.codes.shape[1:3]
    assert torch.equal(stored.codes[: len(above), :height, :width], before.codes)
    assert torch.equal(stored.camera_to_world[len(above) :], below.camera_to_world)


def test_it_gives_the_same_numbers_again(field: VoxelField, halves: tuple[Views, Views]) -> None:
    once, again = (extend_voxel_field(field, halves[1], CONFIG, CONTEXT) for _ in range(2))
    assert torch.equal(once.table, again.table)


def test_behind_a_surface_is_what_lies_deeper_than_the_margin(field: VoxelField) -> None:
    stored = field.residual_views
    assert stored is not None
    pose = stored.camera_to_world[0]
    code = stored.depths[0]
    row, column = (int(value) for value in (code > 0).nonzero()[int((code > 0).sum()) // 2])
    lens, corner = stored.intrinsics, stored.corners[0]
    x, y = column + 0.5 + int(corner[0]), row + 0.5 + int(corner[1])
    axes = torch.tensor([(x - lens.centre_x) / lens.focal_x, -(y - lens.centre_y) / lens.focal_y, -1.0])
    ray = pose[:3, :3] @ (axes / axes.norm())
    depth = float(stored.ranges[0, 0] + code[row, column] * stored.ranges[0, 1])
    points = torch.stack([pose[:3, 3] + (depth + offset) * ray for offset in (-0.2, 0.05, 0.15)])
    assert behind_surface(stored, 0, points, 0.1).tolist() == [False, False, True]
    outside = pose[:3, 3] + pose[:3, 2]  # behind the camera: not in its frame
    assert behind_surface(stored, 0, outside[None], 0.1).tolist() == [True]


@pytest.mark.parametrize("kind", ["compiled", "torch"])
def test_held_vertices_do_not_move_by_a_bit(kind: str, halves: tuple[Views, Views]) -> None:
    views, state = halves[0], state_of(random_field())
    held = np.arange(state.grid.vertices) % 2 == 0
    before = state.table.copy()
    if kind == "compiled":
        optimiser: CompiledOptimiser | TorchOptimiser = CompiledOptimiser(state, views, 0.0, held)
    else:
        optimiser = TorchOptimiser(state, views, 0.0, torch.device("cpu"), held)
    pixels = select_pixels(views, silhouettes(views))
    rates = np.array([1.0, 0.1, 0.1, 0.1], np.float32)
    for step in range(3):
        batch, offsets = pixels.draw_batch(512, np.random.default_rng(step))
        optimiser.step(batch, offsets, rates, 0.2, mark=False)
    optimiser.read_back(state)
    assert np.array_equal(state.table[held], before[held])
    assert not np.array_equal(state.table[~held], before[~held])
