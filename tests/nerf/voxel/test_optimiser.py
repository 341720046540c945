"""The compiled optimiser step against automatic differentiation and obvious twins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nerf.voxel.adam_kernels import smooth_density
from nerf.voxel.field import VoxelField
from nerf.voxel.grid import VoxelGrid, make_grid
from nerf.voxel.optimiser import DENSITY_BOUND, CompiledOptimiser, TorchOptimiser, smooth_raw_density
from nerf.voxel.state import VoxelTrainingState
from tests.nerf.scene import ball_cells, ball_views, random_batch, random_field, random_table, state_of
from utils.views import Views

CPU = torch.device("cpu")
SPREAD = 0.02
RATES = np.array([0.1, 0.05, 0.05, 0.05], np.float32)


@pytest.fixture(scope="module")
def views() -> Views:
    return replace(ball_views(), background=(0.9, 0.6, 0.3))


def field_with(shift: float) -> VoxelField:
    """Return the field of noise, raw densities shifted."""
    field = random_field()
    table = field.table + torch.tensor([shift, 0, 0, 0])
    return VoxelField(field.grid, table, field.background)


def compiled_gradient(
    state: VoxelTrainingState, views: Views, batch: np.ndarray, offsets: np.ndarray
) -> tuple[float, CompiledOptimiser]:
    """Return the batch's mean squared error and the optimiser whose buffers hold the gradient and the peaks."""
    own = CompiledOptimiser(state, views, SPREAD)
    return own.accumulate(batch, offsets), own


def cut_out(views: Views) -> Views:
    """Return the views with noise as alpha."""
    alphas = np.random.default_rng(0).integers(0, 256, views.images.shape[:3], dtype=np.uint8)
    return replace(views, alphas=torch.from_numpy(alphas))


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "cut out"])
@pytest.mark.parametrize("shift", [-1.0, 1.0, 6.0])
def test_gradient_equals_automatic_differentiation(views: Views, shift: float, alpha: bool) -> None:
    views = cut_out(views) if alpha else views
    state = state_of(field_with(shift))
    batch, offsets = random_batch(views, 2000)
    error, own = compiled_gradient(state, views, batch, offsets)
    twin = TorchOptimiser(state, views, SPREAD, CPU)
    twin.table.requires_grad_(True)
    loss, cost = twin.error(torch.from_numpy(batch), torch.from_numpy(offsets), True)
    (gradient,) = torch.autograd.grad(cost, twin.table)
    assert error == pytest.approx(float(loss.detach()), rel=1e-4)
    assert float(cost.detach()) > 1.01 * 1.5 * len(batch) * error or shift > 1  # opaque rays have no spread
    gap = (torch.from_numpy(own.gradient.sum(0)[:, :4]) - gradient).abs().amax(0)
    assert bool((gap < 1e-3 * gradient.abs().amax(0)).all()) and bool((gradient.abs().amax(0) > 0.01).all())
    assert float((torch.from_numpy(own.gradient[..., 4].max(0)) - twin.peak).abs().max()) < 1e-3
    assert float(twin.peak.max()) > 0.5


def test_touched_rows_are_those_beside_samples(views: Views) -> None:
    own = compiled_gradient(state_of(field_with(0.0)), views, *random_batch(views, 300))[1]
    gradient, touched, counts = own.buffers
    for rows, count, weights in zip(touched, counts, gradient[..., 4]):
        assert sorted(rows[:count].tolist()) == np.flatnonzero(weights).tolist()
        assert 100 < count < len(weights)


def test_error_is_that_of_the_rendered_image(views: Views) -> None:
    field = field_with(0.0)
    row, column = (part.reshape(-1) for part in np.mgrid[0:48, 0:48])
    batch = np.stack([np.full_like(row, 2), column, row, np.ones_like(row)], 1).astype(np.int32)
    error, _ = compiled_gradient(state_of(field), views, batch, np.full(len(batch), 0.5, np.float32))
    grown = replace(views.intrinsics.resized(48, 48))
    rendering = field.render(views.camera_to_world[2], grown)
    # edges are rendered with 2 x 2 rays, here with one: nearly the same error
    assert error == pytest.approx(float((rendering.colour - views.image(2)).square().mean()), rel=0.1)


def test_steps_equal_their_twin(views: Views) -> None:
    state = state_of(field_with(-1.0))
    own = CompiledOptimiser(state, views, SPREAD)
    twin = TorchOptimiser(state_of(field_with(-1.0)), views, SPREAD, CPU)
    before = state.table.copy()
    for step in range(4):
        batch, offsets = random_batch(views, 1500, step)
        error = own.step(batch, offsets, RATES, 0.03, step > 1)
        assert error == pytest.approx(twin.step(batch, offsets, RATES, 0.03, step > 1), rel=1e-3)
    own.read_back(state)
    other = state_of(field_with(-1.0))
    twin.read_back(other)
    moved = np.abs(state.table - before)
    assert float(np.median(moved[:, 0])) > 0.05
    for name in ("table", "mean", "square", "peak"):
        gap = np.abs(getattr(state, name) - getattr(other, name))
        assert float((gap > 1e-3).mean()) < 0.01, name


@pytest.mark.parametrize(
    "compiled",
    [True, False],
    ids=["compiled", "torch"],
)
def test_what_no_ray_touches_stays(views: Views, compiled: bool) -> None:
    state = state_of(field_with(0.0))
    state.mean[:], state.square[:] = 0.1, 0.2
    before = state.table.copy()
    batch, offsets = random_batch(views, 30)
    own = CompiledOptimiser(state, views, SPREAD) if compiled else TorchOptimiser(state, views, SPREAD, CPU)
    own.step(batch, offsets, RATES, 0.0, True)
    own.read_back(state)
    untouched = state.peak == 0
    assert 0.2 < float(untouched.mean()) < 1
    np.testing.assert_array_equal(state.table[untouched], before[untouched])
    assert bool((state.mean[untouched] == np.float32(0.1)).all())
    assert bool((state.table[~untouched] != before[~untouched]).any())


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
def test_what_lies_hidden_stays(views: Views, compiled: bool) -> None:
    state = state_of(field_with(40.0))  # every ray ends at its first sample, which leaves no gradient to densities
    before = state.table.copy()
    batch, offsets = random_batch(views, 1000)
    own = CompiledOptimiser(state, views, SPREAD) if compiled else TorchOptimiser(state, views, SPREAD, CPU)
    own.step(batch, offsets, RATES, 0.0, True)
    own.read_back(state)
    np.testing.assert_array_equal(state.table[:, 0], before[:, 0])
    assert bool((state.table[:, 1:] != before[:, 1:]).any())


def test_same_step_again_gives_the_same_numbers(views: Views) -> None:
    tables = []
    for _ in range(2):
        state = state_of(field_with(0.0))
        own = CompiledOptimiser(state, views, SPREAD)
        for step in range(3):
            own.step(*random_batch(views, 800, step), RATES, 0.02, False)
        tables.append(state.table)
    np.testing.assert_array_equal(*tables)


def smooth_both(table: np.ndarray, grid: VoxelGrid, amount: float) -> np.ndarray:
    """Return both implementations' smoothed raw densities (2, vertices)."""
    rows = grid.neighbour_rows()
    own = table.copy()
    smooth_density(own, rows, np.float32(amount), np.float32(DENSITY_BOUND), np.empty(len(table), np.float32))
    twin = smooth_raw_density(torch.from_numpy(table[:, 0]), torch.from_numpy(rows).long(), amount)
    np.testing.assert_array_equal(own[:, 1:], table[:, 1:])
    return np.stack([own[:, 0], twin.numpy()])


def test_smoothing_equals_its_twin_and_keeps_planes() -> None:
    grid = make_grid(np.zeros(3), 1.0, ball_cells(14))
    noise, plane = random_table(grid.vertices), random_table(grid.vertices)
    one, other = smooth_both(noise, grid, 0.4)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert float(np.abs(one - noise[:, 0]).max()) > 0.5 and one.std() < noise[:, 0].std()
    plane[:, 0] = np.argwhere(grid.index >= 0) @ [0.5, -0.3, 0.2]
    for result in smooth_both(plane, grid, 0.7):
        np.testing.assert_allclose(result, plane[:, 0], atol=1e-5)


def test_smoothing_by_hand_and_bounds() -> None:
    grid = make_grid(np.zeros(3), 1.0, np.ones((2, 1, 1), bool))
    table = np.zeros((12, 4), np.float32)
    middle, ends = grid.index[1, 0, 0], grid.index[[0, 2], 0, 0]
    table[middle, 0], table[ends, 0] = 4.0, 100.0
    for result in smooth_both(table, grid, 0.25):
        assert result[middle] == pytest.approx(4 + 0.25 * 96)
        assert result[ends].tolist() == [DENSITY_BOUND, DENSITY_BOUND]
